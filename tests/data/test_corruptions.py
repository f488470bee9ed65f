"""The common corruptions against their published formulas, computed a second time with NumPy, SciPy and Pillow."""

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import holdfast as hf
from holdfast.core.errors import DataError, ParameterError
from holdfast.data.corruptions import blur, digital, filters, noise, weather
from holdfast.data.corruptions.corrupt import SEVERITIES, corrupt
from holdfast.data.corruptions.table import CORRUPTIONS
from holdfast.geometry.draw import Draw

NAMES = list(CORRUPTIONS)


def pictures(n=3, channels=3, height=24, width=20, seed=0):
    """Smooth pictures with an edge, in [0.1, 0.9]."""
    rough = torch.rand(n, channels, 6, 5, generator=torch.Generator().manual_seed(seed))
    soft = torch.nn.functional.interpolate(rough, size=(height, width), mode="bilinear")
    soft[:, :, height // 2 :, width // 3 :] *= 0.5
    return 0.1 + 0.8 * soft


def draw(x, seed=0):
    return Draw(seed, "test", range(len(x)), x)


def data(x, **more):
    return hf.Dataset(x, torch.zeros(len(x), dtype=torch.long), **more)


@pytest.mark.parametrize("shape", [(3, 24, 20), (1, 16, 16), (3, 9, 13), (1, 8, 8)])
@pytest.mark.parametrize("name", NAMES)
def test_every_corruption_keeps_shape_type_and_range(name, shape):
    x = pictures(3, *shape).double()
    for severity in SEVERITIES:
        made = corrupt(data(x), name, severity).x
        assert made.shape == x.shape
        assert made.dtype == x.dtype
        assert 0 <= made.min() <= made.max() <= 1
        assert not torch.equal(made, x) or name in ("pixelate", "defocus_blur", "zoom_blur")


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_corrupted_in_the_same_way_in_any_company(name):
    x = pictures(5)
    whole = corrupt(data(x), name, 4).x
    part = corrupt(data(x).take(torch.tensor([3, 1])), name, 4).x
    assert torch.allclose(part, whole[[3, 1]], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_other_seeds_other_numbers(name):
    x = data(pictures(2))
    same = torch.equal(corrupt(x, name, 5, seed=0).x, corrupt(x, name, 5, seed=1).x)
    assert same == (name in {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"})


@pytest.mark.parametrize("name", NAMES)
def test_severity_five_changes_more_than_one(name):
    x = pictures(8, height=32, width=32)
    near, far = ((corrupt(data(x), name, s).x - x).abs().mean() for s in (1, 5))
    assert far > near or name in {"elastic_transform", "zoom_blur"}  # those move edges, not values


def test_other_bounds_and_what_stays():
    x = pictures()
    bytes_ = corrupt(data(255 * x, bounds=(0, 255)), "fog", 3)
    assert torch.allclose(bytes_.x / 255, corrupt(data(x), "fog", 3).x, atol=1e-5)
    assert bytes_.bounds == (0, 255)
    assert torch.equal(bytes_.ids, torch.arange(3))


def test_large_pictures_take_the_numbers_of_imagenet_c():
    kind = CORRUPTIONS["gaussian_noise"]
    assert (kind.numbers(5, 64), kind.numbers(5, 65)) == ((0.10,), (0.38,))


@pytest.mark.parametrize(("name", "severity"), [("fogg", 3), ("fog", 0), ("fog", 6)])
def test_unknown_ones_are_refused(name, severity):
    with pytest.raises(ParameterError, match="HF001"):
        corrupt(data(pictures()), name, severity)


def test_tables_are_no_pictures():
    with pytest.raises(DataError, match="HF102"):
        corrupt(data(torch.rand(3, 5)), "fog", 1)


def test_gaussian_noise():
    x = torch.full((4, 3, 64, 64), 0.5)
    d = noise.gaussian_noise(x, draw(x), 0.08) - x
    assert abs(float(d.mean())) < 3 * 0.08 / math.sqrt(d.numel())
    assert float(d.std()) == pytest.approx(0.08, rel=0.02)


@pytest.mark.parametrize("photons", [3, 75, 500])
def test_shot_noise_has_the_moments_of_poisson(photons):
    x = torch.full((4, 3, 64, 64), 0.3)
    y = noise.shot_noise(x, draw(x), photons)
    assert torch.allclose(y * photons, (y * photons).round(), atol=1e-3)
    if photons > 50:  # below, the upper bound cuts
        assert float(y.mean()) == pytest.approx(0.3, abs=0.01)
        assert float(y.var()) == pytest.approx(0.3 / photons, rel=0.05)
    assert float((y == 0).double().mean()) == pytest.approx(math.exp(-0.3 * photons), abs=0.01)
    black = torch.zeros(1, 1, 8, 8)
    assert torch.equal(noise.shot_noise(black, draw(black), photons), black)


def test_impulse_noise():
    x = torch.full((4, 3, 64, 64), 0.5)
    y = noise.impulse_noise(x, draw(x), 0.2)
    assert float((y == 0).double().mean()) == pytest.approx(0.1, abs=0.01)
    assert float((y == 1).double().mean()) == pytest.approx(0.1, abs=0.01)
    assert set(y.unique().tolist()) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize(("radius", "alias"), [(0.3, 0.4), (1, 0.2), (1.5, 0.1), (10, 0.5)])
def test_defocus_blur(radius, alias):
    reach, half = (8, 1) if radius <= 8 else (10, 2)
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = (i**2 + j**2 <= radius**2).astype(float)
    window = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * alias**2))
    window /= window.sum()
    soft = ndimage.correlate(kernel / kernel.sum(), np.outer(window, window), mode="mirror")
    x = pictures(1).double()
    wanted = np.stack([ndimage.correlate(c, soft, mode="mirror") for c in x[0].numpy()])
    assert np.allclose(blur.defocus_blur(x, draw(x), radius, alias)[0].numpy(), wanted, atol=1e-9)


def test_the_gaussian_filter():
    x = pictures(1).double()
    for sigma, truncate, edge, mode in ((0.7, 4.0, "replicate", "nearest"), (5.0, 3.0, "symmetric", "reflect")):
        wanted = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode=mode, truncate=truncate)
        assert np.allclose(filters.smoothed(x, sigma, truncate, edge).numpy(), wanted, atol=1e-9)


def test_glass_blur_exchanges_and_loses_nothing_without_the_gaussian():
    x = pictures(2).double()
    y = blur.glass_blur(x, draw(x), 0.05, 1, 2)  # 0.05: the window is a single pixel
    assert not torch.equal(x, y)
    assert torch.equal(x.flatten(2).sort(2).values, y.flatten(2).sort(2).values)
    moved = (x != y).any(1)
    assert not moved[:, :1, :].all()


@pytest.mark.parametrize("degrees", [0.0, 30.0, -45.0, -90.0, 200.0])
def test_motion_blur_is_a_one_sided_gaussian_along_a_line(degrees):
    x = pictures(1).double()
    radius, sigma = 4, 1.5
    weights = np.array([math.exp(-(k**2) / (2 * sigma**2)) for k in range(2 * radius + 1)])
    weights /= weights.sum()
    wanted = np.zeros_like(x[0].numpy())
    for i in range(24):
        for j in range(20):
            for k, w in enumerate(weights):
                a = math.ceil(k * math.sin(math.radians(degrees)) - 0.5)
                b = math.ceil(k * math.cos(math.radians(degrees)) - 0.5)
                wanted[:, i, j] += w * x[0, :, min(max(i + a, 0), 23), min(max(j + b, 0), 19)].numpy()
    assert np.allclose(filters.dragged(x, torch.tensor([degrees]), radius, sigma)[0].numpy(), wanted, atol=1e-9)


def test_zoom_blur():
    x = pictures(1).double()

    def zoomed(picture, factor):
        size = [math.ceil(s / factor) for s in picture.shape[1:]]
        top, left = ((s - c) // 2 for s, c in zip(picture.shape[1:], size, strict=True))
        part = picture[:, top : top + size[0], left : left + size[1]]
        large = ndimage.zoom(part, (1, factor, factor), order=1)
        top, left = ((a - s) // 2 for a, s in zip(large.shape[1:], picture.shape[1:], strict=True))
        return large[:, top : top + picture.shape[1], left : left + picture.shape[2]]

    factors = np.arange(1, 1.26, 0.01)
    wanted = (x[0].numpy() + sum(zoomed(x[0].numpy(), f) for f in factors)) / (len(factors) + 1)
    assert np.allclose(blur.zoom_blur(x, draw(x), 1.26, 0.01)[0].numpy(), wanted, atol=1e-9)


def test_brightness_is_the_value_of_hsv():
    x = pictures(1).double()
    x[0, :, 0, 0] = 0
    y = weather.brightness(x, draw(x), 0.3)
    for i in range(24):
        for j in range(20):
            h, s, v = colorsys.rgb_to_hsv(*x[0, :, i, j].tolist())
            assert y[0, :, i, j].tolist() == pytest.approx(colorsys.hsv_to_rgb(h, s, min(v + 0.3, 1)), abs=1e-9)


def test_fog_and_its_clouds():
    x = pictures(2).double()
    clouds = filters.plasma(draw(x), 32, 2.0)
    assert torch.allclose(clouds.amin((1, 2)), torch.zeros(2, dtype=x.dtype))
    assert torch.allclose(clouds.amax((1, 2)), torch.ones(2, dtype=x.dtype))
    most = x.amax((1, 2, 3), keepdim=True)
    wanted = (x + 1.5 * clouds[:, None, :24, :20]) * most / (most + 1.5)
    assert torch.allclose(weather.fog(x, draw(x), 1.5, 2.0), wanted)


def test_plasma_step_by_step():
    """Diamond-square with plain loops around the torus, the same random numbers in the same order."""
    like = torch.zeros(1, dtype=torch.float64)
    numbers = Draw(3, "clouds", [7], like)
    size, step, wobble, sky = 8, 8, 100.0, np.zeros((8, 8))
    while step > 1:
        half, count = step // 2, size // step
        for first, second, neighbors in (
            (half, half, [(-half, -half), (-half, half), (half, -half), (half, half)]),
            (0, half, [(-half, 0), (half, 0), (0, -half), (0, half)]),
            (half, 0, [(-half, 0), (half, 0), (0, -half), (0, half)]),
        ):
            u = numbers.uniform(count, count)[0].numpy()
            for a in range(count):
                for b in range(count):
                    i, j = first + a * step, second + b * step
                    mean = sum(sky[(i + p) % size, (j + q) % size] for p, q in neighbors) / 4
                    sky[i, j] = mean + wobble * wobble * (2 * u[a, b] - 1)
        step, wobble = half, wobble / 1.7
    sky = (sky - sky.min()) / (sky.max() - sky.min())
    assert np.allclose(filters.plasma(Draw(3, "clouds", [7], like), 8, 1.7)[0].numpy(), sky)


def test_snow_whitens_and_frost_lays_ice_over():
    x = pictures(4, height=32, width=32)
    assert (weather.snow(x, draw(x), 0.3, 0.3, 1.25, 0.65, 14, 12, 0.8) >= 0.8 * x - 1e-6).all()
    assert (weather.frost(x, draw(x), 0.75, 0.45) >= 0.75 * x - 1e-6).all()
    assert torch.allclose(weather.gray(x)[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])


def test_contrast():
    x = pictures(1)
    wanted = (x.numpy() - x.numpy().mean((2, 3), keepdims=True)) * 0.3 + x.numpy().mean((2, 3), keepdims=True)
    assert np.allclose(digital.contrast(x, draw(x), 0.3).numpy(), wanted, atol=1e-6)


def test_elastic_transform_moves_as_the_map_says():
    x = pictures(1).double()
    assert torch.allclose(digital.elastic_transform(x, draw(x), 0, 0, 0), x)
    numbers, side = draw(x), 20
    first = np.array([[10 + 6, 12 + 6], [10 + 6, 12 - 6], [10 - 6, 12 - 6]], float)  # column, row
    second = first + 0.08 * side * (2 * numbers.uniform(3, 2)[0].numpy() - 1)
    back = np.linalg.solve(np.c_[second, np.ones(3)], first)
    i, j = np.mgrid[0:24, 0:20]
    places = np.stack([j, i, np.ones_like(i)], -1) @ back
    turned = np.stack(
        [ndimage.map_coordinates(c, places[..., ::-1].transpose(2, 0, 1), order=1, mode="mirror") for c in x[0].numpy()]
    )
    u = 2 * numbers.uniform(2, 24, 20)[0].numpy() - 1
    move = [0.06 * side * ndimage.gaussian_filter(p, 0.1 * side, mode="reflect", truncate=3) for p in u]
    wanted = np.stack([ndimage.map_coordinates(c, [i + move[1], j + move[0]], order=1, mode="reflect") for c in turned])
    assert np.allclose(digital.elastic_transform(x, draw(x), 0.06, 0.1, 0.08)[0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("share", [0.95, 0.85, 0.65, 0.3])
def test_pixelate_is_pillow_s_box(share):
    x = (pictures(1) * 255).round() / 255
    picture = Image.fromarray((x[0] * 255).byte().permute(1, 2, 0).numpy())
    small = picture.resize((int(20 * share), int(24 * share)), Image.Resampling.BOX)
    wanted = np.asarray(small.resize((20, 24), Image.Resampling.BOX)).transpose(2, 0, 1) / 255
    assert np.abs(digital.pixelate(x, draw(x), share)[0].numpy() - wanted).max() <= 1.01 / 255


def test_jpeg_compression_gets_worse_with_its_quality():
    x = pictures(2, height=32, width=32)
    errors = [float((digital.jpeg_compression(x, draw(x), q) - x).abs().mean()) for q in (95, 50, 10)]
    assert errors == sorted(errors)
    assert errors[0] < 0.02
