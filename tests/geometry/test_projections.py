"""Projections against their definition: the nearest point of ball and box, the least step to a hyperplane."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from holdfast.geometry import projections
from holdfast.geometry.draw import Draw
from holdfast.threats.threats import L0, L1, L2, Linf
from laws.oracles import corners, nearest


def settings(dtype):
    x0, far = corners(20, 10).to(dtype), torch.randn(20, 10, generator=torch.Generator().manual_seed(2)).to(dtype)
    return x0, x0 + far


@pytest.mark.parametrize("radius", [0.05, 0.4, 1.5, 20.0])
def test_l2_projection_is_the_nearest_point(radius):
    x0, x = settings(torch.float64)
    got = L2(radius).around(x0).project(x)
    for a, b, z in zip(x0.numpy(), x.numpy(), got.numpy(), strict=True):

        def at(s, a=a, b=b):
            return np.clip(a + s * (b - a), 0, 1)

        s = (
            1.0
            if np.linalg.norm(at(1) - a) <= radius
            else brentq(lambda s, a=a, at=at: np.linalg.norm(at(s) - a) - radius, 0, 1, xtol=1e-15)
        )
        assert np.allclose(z, at(s), atol=1e-9)


@pytest.mark.parametrize("radius", [0.05, 0.4, 1.5, 20.0])
def test_l1_projection_is_the_nearest_point(radius):
    x0, x = settings(torch.float64)
    got = L1(radius).around(x0).project(x)
    for a, b, z in zip(x0.numpy(), x.numpy(), got.numpy(), strict=True):

        def at(t, a=a, d=b - a):
            return np.clip(a + np.sign(d) * np.maximum(np.abs(d) - t, 0), 0, 1)

        t = (
            0.0
            if np.abs(at(0) - a).sum() <= radius
            else brentq(lambda t, a=a, at=at: np.abs(at(t) - a).sum() - radius, 0, 10, xtol=1e-15)
        )
        assert np.allclose(z, at(t), atol=1e-9)


@pytest.mark.parametrize("threat", [Linf, L2, L1])
def test_crossing_is_the_least_step(threat):
    x0, w = corners(20, 10), torch.randn(20, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    b = torch.linspace(-2.0, 2.0, 20, dtype=torch.float64)
    region = threat().around(x0)
    d = region.crossing(x0, w, b)
    assert ((x0 + d >= -1e-12) & (x0 + d <= 1 + 1e-12)).all()
    for i in range(20):
        least = nearest((-w[i] * b[i].sign()).numpy(), x0[i].numpy(), abs(b[i].item()), region.p)
        if math.isfinite(least):
            assert (w[i] @ d[i]).item() == pytest.approx(b[i].item(), abs=1e-9)
            assert np.linalg.norm(d[i].numpy(), region.p) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5), L1(2.0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_projection_lands_inside_without_tolerance(threat, dtype):
    x0, x = settings(dtype)
    region = threat.around(x0)
    assert region.contains(region.project(x)).all()
    assert torch.equal(region.project(x0), x0)


def test_draws_are_float64_when_asked_and_belong_to_their_row():
    like = torch.zeros(3, 100, dtype=torch.float64)
    whole, one = Draw(0, "a", [5, 6, 7], like), Draw(0, "a", [7], like[:1])
    for shape in [(100,), (2,), (100,), ()]:
        a, b = whole.uniform(*shape), one.uniform(*shape)
        assert torch.equal(a[2:], b)
        assert a.dtype == torch.float64
    assert (whole.uniform(100) != whole.uniform(100).float()).any()
    assert projections.room(like + 1, like, like, like + 2).eq(2).all()


def test_pour_moves_no_coordinate_without_weight():
    """Heaviest first, to their caps, until the sum is reached; weight 0 helps nothing and stays."""
    weight = torch.tensor([[0.0, 2.0, 1.0, 4.0], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    cap = torch.tensor([[1.0, 0.5, 1.0, 0.25], [1.0, 1.0, 0.5, 1.0]], dtype=torch.float64)
    amount = torch.tensor([2.5, 9.0], dtype=torch.float64)
    assert projections.pour(weight, cap, amount).tolist() == [[0.0, 0.5, 0.5, 0.25], [0.0, 0.0, 0.5, 0.0]]


@pytest.mark.parametrize("kind", ["distinct", "ties", "sparse", "one row without weight", "costs nothing"])
@pytest.mark.parametrize("amount", [0.5, 30.0, 1e4])
def test_long_rows_give_what_sorting_all_of_them_gives_bit_for_bit(kind, amount, monkeypatch):
    draw = torch.Generator().manual_seed(3)
    n = 3 * projections.HEAD
    d, cap = torch.randn(5, n, generator=draw), torch.rand(5, n, generator=draw)
    if kind == "ties":
        d = (2 * d).round() / 2
    elif kind == "sparse":
        d = d * (torch.rand(5, n, generator=draw) < 0.05)
    elif kind == "one row without weight":
        d[2] = 0
    elif kind == "costs nothing":
        cap[1] = 0
    x0, many = torch.zeros(5, n), torch.full((5,), amount)

    def answers():
        region = L1(amount).around(x0)
        ball = torch.maximum(projections.l1_ball(d, cap, many), -cap)
        kept, poured = projections.l0_ball(d, cap, many.round()), projections.pour(d.abs(), cap, many)
        return torch.stack([ball, kept, poured, region.steepest(d, x0), L0(round(amount)).around(x0).steepest(d, x0)])

    short = answers()
    monkeypatch.setattr(projections, "HEAD", n)
    assert torch.equal(short, answers())


def test_long_rows_are_not_sorted_whole_where_few_coordinates_are_enough():
    draw = torch.Generator().manual_seed(4)
    weight, cost = torch.rand(2, 3, 4 * projections.HEAD, generator=draw)
    assert projections.heaviest(weight, cost, torch.full((3,), 20.0)).shape == (3, projections.HEAD)
    assert projections.heaviest(weight, cost, torch.tensor([20.0, 1e6, 20.0])).shape == weight.shape


def test_a_sparse_displacement_goes_where_a_dense_sort_takes_it():
    """Onto a ball of length 2 without a box: two of the three numbers share what is left equally."""
    d = torch.zeros(1, 400)
    d[0, [5, 90, 200]] = torch.tensor([2.0, -3.0, 0.25])
    got = projections.l1_ball(d, torch.full_like(d, 10.0), torch.tensor([2.0]))
    assert got[0, [5, 90, 200]].tolist() == [0.5, -1.5, 0.0]
    assert int((got != 0).sum()) == 2
