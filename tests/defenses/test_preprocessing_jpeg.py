"""The codec is Pillow's own, its differentiable twin computes the same but for the rounding, at any size."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import holdfast as hf
from holdfast.core.errors import DataError
from holdfast.data.corruptions.digital import jpeg_compression
from holdfast.defenses.preprocessing import _jpeg
from holdfast.defenses.preprocessing.jpeg import Jpeg
from holdfast.geometry.draw import Draw
from holdfast.threats.space import space_of

REDUCED = ("4:4:4", "4:2:2", "4:2:0")


def scenes(channels, height, width, n=4):
    """Smooth pictures with an edge, in whole 255ths: what photographs are to a codec."""
    draw = torch.Generator().manual_seed(0)
    rough = torch.rand(n, channels, 4, 4, generator=draw, dtype=torch.float64)
    x = torch.nn.functional.interpolate(rough, size=(height, width), mode="bicubic").clamp(0, 1)
    x[:, :, height // 3 :, width // 2 :] *= 0.5
    return (x * 255).round() / 255


def literal(x, quality, subsampling):
    """One picture through a file of its own: `(channels, height, width)` whole numbers in and out."""
    file = io.BytesIO()
    array = x.permute(1, 2, 0).numpy().astype(np.uint8)
    picture = Image.fromarray(array[:, :, 0], "L") if len(x) == 1 else Image.fromarray(array, "RGB")
    picture.save(file, format="JPEG", quality=quality, subsampling=REDUCED.index(subsampling))
    return torch.from_numpy(np.atleast_3d(np.array(Image.open(file)))).permute(2, 0, 1).double()


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("subsampling", REDUCED)
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
def test_it_is_the_codec_in_the_units_of_the_data(subsampling, bounds):
    u = scenes(3, 19, 13)
    x = bounds[0] + u * (bounds[1] - bounds[0])
    out = Jpeg(quality=60, subsampling=subsampling).apply(x, space_of(x, bounds))
    back = (out - bounds[0]) / (bounds[1] - bounds[0]) * 255
    for row, picture in zip(back, u * 255, strict=True):
        torch.testing.assert_close(row, literal(picture, 60, subsampling), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
def test_gray_pictures_are_stored_as_gray():
    x = scenes(1, 9, 21)
    out = Jpeg(quality=40).apply(x, space_of(x)) * 255
    torch.testing.assert_close(out[0], literal(x[0] * 255, 40, "4:2:0"), rtol=0, atol=1e-4)


def test_the_corruption_of_the_same_name_uses_the_same_codec():
    x = scenes(3, 16, 24)
    same = Jpeg(quality=25).apply(x, space_of(x))
    assert torch.equal(jpeg_compression(x, Draw(0, "jpeg", range(4), x), 25), same)


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 75, 93, 100])
def test_the_steps_are_those_that_the_codec_writes_into_its_files(quality):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization
    for place, table in ((0, _jpeg.LUMINANCE), (1, _jpeg.CHROMINANCE)):
        assert _jpeg.steps(table, quality).flatten().tolist() == list(tables[place])


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (8, 31), (5, 3)], ids=str)
@pytest.mark.parametrize("subsampling", REDUCED)
def test_the_twin_is_the_codec_where_steps_are_one(size, subsampling):
    """At quality 100 what is left is rounding: of the color planes, their means, the coefficients, the way back."""
    x = scenes(3, *size)
    stage = Jpeg(quality=100, subsampling=subsampling)
    off = 255 * (stage.twin(x, space_of(x)) - stage.apply(x, space_of(x))).abs()
    assert off.max() < 5
    assert off.mean() < 0.9


@pytest.mark.parametrize("quality", [75, 30])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_twin_is_near_the_codec(quality, channels):
    x = scenes(channels, 33, 18)
    stage = Jpeg(quality=quality)
    twin, codec = stage.twin(x, space_of(x)), stage.apply(x, space_of(x))
    assert (twin - codec).abs().mean() < 0.5 * (codec - x).abs().mean()


def test_with_hard_rounding_the_twin_is_a_decoder(monkeypatch):
    """The soft rounding replaced by the true one: few coefficients fall to the other side of a half."""
    x = scenes(1, 40, 24)
    monkeypatch.setattr(_jpeg, "_soft", torch.round)
    stage = Jpeg(quality=50)
    off = 255 * (stage.twin(x, space_of(x)) - stage.apply(x, space_of(x))).abs()
    blocks = torch.nn.functional.max_pool2d(off, 8)
    assert (blocks < 1.01).double().mean() > 0.8


def test_the_twin_has_its_own_gradient():
    x = (0.1 + 0.8 * scenes(3, 9, 9, n=1) + 0.013).requires_grad_()
    stage, draw = Jpeg(quality=80), torch.Generator().manual_seed(1)

    def loss(z):
        return (stage.twin(z, space_of(z)) * weights).sum()

    for _ in range(5):
        weights, away = torch.randn(2, *x.shape, generator=draw, dtype=torch.float64)
        (slope,) = torch.autograd.grad(loss(x), x)
        with torch.no_grad():
            moved = (loss(x + 1e-7 * away) - loss(x - 1e-7 * away)) / 2e-7
        torch.testing.assert_close((slope * away).sum(), moved, rtol=1e-4, atol=1e-5)


def test_a_soft_rounding_is_exact_at_whole_numbers_and_halves():
    c = torch.tensor([-2.0, 0.0, 3.0, 0.5, 0.25], dtype=torch.float64)
    assert _jpeg._soft(c).tolist() == [-2.0, 0.0, 3.0, 0.125, 0.015625]


def test_the_transform_is_orthonormal():
    matrix = _jpeg._cosine()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(8, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(4, 8, 8), (7,), (8, 8)], ids=str)
def test_what_is_no_picture_is_refused(shape):
    x = torch.rand(2, *shape)
    for ask in (Jpeg().apply, Jpeg().twin):
        with pytest.raises(DataError, match="HF131 Jpeg works on pictures"):
            ask(x, space_of(x))


def test_gradients_through_the_twin_break_what_gradients_around_it_break_less():
    """Shin and Song's point, on a network of random weights behind strong compression: one step of equal size."""
    x = scenes(3, 32, 32, n=24)
    draw = torch.Generator().manual_seed(3)
    weights = torch.randn(x[0].numel(), 1, generator=draw, dtype=torch.float64)
    stage, space = Jpeg(quality=20), space_of(x)

    def loss(z):
        return (z.flatten(1) @ weights).sum()

    gains = []
    for through in (stage.twin, lambda z, space: z):
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(through(leaf, space)), leaf)
        gains.append(
            float(loss(stage.apply((x + 0.1 * slope.sign()).clamp(0, 1), space)) - loss(stage.apply(x, space)))
        )
    assert gains[0] > gains[1]
    assert hf.defenses.Jpeg is Jpeg
