"""Weather: snow, frost, fog, brightness. Pictures are `(n, channels, height, width)` in [0, 1]."""

import torch
from torch import Tensor

from holdfast.data.corruptions.filters import dragged, plasma, zoomed
from holdfast.geometry.draw import Draw

GRAY = (0.299, 0.587, 0.114)
ICE = (0.86, 0.95, 1.0)  # the color of frost: a touch of blue


def snow(
    x: Tensor,
    draw: Draw,
    mean: float,
    deviation: float,
    zoom: float,
    least: float,
    radius: float,
    sigma: float,
    keep: float,
) -> Tensor:
    """Flakes that fall, in two directions, over a picture that is bleached by `1 - keep`."""
    flakes = mean + deviation * draw.normal(1, *x.shape[2:])
    flakes = zoomed(flakes, zoom)
    flakes = torch.where(flakes < least, 0.0, flakes)
    flakes = dragged(flakes.clamp(0, 1), -135 + 90 * draw.uniform(), radius, sigma)
    bleached = torch.maximum(x, 1.5 * gray(x) + 0.5)
    return (keep * x + (1 - keep) * bleached + flakes + flakes.rot90(2, (2, 3))).clamp(0, 1)


def frost(x: Tensor, draw: Draw, keep: float, ice: float) -> Tensor:
    """Ice crystals over the picture. The published one lays photographs over it; this texture is our own.

    Ridges where clouds of two grains pass their middle, bright and sharp, over a haze that thickens toward one side.
    """
    side = _power(x)
    coarse, fine, haze = (plasma(draw, side, decay)[:, None, : x.shape[2], : x.shape[3]] for decay in (1.6, 1.3, 2.5))
    ridges = (1 - (2 * coarse - 1).abs()) ** 6 + 0.6 * (1 - (2 * fine - 1).abs()) ** 8
    texture = (0.35 * haze + 0.8 * ridges).clamp(0, 1)
    color = torch.tensor(ICE if x.shape[1] == 3 else (1.0,)).to(x)[None, :, None, None]
    return (keep * x + ice * texture * color).clamp(0, 1)


def fog(x: Tensor, draw: Draw, thickness: float, decay: float) -> Tensor:
    """Clouds are added, and the sum is scaled back to the brightness of before."""
    clouds = plasma(draw, _power(x), decay)[:, None, : x.shape[2], : x.shape[3]]
    most = x.amax((1, 2, 3), keepdim=True)
    return ((x + thickness * clouds) * most / (most + thickness)).clamp(0, 1)


def brightness(x: Tensor, draw: Draw, more: float) -> Tensor:
    """The value of hue, saturation, value is raised."""
    value = x.amax(1, keepdim=True)
    raised = (value + more).clamp(0, 1)
    return torch.where(value > 0, x * raised / torch.where(value > 0, value, 1.0), raised)


def gray(x: Tensor) -> Tensor:
    """Luma: `(n, 1, height, width)`."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    weights = torch.tensor(GRAY).to(x)[None, :, None, None]
    return (weights * x).sum(1, keepdim=True)


def _power(x: Tensor) -> int:
    """The smallest power of two that covers the picture."""
    return 1 << (max(x.shape[2:]) - 1).bit_length()
