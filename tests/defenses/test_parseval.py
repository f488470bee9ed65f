"""Tight frames: what one pull does to singular values, what a convolution stretches, what a training ends with."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cases.training import PLAIN, hints
from holdfast.defenses.regularization.parseval_networks import ParsevalNetworks, _Framed, _Pull, length, pulled
from holdfast.learning.schedule import one_cycle
from holdfast.learning.train import Train, _mixed
from holdfast.models.source import source_of
from holdfast.models.wrap import wrap


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)], ids=str)
def test_a_pull_moves_each_singular_value_along_its_cubic(shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, values, right = torch.linalg.svd(2 * w / torch.linalg.matrix_norm(w, 2), full_matrices=False)
    w = left @ torch.diag(values) @ right
    moved = left @ torch.diag(1.2 * values - 0.2 * values**3) @ right
    torch.testing.assert_close(pulled(w, 0.2), moved)
    w = w / values.max() * 1.3
    for _ in range(200):
        w = pulled(w, 0.2)
    torch.testing.assert_close(torch.linalg.svdvals(w), torch.ones(min(shape), dtype=torch.float64))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(5, 3),
        nn.Conv1d(2, 5, 3, padding=1),
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Conv2d(2, 30, 3, stride=2),
        nn.Conv2d(3, 2, 2, stride=2),
        nn.Conv2d(2, 4, 3, stride=2, dilation=2),
    ],
    ids=str,
)
def test_a_framed_layer_stretches_by_one_at_most(layer):
    _Framed()(nn.Sequential(layer))
    shape = {nn.Linear: (5,), nn.Conv1d: (2, 10), nn.Conv2d: (getattr(layer, "in_channels", 0), 10, 10)}[type(layer)]
    x = torch.zeros(1, *shape)
    matrix = torch.autograd.functional.jacobian(lambda z: layer(z).flatten(), x).flatten(1)
    largest = float(torch.linalg.matrix_norm(matrix, 2))
    assert 0.5 < largest <= 1 + 1e-5
    torch.testing.assert_close(
        torch.linalg.svdvals(layer.weight.detach().flatten(1)),
        torch.full((min(layer.weight.flatten(1).shape),), length(layer)),
    )


def test_the_training_is_its_loop():
    data = hints()
    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    of = Train(
        start=wrap(net, data.bounds), epochs=3, batch=50, momentum=0.0, weight_decay=0.0, smoothing=0.0, average=0.0
    )
    made = ParsevalNetworks(of=of, beta=0.05).fit(data, 7)
    done = 0
    for epoch in range(3):
        order = torch.randperm(100, generator=torch.Generator().manual_seed(_mixed(7, epoch)))
        for rows in torch.split(order, 50):
            slopes = torch.autograd.grad(cross_entropy(net(data.x[rows]), data.y[rows]), list(net.parameters()))
            with torch.no_grad():
                for p, g in zip(net.parameters(), slopes, strict=True):
                    p -= one_cycle(done, 6, 0.1) * g
                    if p.dim() > 1:
                        p.copy_(1.05 * p - 0.05 * p @ p.T @ p)
            done += 1
    learned = source_of(made).ask.net.state_dict()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(learned[name], value, rtol=1e-5, atol=1e-6)


def test_a_training_ends_near_tight_frames_and_a_plain_one_does_not():
    of = dataclasses.replace(PLAIN, average=0.0)

    def spread(learner):
        net = source_of(learner.fit(hints())).ask.net
        return max(float((torch.linalg.svdvals(p) - 1).abs().max()) for p in net.parameters() if p.dim() > 1)

    assert spread(ParsevalNetworks(of=of, beta=0.3)) < 0.1
    assert spread(of) > 0.5


def test_every_layer_is_pulled_to_its_own_length():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    norm = net[1].weight.detach().clone()
    for _ in range(300):
        _Pull(0.2)(net)
    torch.testing.assert_close(torch.linalg.svdvals(net[0].weight.detach().flatten(1)), torch.full((2,), 1 / 3))
    torch.testing.assert_close(torch.linalg.svdvals(net[3].weight.detach()), torch.ones(3))
    assert torch.equal(net[1].weight, norm)


@pytest.mark.parametrize("beta", [0.01, 0.3, 1.0])
def test_weights_that_are_far_too_long_come_down(beta):
    w = 19 * torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    w[:, 0] *= 0.02
    for _ in range(3000):
        w = pulled(w, beta)
        assert bool(torch.isfinite(w).all())
    assert float((torch.linalg.svdvals(w) - 1).abs().max()) < 0.2
