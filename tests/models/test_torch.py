"""Torch modules behind `wrap`: what the outputs mean, types, gradients, and that the module comes back as it was."""

import hashlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from holdfast.core.errors import ModelError
from holdfast.models.networks import build
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap


def linear(classes, seed=0, scale=3.0):
    torch.manual_seed(seed)
    layer = nn.Linear(4, classes)
    with torch.no_grad():
        layer.weight.mul_(scale)
    return layer


class Own(nn.Module):
    """A module of the user's own that ends in a softmax which cannot be cut."""

    def __init__(self, layer, ending):
        super().__init__()
        self.layer, self.softmax = layer, ending

    def forward(self, x):
        return self.softmax(self.layer(x))


@pytest.fixture
def x():
    return torch.rand(40, 4, generator=torch.Generator().manual_seed(1))


def gradient(model, x, loss=lambda z: z.log_softmax(1)[:, 0].sum()):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(loss(model.module(leaf)), leaf)[0]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("output", ["logits", "log-probabilities", "probabilities"])
def test_b11_adapter_gradients_are_finite_differences(classes, output):
    layer = linear(classes).double()
    ending = {"logits": nn.Identity(), "log-probabilities": nn.LogSoftmax(1), "probabilities": nn.Softmax(1)}[output]
    x = torch.rand(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    model = settle(wrap(Own(layer, ending), mean=[0.1, 0.2, 0.3, 0.4], std=0.5), x)
    g, step = gradient(model, x), 1e-6
    for j in range(4):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[j] = step
        up, down = (model.scores(x + s * shift).log_softmax(1)[:, 0] for s in (1, -1))
        assert torch.allclose((up - down) / (2 * step), g[:, j], atol=1e-7)


@pytest.mark.parametrize("classes", [1, 2, 3, 10])
def test_b09_softmax_ended_equals_logits(classes, x):
    layer = linear(classes)
    plain = settle(wrap(layer, output="logits"), x)
    ended = nn.Sequential(layer, nn.Softmax(1) if classes > 1 else nn.Sigmoid())
    cut = settle(wrap(ended), x)
    assert torch.equal(plain.scores(x), cut.scores(x))
    assert torch.equal(plain.labels(x), cut.labels(x))
    assert torch.equal(gradient(plain, x), gradient(cut, x))
    assert "cut open" in cut.notes[0]
    assert len(ended) == 2


def test_b09_nested_log_softmax_is_cut(x):
    layer = linear(3)
    model = settle(wrap(nn.Sequential(nn.Identity(), nn.Sequential(layer, nn.LogSoftmax(dim=-1)))), x)
    assert torch.equal(model.scores(x), layer(x).detach())


def test_b09_a_softmax_inside_forward_is_recognized(x):
    layer = linear(3)
    model = settle(wrap(Own(layer, nn.Softmax(1))), x)
    plain = settle(wrap(layer), x)
    assert torch.equal(model.labels(x), plain.labels(x))
    assert torch.allclose(model.scores(x), layer(x).log_softmax(1), atol=1e-5)
    assert torch.allclose(gradient(model, x), gradient(plain, x), atol=1e-4)
    assert any("taken as probabilities" in note for note in model.notes)


def test_b09_saturation_is_noticed(x):
    model = settle(wrap(Own(linear(3, scale=3000.0), nn.Softmax(1))), x)
    assert any("probability of exactly 0" in note for note in model.notes)
    assert torch.isfinite(model.scores(x)).all()


def test_b09_a_softmax_declared_as_logits_is_refused():
    with pytest.raises(ModelError, match="HF204"):
        wrap(nn.Sequential(linear(3), nn.Softmax(1)), output="logits")


def test_a_softmax_with_a_hook_is_left_alone(x):
    net = nn.Sequential(linear(3), nn.Softmax(1))
    net.register_forward_hook(lambda module, args, out: out)
    model = settle(wrap(net), x)
    assert any("taken as probabilities" in note for note in model.notes)


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_b01_a_constant_on_all_logits_changes_nothing(classes, x):
    layer = linear(max(classes, 2))
    model, shifted = (settle(wrap(Own(layer, Plus(c))), x) for c in (0.0, 50.0))
    assert torch.equal(model.labels(x), shifted.labels(x))
    assert torch.allclose(gradient(model, x), gradient(shifted, x), atol=1e-5)


class Plus(nn.Module):
    def __init__(self, constant):
        super().__init__()
        self.constant = constant

    def forward(self, x):
        return x + self.constant


def test_one_logit_becomes_two_scores(x):
    layer = linear(1)
    for net in (layer, nn.Sequential(layer, nn.Flatten(0))):  # (n, 1) and (n,)
        model = settle(wrap(net), x)
        z = layer(x).detach()
        assert model.classes == 2
        assert torch.equal(model.scores(x), torch.cat([torch.zeros_like(z), z], 1))
        assert torch.equal(model.labels(x), (z[:, 0] > 0).long())


def test_one_column_of_probabilities_is_refused_unless_declared(x):
    net = Own(linear(1), nn.Sigmoid())
    with pytest.raises(ModelError, match="HF203"):
        settle(wrap(net), x)
    model = settle(wrap(net, output="probabilities"), x)
    assert torch.equal(model.labels(x), (net(x)[:, 0] > 0.5).long())
    logs = settle(wrap(Own(linear(1), nn.LogSigmoid()), output="log-probabilities"), x)
    assert torch.allclose(logs.scores(x), model.scores(x), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_other_types_keep_them(dtype, x):
    layer = linear(3).to(dtype)
    model = settle(wrap(layer), x)
    assert layer.weight.dtype == dtype
    g = gradient(model, x)
    assert g.dtype == x.dtype
    assert g.abs().sum() > 0
    assert torch.equal(model.labels(x), layer(x.to(dtype)).argmax(1))


def test_normalization_is_inside():
    torch.manual_seed(0)
    net = build("cnn", shape=(3, 8, 8), classes=4, width=4).eval()
    x = torch.rand(9, 3, 8, 8)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    model = settle(wrap(net, (0, 1), mean=mean, std=std), x)
    by_hand = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(model.scores(x), net(by_hand).detach())
    assert "normalize" in model.stages[0]


@pytest.mark.parametrize(
    ("mean", "std"), [((0.1, 0.2), None), (None, 0.0), (float("nan"), None), (None, (1.0, -1.0, 1.0))]
)
def test_impossible_normalization_is_refused(mean, std):
    net = build("cnn", shape=(3, 8, 8), classes=4, width=4)
    with pytest.raises(ModelError, match="HF206"):
        settle(wrap(net, mean=mean, std=std), torch.rand(4, 3, 8, 8))


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: (x, x),
        lambda x: x[:, :, None],
        lambda x: x[:1],
        lambda x: {"logits": x},
        lambda x: x[:, :0],
    ],
)
def test_outputs_that_are_no_scores_are_refused(answer, x):
    class Odd(nn.Module):
        def forward(self, x):
            return answer(x)

    with pytest.raises(ModelError, match="HF204"):
        settle(wrap(Odd()), x)


def test_nan_is_refused(x):
    with pytest.raises(ModelError, match="HF205"):
        settle(wrap(Own(linear(3), Plus(float("nan")))), x)


# Untouched


class Restless(nn.Module):
    """Everything a forward pass can change by accident."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.layer = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.fail = False

    def forward(self, x):
        self.calls += 1
        self.register_buffer("late", torch.ones(1))
        torch.rand(1), np.random.rand(), random.random()
        torch.set_grad_enabled(torch.is_grad_enabled())
        if self.fail:
            torch.set_num_threads(torch.get_num_threads() + 1)
            raise KeyboardInterrupt
        return self.layer(self.drop(self.norm(x)))


def state(net):
    made = hashlib.blake2b()
    for name, value in net.state_dict().items():
        made.update(name.encode() + value.numpy().tobytes())
    for p in net.parameters():
        made.update(repr((p.requires_grad, p.grad)).encode())
    for m in net.modules():
        made.update(repr((m.training, list(m._buffers), len(m._forward_hooks), len(m._forward_pre_hooks))).encode())
    made.update(torch.get_rng_state().numpy().tobytes() + repr(random.getstate()).encode())
    made.update(np.random.get_state()[1].tobytes() + repr(np.random.get_state()[2:]).encode())
    made.update(repr((torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))).encode())
    return made.hexdigest()


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_b12_the_module_and_the_process_come_back_as_they_were(fail, training, x):
    torch.manual_seed(0)
    net = Restless().train(training)
    net.norm.eval()  # modes differ between submodules
    net.layer.weight.requires_grad_(False)
    net.layer.bias.grad = torch.ones(3)
    model = wrap(net, output="logits", classes=3)
    before, data = state(net), x.clone()
    net.fail = fail
    if fail:
        with pytest.raises(KeyboardInterrupt):
            settle(model, x)
    else:
        settled = settle(model, x)
        with settled.borrowed():
            assert not any(m.training for m in net.modules())
            assert not any(p.requires_grad for p in net.parameters())
            gradient(settled, x)
            net.layer.bias.grad.add_(1)
    assert state(net) == before
    assert torch.equal(x, data)


def test_b12_autocast_of_the_caller_is_off_inside_and_on_again_after(x):
    model = settle(wrap(linear(3)), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with model.borrowed():
            assert not torch.is_autocast_enabled("cpu")
            assert model.scores(x).dtype == torch.float32
        assert torch.is_autocast_enabled("cpu")


def test_labels_at_an_exact_tie_are_the_first_class():
    model = settle(wrap(nn.Linear(4, 1, bias=False), output="logits"), torch.rand(8, 4))
    assert model.labels(torch.zeros(1, 4)).tolist() == [0]
