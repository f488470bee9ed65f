"""The copy that a training's attack asks: follows the network, agrees with it, and is not used where it cannot."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.learning import train as module
from holdfast.learning.attacked import attacked
from holdfast.learning.train import Train
from holdfast.models.networks import build
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized
from holdfast.threats.space import Box
from holdfast.threats.threats import Linf

SHAPE = (3, 8, 8)
SPACE = Box(bounds=(0.0, 1.0))


def batch(n=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(n, *SHAPE, generator=draw), torch.arange(n) % 3


def network(name="cnn"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(name, shape=SHAPE, classes=3, width=4)


def walk(net, steps=3):
    """Change weights and statistics as a training does."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.train()
    for k in range(steps):
        optimizer.zero_grad()
        cross_entropy(net(batch(seed=k)[0]), batch()[1]).backward()
        optimizer.step()


def asked(ask, x):
    leaf = x.clone().requires_grad_()
    scores = ask(leaf)
    return scores, torch.autograd.grad(scores.float()[:, 1].sum(), leaf)[0]


@pytest.mark.parametrize("name", ["cnn", "resnet18", "preact18"])
def test_it_follows_the_network_through_its_steps(name):
    net, (x, _) = network(name), batch()
    like = Normalized(net, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    walk(net, 1)
    copy = attacked(like, SPACE, x, False)
    stale = copy(x)
    walk(net)
    scores, slopes = asked(copy.refresh(net), x)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    want, slope = asked(Normalized(net.eval(), like.mean, like.std), x)
    assert torch.allclose(scores, want, rtol=1e-3, atol=1e-4)
    assert float((slopes - slope).norm()) <= 1e-3 * float(slope.norm())
    assert not torch.allclose(stale, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["cnn", "preact18"])
def test_in_bfloat16_the_slopes_point_the_same_way(name):
    net, (x, _) = network(name), batch()
    walk(net)
    like = Normalized(net, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    copy = attacked(like, SPACE, x, True)
    walk(net)
    scores, slopes = asked(copy.refresh(net), x)
    assert scores.dtype == torch.bfloat16
    assert {v.dtype for m in copy.made.net.modules() if isinstance(m, nn.Conv2d) for v in m.parameters()} == {
        torch.bfloat16
    }
    _, slope = asked(Normalized(net.eval(), like.mean, like.std), x)
    assert slopes.dtype == torch.float32
    assert float((slopes.sign() == slope.sign()).float().mean()) > 0.9


class Untraceable(nn.Module):
    """The same numbers as its layers, by a way that depends on values."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return self.inside(x) if bool(torch.isfinite(x).all()) else self.inside(x * 0)


class Constant(nn.Module):
    """Tracing computes a number from the statistics once, which then would stay."""

    def __init__(self):
        super().__init__()
        self.inside = network()
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x):
        return self.inside(x) * (self.scale * 2)


@pytest.mark.parametrize(
    "net",
    [build("mlp", shape=SHAPE, classes=3), Untraceable(network()), Constant()],
    ids=["no convolution", "by value", "computed constant"],
)
def test_what_cannot_be_followed_is_not_copied(net):
    assert attacked(Normalized(net), SPACE, batch()[0], False) is None


def learned(how, data):
    return source_of(how.fit(data)).ask.net.state_dict()


def data(n=48):
    from holdfast.data import Dataset

    x, y = batch(n)
    x = x * 0.6
    for k in range(3):
        x[y == k, k] += 0.4
    return Dataset(x, y)


HOW = AdversarialTraining(
    of=Train(network=lambda shape, classes: network(), epochs=2, batch=16), threat=Linf(0.05), steps=3
)


def by_value(shape, classes):
    return Untraceable(network())


def test_training_without_a_copy_gives_the_same_bits_as_before(monkeypatch):
    how = dataclasses.replace(HOW, of=dataclasses.replace(HOW.of, network=by_value))
    found = learned(how, data())
    monkeypatch.setattr(module, "attacked", lambda *_: None)
    before = learned(how, data())
    plain = learned(HOW, data())
    assert all(torch.equal(found[name], before[name]) for name in before)
    assert all(torch.equal(found[f"inside.{name}"], value) for name, value in plain.items())


def test_training_on_the_copy_gives_the_same_network_within_rounding(monkeypatch):
    used = []

    def spy(*given, honest=module.attacked):
        used.append(honest(*given))
        return used[-1]

    monkeypatch.setattr(module, "attacked", spy)
    found = learned(HOW, data())
    assert len(used) == 2
    assert None not in used
    monkeypatch.setattr(module, "attacked", lambda *_: None)
    before = learned(HOW, data())
    assert all(torch.allclose(found[name], before[name], rtol=1e-2, atol=1e-3) for name in before)
