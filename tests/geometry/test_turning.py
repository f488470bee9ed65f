"""Turns and shifts against NumPy and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from holdfast.geometry.turning import turned


def pictures(height=9, width=9):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def at(x, angle, shift):
    n = len(x)
    place = torch.tensor(shift, dtype=torch.float64).expand(n, 2)
    return turned(x, torch.full((n,), angle, dtype=torch.float64), place)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_right_angles_are_exact(quarter):
    x = pictures()
    assert torch.allclose(at(x, 90.0 * quarter, (0.0, 0.0)), x.rot90(quarter, (2, 3)), atol=1e-9)


def test_whole_shifts_are_exact_and_what_comes_in_is_black():
    x = pictures(7, 9)
    y = at(x, 0.0, (2.0, -3.0))
    assert torch.allclose(y[:, :, 2:, :6], x[:, :, :5, 3:])
    assert float(y[:, :, :2].abs().max()) < 1e-12
    assert float(y[:, :, :, 6:].abs().max()) < 1e-12
    assert torch.allclose(at(x, 0.0, (0.0, 0.0)), x)


@pytest.mark.parametrize(("angle", "shift"), [(23.0, (0.0, 0.0)), (-11.0, (1.3, -0.6))])
def test_between_pixels_it_is_bilinear(angle, shift):
    x = pictures(8, 11)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    matrix, middle = np.array([[c, s], [-s, c]]), np.array([3.5, 5.0])
    offset = middle - matrix @ (middle + np.array(shift))
    for k in range(3):
        wanted = ndimage.affine_transform(np.pad(x[1, k].numpy(), 3), matrix, offset + 3 - matrix @ [3, 3], order=1)
        assert np.allclose(at(x, angle, shift)[1, k].numpy(), wanted[3:-3, 3:-3], atol=1e-9)
