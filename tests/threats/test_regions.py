"""Regions: steepest directions, samples, membership, crossings, against brute force."""

import math

import pytest
import torch

from holdfast.geometry.draw import Draw
from holdfast.geometry.rows import dot, norm
from holdfast.threats.space import Box
from holdfast.threats.threats import L0, L1, L2, Linf

THREATS = [Linf(0.2), L2(0.5), L1(0.8), L0(2)]
every = pytest.mark.parametrize("threat", THREATS, ids=str)


def inputs(n=6, size=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, size, generator=g, dtype=torch.float64), torch.randn(n, size, generator=g, dtype=torch.float64)


@every
def test_steepest_beats_every_random_direction_of_the_ball(threat):
    """In the middle of a wide box nothing is cut, so the best displacement of the ball is a closed form."""
    x0, g = inputs()
    region = threat.around(x0, Box((-10.0, 10.0)))
    d = region.steepest(g, x0)
    dual = {math.inf: norm(g, 1), 2.0: norm(g, 2), 1.0: norm(g, math.inf)}
    if threat.p == 0:
        assert ((d != 0).sum(1) == 2).all()
        return
    assert torch.allclose(dot(g, d), threat.radius * dual[threat.p])
    assert torch.allclose(norm(d, threat.p), torch.full((6,), threat.radius, dtype=torch.float64))


@every
def test_steepest_moves_no_coordinate_that_has_no_room(threat):
    x0, g = inputs()
    x0[:, 0], g[:, 0] = 1.0, 9.0
    d = threat.around(x0).steepest(g, x0)
    if threat.p != math.inf:  # the Linf projection clips each coordinate by itself
        assert (d[:, 0] == 0).all()
    assert (threat.around(x0).steepest(torch.zeros_like(g), x0) == 0).all()


def test_l1_and_l0_steepest_fill_the_best_coordinates_first():
    x0 = torch.tensor([[0.5, 0.5, 0.9, 0.2]], dtype=torch.float64)
    g = torch.tensor([[1.0, -2.0, 9.0, 3.0]], dtype=torch.float64)
    assert torch.allclose(L1(0.3).around(x0).steepest(g, x0), torch.tensor([[0.0, 0.0, 0.1, 0.2]], dtype=torch.float64))
    assert torch.allclose(L0(2).around(x0).steepest(g, x0), torch.tensor([[0.0, -0.5, 0.0, 0.8]], dtype=torch.float64))


@every
def test_samples_lie_inside_spread_and_belong_to_their_row(threat):
    x0, _ = inputs(200, 8)
    region = threat.around(x0)
    x = region.sample(Draw(0, "a", range(200), x0))
    assert region.contains(x).all()
    lengths = region.distance(x)
    assert lengths.max() > 0.8 * threat.radius
    assert (lengths > 0).all()
    assert torch.equal(region.sample(Draw(0, "a", range(200), x0)), x)
    assert not torch.equal(region.sample(Draw(1, "a", range(200), x0)), x)
    d = x - x0
    assert (d > 0).any()
    assert (d < 0).any()


def test_linf_and_l2_samples_are_uniform():
    x0 = torch.full((2_000, 2), 0.5, dtype=torch.float64)
    d = Linf(0.2).around(x0).sample(Draw(0, "a", range(2_000), x0)) - 0.5
    assert abs(d.mean().item()) < 0.01
    assert d.std().item() == pytest.approx(0.4 / math.sqrt(12), rel=0.05)
    far = norm(L2(0.2).around(x0).sample(Draw(0, "a", range(2_000), x0)) - 0.5, 2) / 0.2
    assert far.square().mean().item() == pytest.approx(
        0.5, rel=0.05
    )  # the square of a uniform disk's radius is uniform


@every
def test_contains_is_ball_and_box(threat):
    x0, _ = inputs()
    region = threat.around(x0)
    assert region.contains(x0).all()
    out = x0.clone()
    out[:, 0] = 1.0 + 1e-6
    assert not region.contains(out).any()
    out[:, 0] = -1e-6
    assert not region.contains(out).any()
    rows = torch.tensor([1, 4])
    assert region.contains(x0[rows], rows).all()
    assert torch.equal(region.distance(x0[rows], rows), torch.zeros(2, dtype=torch.float64))
    moved = torch.where(torch.arange(5) < (3 if threat.p == 0 else 5), 1 - x0.round(), x0)
    assert not region.contains(moved).any()


@every
def test_farthest_is_the_distance_to_the_farthest_corner(threat):
    x0, _ = inputs()
    corner = 1 - x0.round()
    assert torch.allclose(threat.around(x0).farthest(), norm(corner - x0, threat.p))


@pytest.mark.parametrize("threat", [Linf(), L2(), L1()], ids=str)
def test_crossing_out_of_reach_comes_as_close_as_it_can(threat):
    x0, w = inputs()
    d = threat.around(x0).crossing(x0, w, torch.full((6,), 1e6, dtype=torch.float64))
    best = torch.where(w > 0, 1 - x0, x0) * w.sign()
    assert torch.allclose(d, best)


@pytest.mark.parametrize("threat", [Linf(0.3), L2(0.9), L1(2.0), L0(2)], ids=str)
def test_projection_leaves_what_is_inside_and_moves_the_rest_least(threat):
    x0, far = inputs()
    region = threat.around(x0)
    inside = region.sample(Draw(0, "b", range(6), x0))
    assert torch.allclose(region.project(inside), inside, atol=1e-9)
    got = region.project(x0 + far)
    assert region.contains(got).all()
    least = (got - x0 - far).norm(dim=1)
    for seed in range(30):
        other = region.sample(Draw(seed, "c", range(6), x0))
        assert (least <= (other - x0 - far).norm(dim=1) + 1e-9).all()


@every
def test_rows_of_a_region_are_their_own_region_and_may_repeat(threat):
    """Each row with its own box and radius, some of them twice."""
    x0, g = inputs()
    low, high = x0 - torch.rand_like(x0), x0 + torch.rand_like(x0)
    radius = threat.radius * torch.linspace(0.5, 1.5, len(x0), dtype=torch.float64)
    region = type(threat.around(x0))(x0, radius, low, high)
    rows = torch.tensor([1, 1, 4, 5, 5])
    part, x = region.of(rows), x0 + g
    assert type(part) is type(region)
    assert torch.equal(part.x0, x0[rows])
    assert torch.equal(part.project(x[rows]), region.project(x)[rows])
    assert torch.equal(part.steepest(g[rows], x0[rows]), region.steepest(g, x0)[rows])
    near = region.project(x)
    assert torch.equal(part.contains(near[rows] * 1.01), region.contains(near * 1.01)[rows])
