"""FMN: its first steps by hand, the count in L0, flat gradients, boundaries that curve away."""

import math

import pytest
import torch

from holdfast.attacks.evasion.fmn import Fmn
from holdfast.attacks.run import run
from holdfast.threats.space import Box
from holdfast.threats.threats import L0, L1, L2, Linf
from laws.oracles import corners, linear, setting, torch_model, weights


def asked(model, x, y, attack, threat):
    """Every point the attack asks about."""
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    run(attack, torch_model(spy, model.classes, model.space), x, y, threat)
    return torch.cat(seen[1:])


def test_first_moves_by_hand():
    """A plane at 0.2 along (3, 4) / 5 in a box of width 4: the boundary exceeded by 5 %, then a ball 2.5 % smaller."""
    w = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.0]), space=Box((-2.0, 2.0)))
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    points = asked(model, x, y, Fmn(steps=2), L2(math.inf))
    first = 0.2 * 1.05
    change = 0.001 + 0.049 * (1 + math.cos(math.pi / 2)) / 2
    assert torch.allclose(points[:3].norm(dim=1), torch.tensor([0.0, first, first * (1 - change)]).double())
    assert torch.allclose(points[1], torch.tensor([0.6, 0.8]).double() * first)


@pytest.mark.parametrize(("threat", "least"), [(Linf(), 1 / 7), (L1(), 1 / 4)])
def test_the_first_ball_is_the_norm_s_own(threat, least):
    w = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.0]), space=Box((-2.0, 2.0)))
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    far = asked(model, x, y, Fmn(steps=1), threat)[1].abs()
    assert (far.amax() if threat.p == math.inf else far.sum()).item() == pytest.approx(1.05 * least)


def test_in_l2_a_short_step_is_taken_to_the_surface():
    """Coordinate 0 has no room, so the step has one direction; a hundredth of the box is less than the way."""
    w = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -4.0]), space=Box((-1.0, 1.0)))
    x, y = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([0])
    points = asked(model, x, y, Fmn(steps=1, step=0.01), L2(math.inf))
    assert torch.allclose(points[1], torch.tensor([1.0, 0.2 * 1.05]).double())


def test_before_the_first_success_the_radius_never_falls():
    """The slope rises tenfold on the way: the boundary seems at 1, then at 0.15, and the second step goes past it."""
    bent = torch_model(lambda z: z - 1 + 9 * (z - 1 / 18).relu(), 2, Box((0.0, 2.0)))
    x, y = torch.zeros(1, 1, dtype=torch.float64), torch.tensor([0])
    points = asked(bent, x, y, Fmn(steps=4, step=0.05), Linf())[:, 0]
    step = 0.1 * (0.01 + 0.99 * (1 + math.cos(math.pi / 4)) / 2)
    assert torch.allclose(points[:3], torch.tensor([0.0, 0.1, 0.1 + step], dtype=torch.float64))


def test_in_l0_one_value_more_until_the_goal_is_reached():
    """Five equal weights, three needed: 1, 2, 3, then never more than one less than the nearest."""
    model = linear(torch.tensor([[0.0] * 5, [1.0] * 5]).double(), torch.tensor([0.0, -2.5]))
    x, y = torch.zeros(1, 5, dtype=torch.float64), torch.tensor([0])
    points = asked(model, x, y, Fmn(steps=6, step=10.0), L0())
    assert (points != 0).sum(1).tolist()[:5] == [0, 2, 3, 2, 3]
    assert run(Fmn(step=10.0), model, x, y, L0()).distance("l0").item() == 3


def test_a_boundary_that_curves_away_is_passed():
    """Inside a sphere every linear estimate stops short of it."""
    inside = torch_model(lambda z: z.square().sum(1, keepdim=True) - 1, 2, Box((-2.0, 2.0)))
    x = 0.2 * (corners(8, 5) - 0.5)
    out = run(Fmn(), inside, x, torch.zeros(8, dtype=torch.long), L2())
    assert out.success.all()
    assert torch.allclose(out.distance("l2"), 1 - x.norm(dim=1), rtol=0.01)


@pytest.mark.parametrize("threat", [Linf(), L2(), L1(), L0()], ids=str)
def test_a_flat_start_is_left_at_random(threat):
    """A plateau of ReLUs around the input: no gradient there, a slope beyond."""
    w = weights(1, 12)

    def scores(x):
        return ((x - 0.5) @ w.to(x).T).abs().sub(0.5).relu() - 0.25

    x = torch.full((4, 12), 0.5, dtype=torch.float64)
    out = run(Fmn(step=10.0), torch_model(scores, 2), x, torch.zeros(4, dtype=torch.long), threat)
    assert out.success.all()
    assert out.zero_gradients.min() >= 1


def test_nothing_to_find_is_no_error():
    _, x, _ = setting()
    constant = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    out = run(Fmn(steps=5), constant, x, torch.zeros(len(x), dtype=torch.long), L1())
    assert set(out.status) == {"unbroken"}
    assert (out.queries == 6).all()
