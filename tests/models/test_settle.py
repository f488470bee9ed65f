"""What `settle` notices, and who a model is."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from holdfast.core.errors import ModelError
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint, settle
from holdfast.models.source import source_of
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box, Image


@pytest.fixture
def x():
    return torch.rand(20, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def net(classes=4, *extra):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, classes), *extra)


class Noisy(nn.Module):
    def __init__(self, inner, noise):
        super().__init__()
        self.inner, self.noise = inner, noise

    def forward(self, x):
        z = self.inner(x)
        return z + self.noise * torch.randn_like(z)


class Company(nn.Module):
    """Each answer depends on the whole batch."""

    def __init__(self, inner, share):
        super().__init__()
        self.inner, self.share = inner, share

    def forward(self, x):
        z = self.inner(x)
        return z - self.share * z.mean(0, keepdim=True)


def test_space_and_classes_are_seen(x):
    model = settle(wrap(net(), (0, 1)), x)
    assert isinstance(model.space, Image)
    assert model.classes == 4
    assert not model.random


def test_a_settled_model_comes_back_as_it_is(x):
    model = settle(wrap(net()), x)
    assert settle(model, x) is model
    by_hand = Model(Box(), classes=3, labels=lambda x: x[:, 0].long())
    assert settle(by_hand, x) is by_hand
    assert settle(Model(Box(), scores=net(5)), x).classes == 5
    with pytest.raises(ModelError, match="HF210"):
        settle(Model(Box(), labels=lambda x: x[:, 0].long()), x)


def test_an_empty_batch_is_refused(x):
    with pytest.raises(ModelError, match="HF210"):
        settle(wrap(net()), x[:0])


@pytest.mark.parametrize("function", [False, True])
def test_random_models_are_noticed(function, x):
    noisy = Noisy(net(), 0.1)
    draw = np.random.default_rng(0)
    model = settle(wrap((lambda x: draw.normal(size=(len(x), 3))) if function else noisy), x)
    assert model.random
    assert any("two passes" in note for note in model.notes)
    assert not settle(wrap(Noisy(net(), 0.0)), x).random


def test_dropout_in_evaluation_mode_is_not_random(x):
    module = net(4, nn.Dropout(0.5)).train()
    assert not settle(wrap(module), x).random
    assert module.training


def test_answers_that_depend_on_the_batch_are_noticed(x):
    model = settle(wrap(Company(net(), 0.5)), x)
    assert any("other rows of the batch" in note for note in model.notes)
    alone = model.scores(x[:1])
    moved = (alone - model.scores(x)[:1]).abs().max()
    assert model.noise >= moved
    assert not model.random
    slightly = settle(wrap(Company(net(), 1e-5)), x)
    assert 0 < slightly.noise < 1e-3
    assert not slightly.notes


def test_hidden_fields_stay_hidden(x):
    hidden = dataclasses.replace(wrap(net()), module=None)
    assert settle(hidden, x).module is None
    assert settle(wrap(net()).seen_as("scores"), x).module is None


def test_fingerprint_is_stable_across_threads_and_calls(x):
    model = settle(wrap(net()), x)
    threads = torch.get_num_threads()
    found = set()
    for n in (1, 2, 1):
        torch.set_num_threads(n)
        try:
            found.add(fingerprint(model, (3, 6, 6)))
            assert torch.get_num_threads() == n
        finally:
            torch.set_num_threads(threads)
    assert len(found) == 1
    assert len(found.pop()) == 32


def test_fingerprint_is_sensitive(x):
    changed = net()
    with torch.no_grad():
        changed[1].weight[0, 0] += 1e-7
    ways = [
        wrap(net()),
        wrap(changed),
        wrap(net(), std=0.5),
        wrap(net(), (0, 2)),
        wrap(net(5)),
        dataclasses.replace(wrap(net()), suspicion=lambda x: x.flatten(1).sum(1)),
    ]
    found = {fingerprint(settle(model, x), (3, 6, 6)) for model in ways}
    assert len(found) == len(ways)


def test_fingerprint_of_a_function_sees_its_answers(x):
    weight = np.random.default_rng(0).normal(size=(108, 3))
    first, again, other = (
        settle(wrap(lambda x, w=w: x.reshape(len(x), -1) @ w), x) for w in (weight, weight.copy(), weight * [1, 1, 1.1])
    )
    assert fingerprint(first, (3, 6, 6)) == fingerprint(again, (3, 6, 6))
    assert fingerprint(first, (3, 6, 6)) != fingerprint(other, (3, 6, 6))


def test_fingerprint_of_a_random_model_repeats(x):
    model = settle(wrap(Noisy(net(), 1.0)), x)
    assert fingerprint(model, (3, 6, 6)) == fingerprint(model, (3, 6, 6))


def test_the_source_is_found(x):
    assert source_of(wrap(net())) is not None
    assert source_of(Model(Box(), classes=2)) is None


def test_fingerprint_asks_on_one_thread():
    threads, seen = torch.get_num_threads(), []

    def predict(x):
        seen.append(torch.get_num_threads())
        return x[:, :3]

    model = settle(wrap(predict), torch.randn(5, 4))
    torch.set_num_threads(2)
    try:
        seen.clear()
        fingerprint(model, (4,))
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
