"""Smoothing against scipy.ndimage and a literal sum over patches, gradients against finite differences."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from holdfast.core.errors import DataError, ParameterError
from holdfast.defenses.preprocessing.bilateral_filter import BilateralFilter
from holdfast.defenses.preprocessing.gaussian_smoothing import GaussianSmoothing
from holdfast.defenses.preprocessing.median_smoothing import MedianSmoothing
from holdfast.defenses.preprocessing.non_local_means import NonLocalMeans
from holdfast.threats.space import space_of


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def by_plane(filtered, x):
    return torch.stack([torch.stack([torch.from_numpy(filtered(plane.numpy())) for plane in row]) for row in x])


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(2, 3, 8, 11), (1, 1, 3, 2)], ids=str)
def test_medians_are_those_of_scipy(size, shape):
    x = pictures(*shape)
    expected = by_plane(lambda plane: ndimage.median_filter(plane, size=size), x)
    assert torch.equal(MedianSmoothing(size=size).apply(x, space_of(x)), expected)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3])
def test_gaussian_smoothing_is_that_of_scipy(sigma):
    x = pictures(2, 3, 8, 11)
    expected = by_plane(lambda plane: ndimage.gaussian_filter(plane, sigma), x)
    torch.testing.assert_close(GaussianSmoothing(sigma=sigma).apply(x, space_of(x)), expected, rtol=0, atol=1e-12)


def literal_means(x, search, patch, strength):
    """Buades, Coll and Morel, pixel by pixel, on one picture `(channels, height, width)`."""
    reach, half = search // 2, patch // 2
    edge = reach + half
    large = np.pad(x, ((0, 0), (edge, edge), (edge, edge)), mode="reflect")
    found = np.zeros_like(x)

    def around(i, j):
        return large[:, i - half : i + half + 1, j - half : j + half + 1]

    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            total = weights = 0.0
            for a in range(i - reach, i + reach + 1):
                for b in range(j - reach, j + reach + 1):
                    away = np.mean((around(i + edge, j + edge) - around(a + edge, b + edge)) ** 2)
                    weight = np.exp(-away / (strength / 255) ** 2)
                    total = total + weight * large[:, a + edge, b + edge]
                    weights += weight
            found[:, i, j] = total / weights
    return torch.from_numpy(found)


@pytest.mark.parametrize(("search", "patch", "strength"), [(11, 3, 4.0), (5, 3, 60.0), (3, 5, 90.0), (5, 1, 30.0)])
def test_non_local_means_are_the_sum_over_patches(search, patch, strength):
    x = pictures(2, 3, 5, 6)
    x[0] = 0.4 + 0.05 * x[0]
    out = NonLocalMeans(search=search, patch=patch, strength=strength).apply(x, space_of(x))
    for row, picture in zip(out, x, strict=True):
        torch.testing.assert_close(row, literal_means(picture.numpy(), search, patch, strength), rtol=0, atol=1e-10)
    assert (out[0] - x[0]).abs().max() > 1e-3


def literal_bilateral(x, size, sigma, tone):
    """Tomasi and Manduchi, pixel by pixel, on one picture `(channels, height, width)`."""
    reach = size // 2
    large = np.pad(x, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    found = np.zeros_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            total = weights = 0.0
            for a in range(-reach, reach + 1):
                for b in range(-reach, reach + 1):
                    other = large[:, i + reach + a, j + reach + b]
                    near = np.exp(-(a * a + b * b) / (2 * sigma**2))
                    alike = np.exp(-np.mean((x[:, i, j] - other) ** 2) / (2 * tone**2))
                    total = total + near * alike * other
                    weights += near * alike
            found[:, i, j] = total / weights
    return torch.from_numpy(found)


@pytest.mark.parametrize(("size", "sigma", "tone"), [(5, 1.5, 0.2), (3, 0.7, 0.05), (7, 3.0, 1.0)])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
def test_the_bilateral_filter_is_the_sum_over_near_and_similar_pixels(size, sigma, tone, bounds):
    x, width = pictures(2, 3, 7, 8), bounds[1] - bounds[0]
    out = BilateralFilter(size=size, sigma=sigma, tone=tone).apply(x * width + bounds[0], space_of(x, bounds))
    for row, picture in zip((out - bounds[0]) / width, x, strict=True):
        torch.testing.assert_close(row, literal_bilateral(picture.numpy(), size, sigma, tone), rtol=0, atol=1e-12)


def test_the_bilateral_filter_keeps_edges_and_evens_what_is_nearly_even():
    """A step of 0.6 with noise of 0.05: the noise falls by half, the step stays within the noise."""
    draw = torch.Generator().manual_seed(0)
    clean = torch.where(torch.arange(16) < 8, 0.2, 0.8).double().expand(1, 1, 16, 16)
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=draw, dtype=torch.float64)
    out, blurred = (f.apply(noisy, space_of(noisy)) for f in (BilateralFilter(tone=0.15), GaussianSmoothing(sigma=1.5)))
    assert (out - clean).std() < 0.5 * (noisy - clean).std()
    assert (blurred - clean)[..., 7:9].abs().mean() > 0.2 > 0.05 > (out - clean)[..., 7:9].abs().mean()


def test_strength_is_in_255ths_of_the_width():
    x = pictures(1, 1, 8, 8)
    stage = NonLocalMeans(search=5, strength=50.0)
    wide = stage.apply(x * 510 - 100, space_of(x, (-100.0, 410.0)))
    torch.testing.assert_close(wide, stage.apply(x, space_of(x)) * 510 - 100)


@pytest.mark.parametrize(
    ("kind", "parameter"), [(NonLocalMeans, "search"), (NonLocalMeans, "patch"), (BilateralFilter, "size")]
)
def test_windows_without_a_middle_are_refused(kind, parameter):
    with pytest.raises(
        ParameterError, match=f"HF001 The '{parameter}' parameter of {kind.__name__} must be odd. Got 4"
    ):
        kind(**{parameter: 4})


@pytest.mark.parametrize(
    "stage",
    [
        MedianSmoothing(size=2),
        MedianSmoothing(size=3),
        GaussianSmoothing(),
        NonLocalMeans(search=3, strength=80.0),
        BilateralFilter(size=3),
    ],
    ids=str,
)
def test_gradients_are_finite_differences(stage):
    x = pictures(1, 2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: stage.apply(z, space_of(z)), x, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("stage", [MedianSmoothing(), GaussianSmoothing(), NonLocalMeans(), BilateralFilter()], ids=str)
def test_a_constant_picture_stays_and_a_row_of_numbers_is_refused(stage):
    x = torch.full((2, 3, 6, 5), 0.3, dtype=torch.float64)
    torch.testing.assert_close(stage.apply(x, space_of(x)), x)
    with pytest.raises(DataError, match=f"HF131 {type(stage).__name__} works on pictures"):
        stage.apply(x[:, 0, 0], space_of(x[:, 0, 0]))
