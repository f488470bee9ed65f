"""FAB-T: the mix of two projections, the order of its targets, false position, its cost."""

import math

import torch

from holdfast.attacks.evasion.fab_t import FabT
from holdfast.attacks.run import run
from holdfast.threats.goals import Wrong
from holdfast.threats.space import Box
from holdfast.threats.threats import L2, Linf
from laws.oracles import corners, linear, setting, torch_model, weights


def asked(model, x, y, attack, threat):
    """Every point the attack asks about, and the outcome."""
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    out = run(attack, torch_model(spy, model.classes, model.space), x, y, threat)
    return torch.cat(seen[1:]), out


def test_first_moves_by_hand():
    """A plane at distance 2: the first move ends at 1.05 * 2, is pulled back to 0.9 of it, and so on."""
    w = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -2.0]), space=Box((-10.0, 10.0)))
    x = torch.zeros(1, 2, dtype=torch.float64)
    points, out = asked(model, x, torch.tensor([0]), FabT(steps=2, secants=0), L2(math.inf))
    first, pulled = 2.1, 2.1 * 0.9
    a = (2 - pulled) / (2 - pulled + 2)
    second = (1 - a) * (pulled + 1.05 * (2 - pulled)) + a * first
    distances = points.norm(dim=1)
    expected = torch.tensor([0.0, first, pulled, second], dtype=torch.float64)
    assert torch.allclose(distances[:4], expected)
    assert out.distance("l2").item() == points[model.labels(points) == 1].norm(dim=1).min()


def test_false_position_lands_on_a_plane():
    model, x, y = setting(n=6)
    near = run(FabT(steps=3), model, x, y, L2(math.inf)).distance("l2")
    far = run(FabT(steps=3, secants=0), model, x, y, L2(math.inf)).distance("l2")
    best = run(FabT(steps=100), model, x, y, L2(math.inf)).distance("l2")
    assert (near <= far).all()
    assert (near <= 1.02 * best).all()


def test_one_gradient_for_each_step_and_target():
    model, x, y = setting(classes=5, n=4)
    out = run(FabT(steps=6, targets=2, secants=0), model, x, y, Linf(1e-9))
    assert (out.gradients == 12).all()
    assert (
        out.queries == 2 * (6 + 5 + 1) + 1
    ).all()  # linearizations, looks at what they led to, the last one; false position


def test_the_nearest_way_is_not_the_one_of_smallest_margin():
    """With one target it misses a nearer class of steeper slope, with two it finds it."""
    w = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.0, -2.0]), space=Box((-10.0, 10.0)))
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    one, two = (run(FabT(targets=k, steps=20), model, x, y, L2(math.inf)).distance("l2").item() for k in (1, 2))
    assert 1 < one < 1.01
    assert 0.2 < two < 0.202


def test_with_hope_a_row_whose_nearest_success_is_far_leaves_after_its_first_way():
    """The first way's success lies at about 1 and the second's at 0.2; a row without any success goes on."""
    w = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.0, -2.0]), space=Box((-10.0, 10.0)))
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    far, near, every = (run(FabT(targets=2, steps=20, hope=h), model, x, y, L2(0.3)) for h in (3, 4, None))
    assert (far.status, near.status, every.status) == (("unbroken",), ("broken",), ("broken",))
    assert far.queries < near.queries == every.queries
    flat = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    blind = linear(flat, torch.tensor([0.0, -1.0, -2.0]), space=Box((-10.0, 10.0)))
    assert run(FabT(targets=2, steps=20, hope=0.1), blind, x, y, L2(0.3)).status == ("broken",)
    assert FabT(hope=1.0).thins
    assert not FabT().thins


def test_restarts_begin_within_half_the_radius():
    model, x, y = setting(shape=(24,), n=5)
    radius = 1e-3
    points, _ = asked(model, x[:1], y[:1], FabT(steps=1, targets=1, restarts=4, secants=0), L2(radius))
    starts = points[3:6]  # after a linearization, its end and the nearest success; all three starts are looked at first
    far = (starts - x[0]).norm(dim=1)
    assert (far <= radius / 2 + 1e-12).all()
    assert far.unique().numel() == len(far)


def test_goal_out_of_reach_is_no_error():
    x = corners(3, 12)
    model = linear(weights(2, 12) * 0, torch.tensor([1.0, 0.0]))
    out = run(FabT(steps=4), model, x, torch.zeros(3, dtype=torch.long), Linf(math.inf))
    assert set(out.status) == {"unbroken"}
    assert Wrong(torch.zeros(3, dtype=torch.long)).margins(model.answer(out.strongest)).min() > 0
