"""DeepFool: one linearization is exact where the boundary is a plane."""

import math

import pytest
import torch

from holdfast.attacks.evasion.deep_fool import DeepFool
from holdfast.attacks.run import run
from holdfast.threats.goals import Target
from holdfast.threats.space import Box
from holdfast.threats.threats import L2, Linf
from laws.oracles import linear, torch_model, weights

WIDE = Box((-100.0, 100.0))  # never active, so that |f| / |w|_dual is the distance


@pytest.mark.parametrize(("threat", "dual"), [(L2(), 2), (Linf(), 1)], ids=str)
def test_one_linearization_is_exact_on_planes(threat, dual):
    w = weights(4, 10)
    model = linear(w, space=WIDE)
    x = torch.randn(20, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y, z = model.labels(x), model.scores(x)
    out = run(DeepFool(steps=1, overshoot=1e-6, halvings=0, returns=0), model, x, y, threat)
    for i in range(20):
        least = min(
            float((z[i, y[i]] - z[i, k]) / torch.linalg.vector_norm(w[y[i]] - w[k], dual))
            for k in range(4)
            if k != y[i]
        )
        assert math.isclose(out.distance(threat.norm)[i], least, rel_tol=1e-5)
    assert (out.gradients == 3).all()  # one for each other class
    assert (out.queries == 2).all()


def test_a_point_on_the_boundary_leaves_it():
    """Margin zero, so the shortest step to the boundary is no step at all."""
    model = linear(torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64))
    out = run(DeepFool(), model, torch.full((1, 2), 0.5, dtype=torch.float64), torch.tensor([0]), L2())
    assert out.status == ("broken",)
    assert out.distance("l2")[0] < 1e-5


def test_b02_a_sample_without_gradient_changes_nothing_for_the_others():
    """Row 0 lies where the model is flat: 0 / 0 there must not reach the mean, the maximum or the others."""
    model = linear(weights(3, 6))

    def scores(x):
        flat = (x[:, :1] > 0.99) & (x[:, 1:2] > 0.99)
        return torch.where(flat, torch.tensor([1.0, 0.0, 0.5]).to(x), model.module(x))

    x = torch.rand(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.9
    x[0, :2] = 1.0
    bent = torch_model(scores, 3)
    y = bent.labels(x)
    company, alone = run(DeepFool(), bent, x, y, L2()), run(DeepFool(), bent, x[1:], y[1:], L2(), ids=range(1, 6))
    assert company.status[0] == "unbroken"
    assert company.zero_gradients[0] > 0
    assert torch.equal(company.adversarial[1:], alone.adversarial)


@pytest.mark.parametrize(("threat", "p"), [(L2(), 2), (Linf(), math.inf)], ids=["l2", "linf"])
@pytest.mark.parametrize("goal", ["any", "aimed"])
def test_returns_come_nearer_along_a_boundary_that_bends(threat, p, goal):
    """Class 1 outside of an ellipse: the first success lies off the nearest point, each return comes nearer to it."""

    def scores(x):
        return torch.stack([torch.ones_like(x[:, 0]), x[:, 0].square() + 4 * x[:, 1].square(), 0 * x[:, 0]], 1)

    model = torch_model(scores, 3)
    angle = torch.linspace(0, 6, 30, dtype=torch.float64)
    x = torch.stack([0.5 + 0.3 * angle.cos(), 0.3 * angle.sin().abs()], 1).clamp(0.05, 0.95)
    x = x[model.labels(x) == 0]
    y = torch.zeros(len(x), dtype=torch.long)
    wanted = y if goal == "any" else Target(y + 1)
    outs = [run(DeepFool(returns=r, halvings=30), model, x, wanted, threat) for r in (0, 1, 12)]
    far = [out.distance(threat.norm) for out in outs]
    turn = torch.linspace(0, math.pi / 2, 20_001, dtype=torch.float64)
    edge = torch.stack([turn.cos(), turn.sin() / 2], 1)
    least = torch.cdist(x, edge, p=p).amin(1)
    assert (far[1] <= far[0] + 1e-9).all()
    assert float((far[0] / least).max()) > 1.01
    assert torch.as_tensor(far[2]) == pytest.approx(least, rel=1e-3)


def test_returns_come_nearer_where_the_foot_does_not_reach_the_goal():
    """Class 1 inside of an ellipse: planes touch it from outside, so the way from there to the success is halved."""

    def scores(x):
        inside = 0.09 - (x[:, 0] - 0.6).square() - 4 * (x[:, 1] - 0.5).square()
        return torch.stack([torch.zeros_like(inside), inside], 1)

    x = torch.tensor([[0.1, 0.1], [0.2, 0.9], [0.9, 0.8], [0.5, 0.05]], dtype=torch.float64)
    y = torch.zeros(4, dtype=torch.long)
    far = [run(DeepFool(returns=r, halvings=30), torch_model(scores, 2), x, y, L2()).distance("l2") for r in (0, 12)]
    turn = torch.linspace(0, 2 * math.pi, 40_001, dtype=torch.float64)
    edge = torch.stack([0.6 + 0.3 * turn.cos(), 0.5 + 0.15 * turn.sin()], 1)
    least = torch.cdist(x, edge).amin(1)
    assert float((far[0] / least).max()) > 1.01
    assert torch.as_tensor(far[1]) == pytest.approx(least, rel=1e-3)


def test_it_asks_as_often_as_it_says_and_no_more_where_nothing_is_reached():
    def scores(x):
        value = torch.where(x[:, 0] < 0.5, x[:, 0].square() - 0.04, -1 - x[:, 0])
        return torch.stack([torch.zeros_like(value), value], 1)

    x = torch.tensor([[0.1, 0.5], [0.8, 0.5]], dtype=torch.float64)
    attack = DeepFool(steps=1, halvings=3, returns=2)
    out = run(attack, torch_model(scores, 2), x, torch.zeros(2, dtype=torch.long), L2())
    assert out.status == ("broken", "unbroken")
    assert out.queries.tolist() == [attack.passes(), 2]
    assert out.gradients.tolist() == [3, 1]
