"""The solver against an independent one by the value of the objective, and what forgetting values is for."""

import pytest
import torch
from scipy.optimize import minimize

from holdfast.defenses.preprocessing.total_variation import TotalVariation, objective, rebuilt
from holdfast.threats.space import space_of


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal(z, x, keep, weight, smooth=0.0):
    """The paper's objective of one picture, term by term; `smooth` rounds the corners of the norms off."""
    found = ((keep * (z - x) ** 2).sum() + smooth) ** 0.5
    for plane in z:
        for i in range(1, len(plane)):
            found = found + weight * (((plane[i] - plane[i - 1]) ** 2).sum() + smooth) ** 0.5
        for j in range(1, plane.shape[1]):
            found = found + weight * (((plane[:, j] - plane[:, j - 1]) ** 2).sum() + smooth) ** 0.5
    return float(found) if not smooth else found


def lowest(x, keep, weight):
    """The objective's minimum by L-BFGS on ever less smooth norms."""

    def smoothed(v, smooth):
        leaf = torch.from_numpy(v).reshape(x.shape).requires_grad_()
        value = literal(leaf, x, keep, weight, smooth)
        (slope,) = torch.autograd.grad(value, leaf)
        return float(value.detach()), slope.numpy().ravel()

    z = torch.where(keep > 0, x, 0.5).numpy().ravel()
    for smooth in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10):
        z = minimize(smoothed, z, (smooth,), jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    return literal(torch.from_numpy(z).reshape(x.shape), x, keep, weight)


@pytest.mark.parametrize(("weight", "drop"), [(0.03, 0.5), (0.2, 0.5), (0.2, 0.0), (0.4, 0.3)])
def test_it_finds_the_minimum(weight, drop):
    x = pictures(1, 2, 3, 4)
    keep = (pictures(1, 2, 3, 4).flip(3) >= drop).double()
    z = rebuilt(x, keep, weight, 1000)
    for row, picture, kept, value in zip(z, x, keep, objective(z, x, keep, weight), strict=True):
        ours = literal(row, picture, kept, weight)
        assert abs(float(value) - ours) < 1e-12
        assert ours <= lowest(picture, kept, weight) * 1.001 + 1e-4


def test_the_default_steps_are_nearly_there():
    x = torch.nn.functional.interpolate(pictures(4, 3, 4, 4), size=(24, 20), mode="bilinear")
    keep = (pictures(4, 3, 24, 20) >= 0.5).double()
    quick, slow = (objective(rebuilt(x, keep, 0.03, n), x, keep, 0.03) for n in (TotalVariation().steps, 2000))
    assert ((quick - slow) <= 0.01 * slow).all()


def test_forgotten_values_leave_no_trace():
    x, keep = pictures(2, 3, 8, 7), (pictures(2, 3, 8, 7) >= 0.5).double()
    other = torch.where(keep > 0, x, 1 - x)
    assert torch.equal(rebuilt(x, keep, 0.03, 20), rebuilt(other, keep, 0.03, 20))


def test_gaps_of_a_ramp_are_filled():
    ramp = torch.linspace(0.2, 0.8, 16, dtype=torch.float64).expand(1, 1, 16, 16)
    torch.manual_seed(1)
    out = TotalVariation(drop=0.3, steps=500).apply(ramp, space_of(ramp))
    torch.testing.assert_close(out, ramp, rtol=0, atol=0.02)


def test_much_weight_makes_a_picture_constant():
    x = pictures(2, 1, 6, 6)
    out = TotalVariation(drop=0.0, weight=5.0, steps=1000).apply(x, space_of(x))
    torch.testing.assert_close(out, x.mean((2, 3), keepdim=True).expand_as(x), rtol=0, atol=1e-3)


def test_rows_are_solved_alone_and_the_gradient_is_not_touched():
    x = pictures(3, 2, 6, 5)
    keep = torch.ones_like(x)
    together = rebuilt(x, keep, 0.1, 30)
    alone = torch.cat([rebuilt(row[None], keep[:1], 0.1, 30) for row in x])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    kept = x.clone()
    TotalVariation().apply(x.requires_grad_(), space_of(x))
    assert torch.equal(x.detach(), kept)


def test_it_draws_only_where_values_are_forgotten():
    x = pictures(2, 1, 8, 8)
    for drop in (0.0, 0.5):
        stage = TotalVariation(drop=drop)
        same = torch.equal(stage.apply(x, space_of(x)), stage.apply(x, space_of(x)))
        assert same == (not stage.random)
