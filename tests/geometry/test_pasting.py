"""Pasting: where the patch lands, what it covers, and that a gradient comes back."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from holdfast.geometry.pasting import middle_of, pasted


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def paste(x, patch, center, side, angle=0.0, light=1.0, where=None):
    n = len(x)
    return pasted(
        x,
        patch,
        numbers(center).expand(n, 2),
        numbers(side).expand(n),
        numbers(angle).expand(n),
        numbers(light).expand(n),
        where,
    )


def patch_of(side, seed=0):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("center", "first"), [((4.5, 3.5), (3, 2)), ((1.5, 6.5), (0, 5))])
def test_a_patch_of_whole_pixels_is_copied(center, first):
    x, patch = torch.zeros(2, 3, 10, 9, dtype=torch.float64), patch_of(4)
    y = paste(x, patch, center, 4.0)
    i, j = first
    assert torch.allclose(y[1, :, i : i + 4, j : j + 4], patch)
    y[:, :, i : i + 4, j : j + 4] = 0
    assert torch.allclose(y, x)


@pytest.mark.parametrize(("angle", "turns"), [(90.0, -1), (180.0, 2), (-90.0, 1)])
def test_a_right_angle_turns_the_patch(angle, turns):
    x, patch = torch.zeros(1, 3, 8, 8, dtype=torch.float64), patch_of(4)
    y = paste(x, patch, (3.5, 3.5), 4.0, angle)
    assert torch.allclose(y[0, :, 2:6, 2:6], patch.rot90(turns, (1, 2)), atol=1e-9)


POSES = [((9.3, 12.1), 7.7, 17.0), ((11.6, 8.4), 10.2, -23.0), ((10.0, 10.0), 5.1, 140.0)]


def to_cells(center, side, angle, cells):
    """Matrix and offset from (row, column) of a pixel to those of a cell, by hand."""
    turn = math.radians(angle)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) * cells / side
    return matrix, (cells - 1) / 2 - matrix @ np.array(center)


@pytest.mark.parametrize(("center", "side", "angle"), POSES)
def test_its_colors_are_those_of_scipy(center, side, angle):
    patch, all_of_it = patch_of(6), torch.ones(3, 6, 6, dtype=torch.float64)
    black, cover = torch.zeros(1, 3, 22, 23, dtype=torch.float64), None
    cover = paste(black, all_of_it, center, side, angle)[0]
    matrix, offset = to_cells(center, side, angle, 6)
    warped = [ndimage.affine_transform(p.numpy(), matrix, offset, (22, 23), order=1, mode="nearest") for p in patch]
    assert 0.8 < float(cover[0].sum()) / side**2 < 1.2
    shown = paste(black, patch, center, side, angle, light=0.7)[0]
    assert torch.allclose(shown, 0.7 * cover * torch.from_numpy(np.stack(warped)), atol=1e-9)


@pytest.mark.parametrize(("center", "side", "angle"), POSES)
def test_what_it_covers_is_nearly_the_area_that_pillow_draws(center, side, angle):
    """Pillow draws it eight times as fine, with hard edges; a pixel's share is the mean of 64 points."""
    fine = 8
    matrix, offset = to_cells(center, side, angle, 1)
    rest = offset - matrix @ np.full(2, 0.5) + 0.5  # Pillow counts from the corner of a pixel
    across, down = (matrix[1, ::-1] / fine, matrix[0, ::-1] / fine)
    way = (*across.tolist(), float(rest[1]), *down.tolist(), float(rest[0]))
    drawn = Image.fromarray(np.ones((1, 1), np.float32)).transform(
        (23 * fine, 22 * fine), Image.Transform.AFFINE, way, Image.Resampling.NEAREST
    )
    ones, black = torch.ones(1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 22, 23, dtype=torch.float64)
    cover = paste(black, ones, center, side, angle)[0, 0].numpy()
    area = np.asarray(drawn.reduce(fine))
    assert np.abs(cover - area).max() < 0.3  # at a corner
    assert np.abs(cover - area).sum() < 0.06 * area.sum()


def test_light_dims_it_and_a_mask_cuts_it():
    x = torch.full((1, 3, 8, 8), 0.3, dtype=torch.float64)
    patch = torch.ones(3, 4, 4, dtype=torch.float64)
    assert torch.allclose(paste(x, patch, (3.5, 3.5), 4.0, light=0.5)[0, :, 2:6, 2:6], numbers(0.5))
    assert paste(x, patch, (3.5, 3.5), 4.0, light=3.0).max() == 1
    where = torch.zeros(1, 8, 8, dtype=torch.bool)
    where[:, :4] = True
    y = paste(x, patch, (3.5, 3.5), 4.0, where=where)
    assert torch.equal(y[:, :, 4:], x[:, :, 4:])
    assert (y[:, :, 2:4, 2:6] == 1).all()


def test_its_area_does_not_depend_on_where_between_pixels_it_lies():
    x, patch = torch.zeros(1, 1, 20, 20, dtype=torch.float64), torch.ones(1, 3, 3, dtype=torch.float64)
    for center, angle in (((9.5, 9.5), 0.0), ((9.2, 10.1), 0.0), ((9.7, 9.9), 30.0)):
        assert float(paste(x, patch, center, 6.0, angle).sum()) == pytest.approx(36, rel=0.05)


def test_the_gradient_reaches_the_patch_and_only_what_is_seen():
    patch = patch_of(4).requires_grad_()
    where = torch.zeros(1, 8, 8, dtype=torch.bool)
    where[:, :, :4] = True
    paste(torch.zeros(1, 3, 8, 8, dtype=torch.float64), patch, (3.5, 3.5), 4.0, where=where).sum().backward()
    assert torch.allclose(patch.grad[:, :, :2], numbers(1.0))
    assert torch.equal(patch.grad[:, :, 2:], torch.zeros(3, 4, 2, dtype=torch.float64))


def test_the_middle_of_a_mask():
    mask = torch.zeros(2, 9, 9, dtype=torch.bool)
    mask[0, 2:6, 3:7] = True
    middle, side = middle_of(mask)
    assert middle[0].tolist() == [3.5, 4.5]
    assert side.tolist() == [4.0, 0.0]
