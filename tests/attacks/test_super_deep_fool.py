"""SuperDeepFool, SparseFool and NewtonFool: a step of each by hand, what they improve on, goals out of reach."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.deep_fool import DeepFool
from holdfast.attacks.evasion.newton_fool import NewtonFool
from holdfast.attacks.evasion.sparse_fool import SparseFool
from holdfast.attacks.evasion.super_deep_fool import SuperDeepFool
from holdfast.attacks.run import run
from holdfast.threats.goals import Target
from holdfast.threats.space import Box
from holdfast.threats.threats import L1, L2
from laws.oracles import corners, linear, torch_model


def asked(model, x, y, attack, threat):
    """Every point the attack asks about."""
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    run(attack, torch_model(spy, model.classes, model.space), x, y, threat)
    return torch.cat(seen[1:])


def bowl():
    """Class 1 outside of the ellipse x^2 + 4 y^2 = 1: no step of DeepFool is exact."""
    return torch_model(
        lambda z: (z.square() * torch.tensor([1.0, 4.0]).to(z)).sum(1, keepdim=True) - 1, 2, Box((-3, 3))
    )


@pytest.mark.parametrize(
    ("attack", "threat"), [(DeepFool(), L2()), (SuperDeepFool(), L2()), (SparseFool(), L1())], ids=repr
)
def test_a_step_that_ends_in_the_noise_of_the_model_is_followed_by_another(attack, threat):
    """They took a margin just below zero for a success, which the books did not count: six of 48 road signs."""
    model = dataclasses.replace(linear(torch.eye(2, dtype=torch.float64)), noise=0.1)
    out = run(attack, model, torch.tensor([[0.6, 0.4]], dtype=torch.float64), torch.tensor([0]), threat)
    assert out.status == ("broken",)
    assert out.margin[0] < -0.1


def test_the_foot_of_the_perpendicular_by_hand():
    x = torch.tensor([[0.4, 0.1]], dtype=torch.float64)
    points = asked(bowl(), x, torch.tensor([0]), SuperDeepFool(rounds=1, overshoot=0.0, halvings=0), L2()).numpy()
    f = lambda p: p @ (np.array([1, 4]) * p) - 1  # noqa: E731
    y = x[0].numpy()
    while f(y) <= 0:
        g = np.array([2, 8]) * y
        y = y - f(y) / (g @ g) * g if f(y) < -1e-12 else y + 1e-6 * g / np.linalg.norm(g)
    g = np.array([2, 8]) * y
    foot = x[0].numpy() + g @ (y - x[0].numpy()) / (g @ g) * g
    assert np.allclose(points[-1], foot, atol=1e-4)


def test_it_comes_nearer_than_deep_fool():
    x = 0.5 * corners(20, 2) - 0.25
    plain, better = (
        run(a, bowl(), x, torch.zeros(20, dtype=torch.long), L2()).distance("l2")
        for a in (DeepFool(returns=0), SuperDeepFool())
    )
    assert (better <= plain * (1 + 1e-3)).all()
    assert (better < 0.98 * plain).any()


def test_a_sparse_step_takes_the_heaviest_values_to_their_bounds():
    w = torch.tensor([1.0, -4.0, 2.0, 0.5]).double()
    model = linear(torch.stack([0 * w, w]), torch.tensor([0.0, -0.9]))
    x = torch.tensor([[0.2, 0.7, 0.1, 0.5]], dtype=torch.float64)
    out = run(SparseFool(overshoot=1e-4), model, x, torch.tensor([0]), L1())
    gap = 0.9 - float(w @ x[0])
    expected = x[0].clone()
    expected[1] = 0.0  # takes 2.8 of the gap
    expected[2] += (gap - 2.8) / 2
    assert torch.allclose(out.adversarial[0], expected, atol=5e-3)
    far = run(SparseFool(far=1.4, halvings=0), model, x, torch.tensor([0]), L1())
    assert far.distance("l1").item() > 1.2 * out.distance("l1").item()


def test_a_newton_step_by_hand():
    """Three classes: p of the true one comes down to just under a third, linearly extrapolated."""
    w = np.array([[1.0, 2.0], [0.0, 1.0], [-1.0, 0.5]])
    model = linear(torch.from_numpy(w), torch.tensor([0.3, 0.0, 0.0]), space=Box((-10.0, 10.0)))
    x = np.array([[0.2, -0.1]])
    points = asked(model, torch.from_numpy(x), torch.tensor([0]), NewtonFool(halvings=0, step=1.0), L2())
    z = np.exp(x[0] @ w.T + np.array([0.3, 0, 0]))
    p = z / z.sum()
    g = p[0] * (w[0] - p @ w)
    assert np.allclose(points[1].numpy(), x[0] - (p[0] - 0.99 / 3) / (g @ g) * g)


def test_a_newton_step_has_a_longest_length():
    w = torch.tensor([[0.0, 0.0], [30.0, 40.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -60.0]))  # saturated: p differs from 1 by e^-60
    x = torch.zeros(1, 2, dtype=torch.float64)
    points = asked(model, x, torch.tensor([0]), NewtonFool(step=0.02, halvings=0), L2())
    assert (points[1] - points[0]).norm().item() == pytest.approx(0.02 * math.sqrt(2))
    assert run(NewtonFool(), model, x, torch.tensor([0]), L2()).success.all()


@pytest.mark.parametrize("attack", [SuperDeepFool(), SparseFool(), NewtonFool()], ids=lambda a: type(a).__name__)
def test_goals_out_of_reach_and_flat_models(attack):
    threat = L1() if isinstance(attack, SparseFool) else L2()
    flat = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z) + 0 * z.sum(1, keepdim=True), 2)
    x = corners(3, 5)
    out = run(attack, flat, x, torch.zeros(3, dtype=torch.long), threat)
    assert set(out.status) == {"unbroken"}
    assert torch.isfinite(out.strongest).all()
    never = torch_model(lambda z: torch.cat([z[:, :2], z[:, :1] - 9], 1), 3)
    assert not run(attack, never, x, Target(torch.full((3,), 2)), threat).success.any()
