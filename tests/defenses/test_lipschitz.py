"""Bounds of how far networks stretch, against matrices written out, and the training with a head start."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from cases.training import PLAIN, hints
from holdfast.core.errors import ModelError
from holdfast.defenses.regularization._lipschitz import stretch
from holdfast.defenses.regularization.lipschitz_margin import LINE, LipschitzMargin, _Ahead
from holdfast.learning.objective import Step
from holdfast.models.networks import build
from holdfast.models.source import source_of


def bound(net, shape, steps=1000):
    """The converged bound."""
    return float(stretch(net, shape)({}, torch.Generator().manual_seed(0), steps).detach())


def exact(net, shape):
    """The largest singular value of the Jacobian at a random point, which is the constant of a linear map."""
    net = net.double().eval()
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrix = torch.autograd.functional.jacobian(lambda z: net(z).flatten(), x).reshape(-1, x.numel())
    return float(torch.linalg.matrix_norm(matrix, 2))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Doubled(nn.Module):
    def forward(self, x):
        return x + x


def normed():
    """A batch norm that has seen something."""
    norm = nn.BatchNorm2d(2)
    norm.running_var.copy_(torch.tensor([0.3, 2.0]))
    norm.weight.data = torch.tensor([-0.7, 1.1])
    return norm


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 4), (6,)),
        (nn.Conv1d(2, 3, 3, padding=1), (2, 7)),
        (nn.Conv2d(2, 3, 3, padding=1), (2, 5, 6)),
        (nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 6, 5)),
        (nn.Conv2d(4, 4, 3, groups=2, dilation=2, bias=False), (4, 6, 6)),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 5)),
        (nn.Sequential(nn.Conv2d(2, 2, 1), normed()), (2, 3, 3)),
        (nn.AvgPool2d(2), (2, 6, 6)),
        (Mean(), (2, 4, 5)),
        (Doubled(), (3,)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_layers_constant_is_that_of_its_matrix(layer, shape):
    net = nn.Sequential(layer)
    if not list(net.parameters()):
        net.append(nn.Identity()).register_parameter("kind", nn.Parameter(torch.zeros(())))
    found = bound(net, shape)
    wanted = exact(net, shape)
    if isinstance(layer, nn.Sequential):  # two factors bound their product
        assert wanted <= found * (1 + 1e-4)
        scale = (layer[1].weight.detach() / (layer[1].running_var + 1e-5).sqrt()).abs().max()
        assert found == pytest.approx(exact(layer[0], shape) * float(scale), rel=1e-3)
        return
    assert found == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("mlp", (5,)), ("cnn", (1, 8, 8)), ("resnet18", (1, 8, 8)), ("preact18", (1, 8, 8)), ("vgg11", (1, 8, 8))],
)
def test_no_pair_of_inputs_is_stretched_beyond_the_bound(name, shape):
    torch.manual_seed(0)
    net = build(name, shape=shape, classes=3, width=4).eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    factor = bound(net, shape, 30)
    x = torch.randn(64, *shape)
    away = torch.randn_like(x) * 10 ** torch.linspace(-3, 1, 64).reshape(-1, *[1] * len(shape))
    with torch.no_grad():
        ratio = (net(x + away) - net(x)).norm(dim=1) / away.flatten(1).norm(dim=1)
    assert 0 < float(ratio.max()) <= factor
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not net.training


def test_branches_add_and_chains_multiply():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.c((self.b(self.a(x).relu()) + x).relu())

    net = Block()
    a, b, c = (float(torch.linalg.matrix_norm(one.weight.detach(), 2)) for one in (net.a, net.b, net.c))
    assert bound(net, (4,)) == pytest.approx(c * (1 + a * b), rel=1e-4)


def test_overlapping_poolings_count_a_value_as_often_as_it_is_seen():
    class Padded(nn.Module):
        def __init__(self, pool):
            super().__init__()
            self.pool, self.head = pool, nn.Flatten()
            self.kind = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.head(self.pool(x))

    for pool, wanted in ((nn.MaxPool2d(2), 1.0), (nn.MaxPool2d(3, 2), 2.0), (nn.MaxPool2d(3, 1), 3.0)):
        assert bound(Padded(pool), (1, 7, 7)) == pytest.approx(wanted)
    x = torch.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 1.0  # seen by nine windows
    assert float(nn.MaxPool2d(3, 1)(x).norm()) == 3.0


def test_the_gradient_is_that_of_the_singular_values():
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    value = stretch(net, (5,))({}, torch.Generator().manual_seed(0), 300)
    found = torch.autograd.grad(value, net[0].weight)[0]
    leaf = net[0].weight.detach().clone().requires_grad_()
    product = torch.linalg.matrix_norm(leaf, 2) * torch.linalg.matrix_norm(net[2].weight.detach(), 2)
    torch.testing.assert_close(value.detach(), product.detach(), rtol=1e-8, atol=0)
    torch.testing.assert_close(found, torch.autograd.grad(product, leaf)[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(2, divisor_override=1),
        nn.AvgPool2d(2, 2, ceil_mode=True),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        nn.MaxPool2d(3, 2, dilation=2),
        nn.ConvTranspose2d(1, 1, 3),
    ],
    ids=str,
)
def test_a_pooling_whose_windows_are_not_alike_is_refused(layer):
    with pytest.raises(ModelError, match="HF255"):
        bound(nn.Sequential(nn.Conv2d(1, 1, 1), layer), (1, 9, 9))


def test_weights_that_were_zero_once_are_measured_later():
    net, lines, draw = nn.Sequential(nn.Linear(4, 3)), {}, torch.Generator().manual_seed(0)
    kept = net[0].weight.detach().clone()
    with torch.no_grad():
        net[0].weight.zero_()
    value = stretch(net, (4,))
    assert float(value(lines, draw).detach()) == 0
    with torch.no_grad():
        net[0].weight.copy_(kept)
    assert float(value(lines, draw, 50).detach()) == pytest.approx(float(torch.linalg.matrix_norm(kept, 2)), rel=1e-4)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x) if x.sum() > 0 else -self.head(x)


@pytest.mark.parametrize(
    "net",
    [nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)), Branching(), nn.Sequential(nn.Linear(3, 4), nn.GLU())],
    ids=str,
)
def test_what_has_no_known_constant_is_refused(net):
    with pytest.raises(ModelError, match="HF255"):
        bound(net, (3,))


def step_of(net, x, y, done=1.0, memory=None, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return Step(net, net, x, x, y, 0.1, 3, done, draw, {} if memory is None else memory)


def test_the_loss_gives_the_wrong_classes_their_head_start():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    x, y = torch.rand(7, 5), torch.arange(7) % 3
    factor = math.prod(float(torch.linalg.matrix_norm(net[k].weight.detach(), 2)) for k in (0, 2))
    z = net(x).detach().double().numpy()
    label = 0.9 * np.eye(3)[y.numpy()] + 0.1 / 3
    for done, share in ((0.0, 0.0), (0.1, 0.25), (0.7, 1.0)):
        ahead = _Ahead(radius=0.3, warm_up=0.4, steps=200, unit=2.0)
        found = float(ahead(step_of(net, x, y, done)).detach())
        moved = z + math.sqrt(2) * 0.3 * share * 2.0 * factor * (1 - np.eye(3)[y.numpy()])
        wanted = -(label * (moved - np.log(np.exp(moved).sum(1, keepdims=True)))).sum(1).mean()
        assert found == pytest.approx(wanted, rel=1e-4)


def test_power_iteration_goes_on_from_step_to_step():
    """One iteration a step converges; a fresh objective with the memory of the old one goes on from there."""
    torch.manual_seed(0)
    net, memory = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Flatten(), nn.Linear(54, 3)), {}
    x, y = torch.rand(4, 2, 5, 5), torch.arange(4) % 3
    ahead = _Ahead(radius=0.3, warm_up=0.0, steps=1, unit=1.0)
    for k in range(60):
        found = ahead.constant(step_of(net, x, y, memory=memory, seed=k))
    assert float(found.detach()) == pytest.approx(bound(net, (2, 5, 5)), rel=1e-4)
    assert sorted(memory) == [LINE + "0", LINE + "2"]
    again = dataclasses.replace(ahead, seen=[])
    one, other = (a.constant(step_of(net, x, y, memory=dict(memory))) for a in (ahead, again))
    assert torch.equal(one, other)


def certified(model, data, radius):
    """Share of the samples whose lead no change of this Euclidean length can take."""
    ask = source_of(model).ask
    factor = bound(ask.net, tuple(data.x.shape[1:])) / min(ask.std)
    top = model.scores(data.x).topk(2, 1).values
    lead = (top[:, 0] - top[:, 1]) / (math.sqrt(2) * factor)
    return float(((lead > radius) & (model.predict(data.x) == data.y)).double().mean())


def test_more_samples_are_certified_than_without_it():
    data = hints()
    plain, made = PLAIN.fit(data), LipschitzMargin(of=PLAIN, radius=0.01).fit(data)
    assert (made.predict(data.x) == data.y).double().mean() > 0.9
    assert certified(made, data, 0.01) > certified(plain, data, 0.01) + 0.2


def test_lengths_are_those_of_the_data_not_of_the_normalized_inputs():
    seen = []
    of = dataclasses.replace(PLAIN, epochs=1, patience=1)
    data = hints()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(of), "fit", lambda self, part, *_: seen.append((self.objective, part)))
        LipschitzMargin(of=of).fit(data, 3)
        LipschitzMargin(of=dataclasses.replace(of, normalize=False)).fit(data, 3)
    part, _ = data.divide(0.9, 3)
    assert seen[0][0].unit == pytest.approx(1 / float(part.x.double().std(0).min()), rel=1e-5)
    assert torch.equal(seen[0][1].x, part.x)
    assert seen[1][0].unit == 1.0
