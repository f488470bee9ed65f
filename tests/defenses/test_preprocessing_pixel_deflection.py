"""Pixel deflection: where values come from, wavelets beside literal ones, and an attack through it."""

import numpy as np
import pytest
import torch

import holdfast as hf
from holdfast.core.errors import DataError
from holdfast.defenses.preprocessing._jpeg import COLORS
from holdfast.defenses.preprocessing._wavelet import haar, shrunk, unhaar
from holdfast.defenses.preprocessing.pixel_deflection import PixelDeflection, deflected
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.threats.space import space_of


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def matrix(size):
    """The orthogonal Haar transform of a line: sums above, differences below."""
    found = np.zeros((size, size))
    for k in range(size // 2):
        found[k, 2 * k : 2 * k + 2] = 1, 1
        found[size // 2 + k, 2 * k : 2 * k + 2] = 1, -1
    return found / np.sqrt(2)


def literal_shrunk(x, sigma, depth):
    """Haar matrices from both sides of one plane, then the thresholds, value by value; even sides only."""
    if not depth:
        return x
    height, width = x.shape
    left, right = matrix(height), matrix(width)
    z = left @ x @ right.T
    h, w = height // 2, width // 2
    for rows, columns in ((slice(h), slice(w, None)), (slice(h, None), slice(w)), (slice(h, None), slice(w, None))):
        block = z[rows, columns]
        signal = max(np.mean(block**2) - sigma**2, 0)
        threshold = sigma**2 / np.sqrt(signal) if signal else np.abs(block).max()
        z[rows, columns] = [[np.sign(v) * max(abs(v) - threshold, 0) for v in line] for line in block]
    z[:h, :w] = literal_shrunk(z[:h, :w].copy(), sigma, depth - 1)
    return left.T @ z @ right


@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (2, 1, 7, 5), (1, 2, 3, 2)], ids=str)
def test_the_transform_is_orthogonal_and_goes_back(shape):
    x = pictures(*shape)
    means, details = haar(x)
    torch.testing.assert_close(unhaar(means, details, *shape[2:]), x, rtol=0, atol=1e-14)
    if not (shape[2] % 2 or shape[3] % 2):
        energy = means.square().sum((1, 2, 3)) + details.square().sum((1, 2, 3, 4))
        torch.testing.assert_close(energy, x.square().sum((1, 2, 3)))


@pytest.mark.parametrize(("sigma", "depth"), [(0.05, 1), (0.2, 2), (0.28, 3), (0.6, 2)])
def test_wavelets_are_shrunk_as_matrices_and_literal_thresholds_say(sigma, depth):
    """Noise of deviation 0.29: the thresholds leave most, some, little and nothing of its details."""
    x = pictures(2, 2, 8, 16)
    out = shrunk(x, sigma, depth)
    for row, picture in zip(out, x, strict=True):
        for plane, values in zip(row, picture, strict=True):
            expected = torch.from_numpy(literal_shrunk(values.numpy().copy(), sigma, depth))
            torch.testing.assert_close(plane, expected, rtol=0, atol=1e-12)
    assert (out - x).abs().max() > 1e-3


def test_noise_is_taken_off_a_plain_and_an_edge_stays():
    clean = torch.where(torch.arange(16) < 8, 0.2, 0.8).double().expand(1, 1, 16, 16)
    draw = torch.Generator().manual_seed(0)
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=draw, dtype=torch.float64)
    out = PixelDeflection(share=0.0, sigma=0.05).apply(noisy, space_of(noisy))
    assert (out - clean).square().mean() < 0.5 * (noisy - clean).square().mean()


def test_colors_are_denoised_as_brightness_and_differences():
    x = 0.3 + 0.4 * pictures(2, 3, 8, 8)
    into = np.array(COLORS)
    planes = np.einsum("kc,bchw->bkhw", into, x.numpy())
    shrink = [np.stack([literal_shrunk(plane.copy(), 0.1, 2) for plane in row]) for row in planes]
    expected = np.einsum("ck,bkhw->bchw", np.linalg.inv(into), np.stack(shrink)).clip(0, 1)
    out = PixelDeflection(share=0.0, sigma=0.1).apply(x, space_of(x))
    torch.testing.assert_close(out, torch.from_numpy(expected), rtol=0, atol=1e-12)
    wide = PixelDeflection(share=0.0, sigma=0.1).apply(x * 258 - 3, space_of(x, (-3.0, 255.0)))
    torch.testing.assert_close(wide, out * 258 - 3)


def test_as_many_pixels_as_said_come_from_near():
    """Pictures that say their own rows and columns tell where every value comes from, uniformly."""
    height, width, reach, n = 9, 11, 2, 400
    places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).double()
    x = places.expand(n, 2, height, width)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        moved = deflected(x, 20, reach) - x
    changed = (moved != 0).any(1).flatten(1).sum(1)
    assert changed.max() <= 20
    assert moved.abs().max() == reach
    middle = moved[:, :, reach : height - reach, reach : width - reach]
    share = (middle != 0).any(1).double().mean() / (1 - 1 / (2 * reach + 1) ** 2)
    assert float(share) == pytest.approx(20 / 99, rel=0.05)
    hits = torch.stack([((middle[:, 0] == i) & (middle[:, 1] == j)).sum() for i in range(-2, 3) for j in range(-2, 3)])
    hits = hits.double()[torch.arange(25) != 12]
    assert float((hits - hits.mean()).square().sum() / hits.mean()) < 50, (
        "chi-square of 23 degrees of freedom: p = 0.001"
    )


def test_every_row_draws_its_own_and_one_pixel_at_least():
    x = pictures(1, 1, 6, 6).expand(8, 1, 6, 6).contiguous()
    out = PixelDeflection(share=1e-6, sigma=0.0, reach=6).apply(x, space_of(x))
    changed = (out != x).flatten(1).sum(1)
    assert changed.max() == 1
    assert len(torch.unique(out.flatten(1), dim=0)) > 3


def test_gradients_are_finite_differences():
    x = pictures(1, 3, 4, 5).requires_grad_()
    stage = PixelDeflection(share=0.3, reach=2, sigma=0.2)

    def still(z):
        with torch.random.fork_rng([]):
            torch.manual_seed(3)
            return stage.apply(z, space_of(z))

    assert torch.autograd.gradcheck(still, x, eps=1e-6, atol=1e-5)


def test_an_attack_goes_through_it():
    test = hf.data.load("digits").test.sample(16, 0)
    model = settle(load_model("digits-mlp"), test.x)
    guarded = settle(model | PixelDeflection(reach=1), test.x)
    assert guarded.random
    assert (guarded.predict(test.x) == test.y).double().mean() > 0.75
    held = [
        hf.run(hf.attacks.Pgd(steps=8), m, test.x, test.y, "linf:0.3").status.count("unbroken")
        for m in (model, guarded)
    ]
    assert held[1] <= held[0] + 3


def test_a_row_of_numbers_is_refused():
    x = pictures(2, 6)
    with pytest.raises(DataError, match="HF131 PixelDeflection works on pictures"):
        PixelDeflection().apply(x, space_of(x))
