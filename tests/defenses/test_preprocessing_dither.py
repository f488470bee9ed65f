"""Dithering against a literal walk over the pixels, and what it is for: local means survive."""

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import uniform_filter
from sklearn.datasets import load_sample_images

from holdfast.defenses.preprocessing.dither import Dither, bayer
from holdfast.threats.space import space_of


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def walked(plane, top):
    """Floyd and Steinberg, one pixel after the other in reading order."""
    height, width = plane.shape
    work = [[float(v) * top for v in row] for row in plane]
    found = torch.zeros(height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            old = work[i][j]
            new = float(min(max(round(old), 0), top))
            found[i, j] = new
            for di, dj, share in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                if i + di < height and 0 <= j + dj < width:
                    work[i + di][j + dj] += (old - new) * share / 16
    return found / top


@pytest.mark.parametrize("bits", [1, 2, 5])
@pytest.mark.parametrize("size", [(6, 9), (9, 4), (1, 5), (5, 1)], ids=str)
def test_slanted_lines_give_what_a_walk_over_the_pixels_gives(bits, size):
    x = pictures(3, 2, *size)
    out = Dither(bits=bits).apply(x, space_of(x))
    expected = torch.stack([torch.stack([walked(plane, 2**bits - 1) for plane in row]) for row in x])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_one_bit_is_that_of_pillow_until_its_roundings_add_up():
    """Pillow keeps errors as whole 255ths: a pixel that falls the other way changes those behind it, not their mean."""
    gray = load_sample_images().images[0][100:164, 200:264].mean(2).round().astype(np.uint8)
    x = torch.from_numpy(gray / 255)[None, None]
    ours = Dither(bits=1).apply(x, space_of(x))[0, 0].numpy()
    theirs = np.array(Image.fromarray(gray).convert("1")).astype(float)
    assert (ours[0] == theirs[0]).all()
    assert (ours[:6] == theirs[:6]).mean() > 0.92
    near, far = (uniform_filter(picture, 9)[8:-8, 8:-8] for picture in (ours, theirs))
    assert np.abs(near - far).max() < 5.5 / 81


@pytest.mark.parametrize("side", [2, 4, 8])
def test_ordered_dithering_compares_each_pixel_with_its_threshold(side):
    x, top = pictures(2, 3, 7, 10), 3
    out = Dither(bits=2, method="ordered", side=side).apply(x, space_of(x))
    ranks = bayer(side) * side**2 - 0.5
    for k, c, i, j in itertools.product(range(2), range(3), range(7), range(10)):
        threshold = (float(ranks[i % side, j % side]) + 0.5) / side**2
        level = min(math.floor(float(x[k, c, i, j]) * top + threshold), top)
        assert abs(float(out[k, c, i, j]) - level / top) < 1e-12


def test_the_bayer_matrices_are_the_published_ones():
    assert (bayer(2) * 4 - 0.5).tolist() == [[0, 2], [3, 1]]
    assert (bayer(4) * 16 - 0.5).long().tolist() == [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]
    assert (bayer(16) * 256 - 0.5).flatten().sort().values.tolist() == list(range(256))


@pytest.mark.parametrize("stage", [Dither(bits=1), Dither(bits=1, method="ordered", side=16)], ids=str)
def test_local_means_survive(stage):
    """A plain rounding would make every constant picture all black or all white."""
    for level in (0.1, 0.37, 0.8):
        x = torch.full((1, 1, 64, 64), level, dtype=torch.float64)
        out = stage.apply(x, space_of(x))
        assert set(out.unique().tolist()) == {0.0, 1.0}
        assert abs(float(out.mean()) - level) < 0.02


@pytest.mark.parametrize("stage", [Dither(bits=3), Dither(bits=3, method="ordered")], ids=str)
def test_few_levels_are_left_and_levels_stay(stage):
    x = pictures(2, 1, 8, 8)
    out = stage.apply(x, space_of(x))
    assert torch.equal((out * 7).round() / 7, out)
    torch.testing.assert_close(stage.apply(out, space_of(x)), out, rtol=0, atol=1e-12)


def test_what_was_given_stays_as_it_is():
    x = pictures(2, 1, 8, 8)
    kept = x.clone()
    Dither().apply(x, space_of(x))
    assert torch.equal(x, kept)
