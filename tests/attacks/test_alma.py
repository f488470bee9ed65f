"""Alma: the penalty against finite differences, its first steps by hand, the rate, flat and binary models."""

import math

import pytest
import torch

from holdfast.attacks.evasion import alma
from holdfast.attacks.evasion.alma import Alma, penalty_slope
from holdfast.attacks.run import run
from holdfast.threats.space import Box
from holdfast.threats.threats import L1, L2
from laws.oracles import linear, setting, torch_model, weights


def penalty(y, rho, mu):
    """P2 of the paper."""
    return mu * y + mu * rho * y**2 + rho**2 * y**3 / 6 if y >= 0 else mu * y / (1 - rho * y)


def asked(model, x, y, attack, threat):
    """Every point the attack asks about."""
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    run(attack, torch_model(spy, model.classes, model.space), x, y, threat)
    return torch.cat(seen[1:])


@pytest.mark.parametrize("y", [-3.0, -0.4, 0.2, 2.0])
@pytest.mark.parametrize(("rho", "mu"), [(1.0, 1.0), (3.0, 0.2)])
def test_the_penalty_s_derivative(y, rho, mu):
    slope = (penalty(y + 1e-6, rho, mu) - penalty(y - 1e-6, rho, mu)) / 2e-6
    found = penalty_slope(*(torch.tensor([v], dtype=torch.float64) for v in (y, rho, mu)))
    assert found.item() == pytest.approx(slope, rel=1e-6)


def test_first_steps_by_hand():
    """A plane at 0.2 along (3, 4) / 5, a margin of 1 at the input; the box, of width 4, is far."""
    w = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.0]), space=Box((-2.0, 2.0)))
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    points = asked(model, x, y, Alma(steps=2, step=0.01), L2())

    g, mu, s, kept, far = 4 * w[1], 1.0, torch.ones(2).double(), 0.5, 1e-4 + 1.0
    d = -penalty_slope(*(torch.tensor(v).double() for v in (far, 1.0, 1.0))) * g
    rate = 0.01 / d.norm()
    s = kept * s + (1 - kept) * d**2
    m = d / s.sqrt()
    u = -rate * m
    assert torch.allclose(points[1], 4 * u)

    near = 1e-4 + 1.0 - (4 * u) @ w[1]
    mu = kept * mu + (1 - kept) * penalty_slope(near, torch.tensor(1.0), torch.tensor(mu))
    d = u / u.norm() - penalty_slope(near, torch.tensor(1.0), mu) * g
    s = kept * s + (1 - kept) * d**2
    u = u - rate * (kept * m + d / s.sqrt())
    assert torch.allclose(points[2], 4 * u)


def test_the_penalty_grows_after_ten_steps_without_progress(monkeypatch):
    """A margin that stays where it is, with a slope: the points differ from those without growth from step 10 on."""

    def stuck(z):
        return (z - z.detach()).sum(1, keepdim=True) - 1

    x, y = torch.full((1, 3), 0.5, dtype=torch.float64), torch.tensor([0])
    model = torch_model(stuck, 2, Box((-1e6, 1e6)))
    grown = asked(model, x, y, Alma(steps=20), L2())
    monkeypatch.setattr(alma, "GROWTH", 1.0)
    kept = asked(model, x, y, Alma(steps=20), L2())
    assert torch.equal(grown[:11], kept[:11])
    assert not torch.equal(grown[11], kept[11])


def test_the_penalty_stays_after_the_goal_was_reached(monkeypatch):
    """A margin that is below 0 once and then stays above: the points are those without growth."""
    asks = []

    def scores(z):
        asks.append(len(z))
        return (z - z.detach()).sum(1, keepdim=True) + (1 if len(asks) == 6 else -1)

    def points():
        asks.clear()
        return asked(torch_model(scores, 2, Box((-1e6, 1e6))), x, y, Alma(steps=30), L2())

    x, y = torch.full((1, 3), 0.5, dtype=torch.float64), torch.tensor([0])
    usual = points()
    monkeypatch.setattr(alma, "GROWTH", 1.0)
    assert torch.equal(usual, points())


def test_the_first_rate_counts_what_the_box_cuts_off():
    """One value has no room; the other's step, at a slope of 4, is as long as asked until the mean square scales it."""
    w = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.5]), scale=8.0, space=Box((0.0, 1.0)))
    x, y = torch.tensor([[1.0, 0.25]], dtype=torch.float64), torch.tensor([0])
    first = asked(model, x, y, Alma(steps=1, step=0.1, smoothing=0.5), L1())[1]
    d = penalty_slope(*(torch.tensor(v).double() for v in (1 + 1e-4, 1.0, 1.0)))
    assert first[0] == 1
    assert (first[1] - 0.25).item() == pytest.approx(0.1 / math.sqrt(0.5 + 0.5 * (4 * d) ** 2), rel=1e-5)


@pytest.mark.parametrize("threat", [L2(), L1()], ids=str)
def test_where_the_box_allows_no_step_so_long_the_rate_stays_small(threat):
    """One of 64 values matters: no step along the slope is 0.7 long for most inputs, and none need end in a corner."""
    w = torch.zeros(1, 64, dtype=torch.float64)
    w[0, 5] = 4.0
    x = torch.rand(50, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = linear(w, -2.0)
    out = run(Alma(), model, x, model.labels(x), threat)
    exact = (x[:, 5] - 0.5).abs()
    assert out.success.all()
    assert ((out.adversarial - x).norm(dim=1) / exact).max() < 1.1


@pytest.mark.parametrize("threat", [L2(), L1()], ids=str)
def test_a_flat_start_is_left_at_random(threat):
    w = weights(1, 12)

    def scores(x):
        return ((x - 0.5) @ w.to(x).T).abs().sub(0.5).relu() - 0.25

    x = torch.full((4, 12), 0.5, dtype=torch.float64)
    out = run(Alma(steps=200), torch_model(scores, 2), x, torch.zeros(4, dtype=torch.long), threat)
    assert out.success.all()


def test_nothing_to_find_is_no_error():
    _, x, _ = setting()
    constant = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    out = run(Alma(steps=5), constant, x, torch.zeros(len(x), dtype=torch.long), L1())
    assert set(out.status) == {"unbroken"}
    assert (out.queries == 6).all()
