"""The change of variables and Adam's direction, against closed forms and torch."""

import pytest
import torch

from holdfast.geometry.adam import Adam
from holdfast.geometry.cube import Cube


def test_points_and_back():
    x = torch.tensor([[-1.0, 0.0, 2.0, 3.0, 0.5]], dtype=torch.float64)
    low, high = (
        torch.tensor([[-1.0, -1.0, -1.0, -1.0, 0.5]]).double(),
        torch.tensor([[3.0, 3.0, 3.0, 3.0, 0.5]]).double(),
    )
    cube = Cube(low, high, x)
    assert torch.allclose(cube.point(cube.start), x)
    assert torch.equal(cube.point(cube.clamp(cube.start + 100))[0, :4], high[0, :4])
    assert cube.width.tolist() == [4.0]
    assert cube.share(torch.ones_like(x)).item() == pytest.approx(1 / 2.2)


def test_rate_is_the_derivative_in_widths():
    x = torch.tensor([[-1.0, 0.0, 2.9]], dtype=torch.float64)
    cube = Cube(torch.full_like(x, -1.0), torch.full_like(x, 3.0), x)
    v = cube.start.clone()
    inside = v + torch.tensor([[0.1, 0.0, -0.1]]).double()
    slope = (cube.point(inside + 1e-6) - cube.point(inside - 1e-6)) / 2e-6 / 4
    assert torch.allclose(cube.rate(inside), slope)


def test_adam_is_torch_s():
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    theirs, ours, at = torch.optim.Adam([x], lr=0.1), Adam(x.detach()), x.detach().clone()
    for _ in range(5):
        slope = torch.randn(3, 4, generator=g, dtype=torch.float64)
        x.grad = slope
        theirs.step()
        at = at - 0.1 * ours.direction(slope)
    assert torch.allclose(at, x)
