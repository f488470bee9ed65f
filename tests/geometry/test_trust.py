"""The trust-region step against a solver of convex programs."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from holdfast.geometry.trust import toward


def problem(seed, n=6, rows=6):
    """Iterates and originals in the unit box, a plane near the iterate."""
    g = torch.Generator().manual_seed(seed)
    x, x0 = (torch.rand(rows, n, generator=g, dtype=torch.float64).mul(1.4).sub(0.2).clamp(0, 1) for _ in range(2))
    w = torch.randn(rows, n, generator=g, dtype=torch.float64)
    return x, x0, w, 0.05 * torch.randn(rows, generator=g, dtype=torch.float64)


def program(x, x0, w, amount, radius, p):
    """Least |z - x0|_p by SLSQP, with z - x0 = u - v so that every norm is smooth."""
    n = len(x)

    def length(s):
        size = s[:n] + s[n : 2 * n]
        return {1.0: size.sum(), 2.0: math.sqrt(size @ size + 1e-15), math.inf: s[-1]}[p]

    def z(s):
        return x0 + s[:n] - s[n : 2 * n]

    start = x - x0
    found = minimize(
        length,
        np.concatenate([start.clip(0), (-start).clip(0), [np.abs(start).max()]]),
        bounds=[(0, 1)] * (2 * n + 1),
        constraints=[
            {"type": "eq", "fun": lambda s: w @ (z(s) - x) - amount},
            {"type": "ineq", "fun": lambda s: radius**2 - np.sum((z(s) - x) ** 2)},
            {"type": "ineq", "fun": lambda s: np.concatenate([z(s), 1 - z(s)])},
            {"type": "ineq", "fun": lambda s: s[-1] - s[:n] - s[n : 2 * n]},
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    return np.linalg.norm(z(found.x) - x0, p)


@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
@pytest.mark.parametrize("radius", [0.15, 0.5, 3.0])
def test_it_is_the_convex_program(p, radius):
    x, x0, w, amount = problem(1)
    radii = torch.full((len(x),), radius, dtype=torch.float64)
    z = toward(x, x0, w, amount, torch.zeros_like(x), torch.ones_like(x), radii, p)
    assert ((z >= 0) & (z <= 1)).all()
    assert ((z - x).norm(dim=1) <= radius + 1e-9).all()
    assert (((w * (z - x)).sum(1) - amount).abs() <= 1e-6).all()
    least = [program(*(v[i].numpy() for v in (x, x0, w, amount)), radius, p) for i in range(len(x))]
    got = torch.linalg.vector_norm(z - x0, p, dim=1).numpy()
    assert (got <= np.array(least) * 1.001 + 1e-4).all()


@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
def test_a_plane_out_of_reach_is_approached(p):
    x, x0, w, _ = problem(2)
    radii = torch.full((len(x),), 0.01, dtype=torch.float64)
    z = toward(x, x0, w, torch.full_like(radii, 5.0), torch.zeros_like(x), torch.ones_like(x), radii, p)
    assert torch.allclose((z - x).norm(dim=1), radii)
    assert ((w * (z - x)).sum(1) > 0).all()


@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
def test_without_a_plane_it_goes_to_the_original(p):
    x, x0, w, amount = problem(3)
    z = toward(x, x0, 0 * w, amount, 0 * x, 0 * x + 1, torch.full_like(amount, 9.0), p)
    assert torch.allclose(z, x0, atol=1e-3)


@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
def test_a_plane_beyond_the_iterate_is_reached_by_going_farther(p):
    """All values are as far from the original as the norm says, so that the way to the plane leads outward."""
    x0, w = torch.full((4, 8), 0.5, dtype=torch.float64), problem(4, n=8, rows=4)[2]
    x, amount = x0 + 0.1 * w.sign(), 0.05 * w.abs().sum(1)
    radii = torch.full((4,), 0.3, dtype=torch.float64)
    z = toward(x, x0, w, amount, 0 * x, 0 * x + 1, radii, p)
    assert (((w * (z - x)).sum(1) - amount).abs() <= 1e-6).all()
    least = [program(*(v[i].numpy() for v in (x, x0, w, amount)), 0.3, p) for i in range(4)]
    got = torch.linalg.vector_norm(z - x0, p, dim=1).numpy()
    assert (got <= np.array(least) * 1.001 + 1e-4).all()


@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
def test_a_row_ends_where_it_would_end_alone(p):
    x, x0, w, amount = problem(5)
    radii = torch.tensor([0.01, 0.1, 0.2, 0.4, 1.0, 3.0], dtype=torch.float64)
    rows = (x, x0, w, amount, 0 * x, 0 * x + 1, radii)
    together = toward(*rows, p)
    for i in range(len(x)):
        assert torch.equal(toward(*(v[i : i + 1] for v in rows), p)[0], together[i])


@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
def test_rows_that_leave_early_move_no_bit_of_the_others(p):
    """Planes near and far, within the box and beyond it, so that rows leave both searches at different times."""
    x, x0, w, _ = (v.float() for v in problem(7, n=200, rows=12))
    reach = torch.maximum(w * (1 - x), -w * x).sum(1)
    amount = reach * torch.tensor([0.0, 0.001, -0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.999, 1.001, 1.5, 9.0])
    radii = torch.tensor([3.0, 0.01, 0.3] * 4)
    rows = (x, x0, w, amount, 0 * x, 0 * x + 1, radii)
    together = toward(*rows, p, slack=1e-4)
    for order in (torch.arange(11, -1, -1), torch.tensor([5]), torch.tensor([9, 2])):
        assert torch.equal(toward(*(v[order] for v in rows), p, slack=1e-4), together[order])
    assert ((together - x).norm(dim=1) <= radii * (1 + 1e-5)).all()


@pytest.mark.parametrize("p", [math.inf, 2.0, 1.0])
def test_a_row_that_is_near_enough_waits_for_nobody(p):
    """Its slack is wide, that of the others narrow: what they still search moves it no further."""
    x, x0, w, _ = problem(8, n=200)
    amount = 0.05 * torch.maximum(w * (1 - x), -w * x).sum(1)
    slack = torch.full_like(amount, 1e-9)
    slack[0] = 0.5 * amount[0]
    rows = (x, x0, w, amount, 0 * x, 0 * x + 1, torch.full_like(amount, 0.5))
    together = toward(*rows, p, slack)
    assert torch.equal(toward(*(v[:1] for v in rows), p, slack[:1]), together[:1])
    assert torch.equal(toward(*(v[1:] for v in rows), p, slack[1:]), together[1:])
