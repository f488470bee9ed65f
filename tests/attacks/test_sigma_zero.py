"""Sigma-zero: two steps by hand, the filter, ranges of different width."""

import math

import numpy as np
import torch

from holdfast.attacks.evasion.sigma_zero import SigmaZero
from holdfast.attacks.run import run
from holdfast.threats.space import Box
from holdfast.threats.threats import L0
from laws.oracles import corners, linear, setting, torch_model, weights


def asked(model, x, y, attack):
    """Every point the attack asks about."""
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    run(attack, torch_model(spy, model.classes, model.space), x, y, L0())
    return torch.cat(seen[1:])


def test_two_steps_by_hand():
    """Adam over a normalized gradient, then the filter, in numpy."""
    w, b = np.array([1.0, -2.0, 0.25, 0.5]), -60.0
    model = linear(torch.stack([torch.zeros(4), torch.from_numpy(w)]).double(), torch.tensor([0.0, b]))
    x = torch.tensor([[0.5, 0.125, 0.4, 0.0]], dtype=torch.float64)
    attack = SigmaZero(steps=4, step=0.5, threshold=0.4, sigma=0.01, pace=0.1)
    points = asked(model, x, torch.tensor([0]), attack).numpy()
    x, u, m, v, threshold = x.numpy()[0], np.zeros(4), np.zeros(4), np.zeros(4), 0.4
    clean = -(w @ x + b)
    for i in range(2):
        step = 0.5 * (0.1 + 0.9 * (1 + math.cos(math.pi * i / 4)) / 2)
        g = -10 / clean * w + 2 * 0.01 * u / (u**2 + 0.01) ** 2 / 4
        g = g / np.abs(g).max()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        u = u - step * (m / (1 - 0.9 ** (i + 1))) / (np.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8)
        u = np.clip(x + u, 0, 1) - x
        threshold = threshold - 0.1 * step
        u[np.abs(u) < threshold] = 0
        assert np.allclose(points[i + 1], x + u)
    assert (points[1] == x).any()  # the first filter undoes what had little room


def test_a_huge_plane_takes_its_heaviest_values():
    """Weights far apart: the count that suffices is that of the heaviest."""
    w = torch.cat([torch.full((1, 5), 4.0), torch.full((1, 95), 1.0)], 1).double()
    model = linear(torch.cat([0 * w, w]), torch.tensor([0.0, -19.0]))
    x = torch.zeros(3, 100, dtype=torch.float64)
    out = run(SigmaZero(), model, x, torch.zeros(3, dtype=torch.long), L0())
    assert (out.distance("l0") == 5).all()


def test_ranges_of_different_width_are_fractions_of_themselves():
    low, high = (0.0, -5.0, 10.0, 0.0, 0.5, -1.0), (1.0, 5.0, 11.0, 4.0, 1.5, 1.0)
    u = corners(6, 6)
    scaled = torch.tensor(low).double() + (torch.tensor(high) - torch.tensor(low)).double() * u
    w = weights(3, 6)
    plain = linear(w, -(u.mean(0) @ w.T))
    shifted = torch_model(
        lambda z: plain.module((z - torch.tensor(low).to(z)) / torch.tensor([1.0, 10, 1, 4, 1, 2]).to(z)),
        3,
        Box((low, high)),
    )
    y = plain.labels(u)
    one, other = run(SigmaZero(), plain, u, y, L0()), run(SigmaZero(), shifted, scaled, y, L0())
    assert torch.equal(one.distance("l0"), other.distance("l0"))


def test_nothing_to_find_is_no_error():
    _, x, _ = setting()
    constant = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    out = run(SigmaZero(steps=5), constant, x, torch.zeros(len(x), dtype=torch.long), L0())
    assert set(out.status) == {"unbroken"}
