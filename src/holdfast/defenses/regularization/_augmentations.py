"""The operations that AugMix chains, on pictures in [0, 1]: none is among the common corruptions.

Each takes pictures `(n, channels, height, width)` and a level in [0, 1] per picture, `(n,)`, and returns pictures.
Levels are shares of AutoAugment's largest strengths (Cubuk et al., CVPR 2019, arXiv:1805.09501).
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

Operation = Callable[[Tensor, Tensor], Tensor]
TURN, SHEAR, MOVE = torch.pi / 6, 0.3, 1 / 3  # the largest angle, slope, and shift as a share of the picture
BINS = 256  # shades that a histogram tells apart
SOFTEST = 0.1  # lowest level, of 10


def autocontrast(x: Tensor, level: Tensor) -> Tensor:
    """Each channel stretched from black to white; flat ones stay."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-12), x)


def equalize(x: Tensor, level: Tensor) -> Tensor:
    """Each channel with a flat histogram: a shade becomes the share of pixels below it; flat ones stay."""
    n, channels, height, width = x.shape
    shades = (x.clamp(0, 1) * (BINS - 1)).round().long().reshape(n * channels, height * width)
    counts = torch.zeros(n * channels, BINS, dtype=torch.float64, device=x.device)
    counts.scatter_add_(1, shades, torch.ones_like(shades, dtype=torch.float64))
    below = counts.cumsum(1) - counts
    last = below.gather(1, shades.amax(1, keepdim=True))  # pixels darker than the lightest shade
    flat = (below / last.clamp(min=1)).gather(1, shades).clamp(0, 1).to(x).reshape(x.shape)
    return torch.where((last == 0).reshape(n, channels, 1, 1), x, flat)


def posterize(x: Tensor, level: Tensor) -> Tensor:
    """Fewer shades: 4 bits a value at level 0, down to none at 1."""
    size = 2 ** (4 + (level * 4).floor())
    size = size.to(x).reshape(-1, 1, 1, 1)
    return ((x * (BINS - 1)).round() / size).floor() * size / (BINS - 1)


def solarize(x: Tensor, level: Tensor) -> Tensor:
    """Values above a threshold inverted; it falls from 1 to 0 with the level."""
    return torch.where(x >= 1 - level.to(x).reshape(-1, 1, 1, 1), 1 - x, x)


def warp(x: Tensor, level: Tensor, sign: Tensor, way: Tensor) -> Tensor:
    """Turned, sheared or moved, black outside.

    Args:
        x: Pictures.
        level: Share of the largest change.
        sign: Its direction.
        way: What each picture goes through: 0 turns, 1 and 2 shear along x and y, 3 and 4 move along x and y; `(n,)`.
    """
    by, ratio, still = sign * level, x.shape[2] / x.shape[3], torch.zeros_like(level)
    angle = torch.where(way == 0, by * TURN, still)
    slope, move = by * SHEAR, by * 2 * MOVE
    right = -angle.sin() * ratio + torch.where(way == 1, slope * ratio, still)
    down = angle.sin() / ratio + torch.where(way == 2, slope / ratio, still)
    top = torch.stack([angle.cos(), right, torch.where(way == 3, move, still)], 1)
    bottom = torch.stack([down, angle.cos(), torch.where(way == 4, move, still)], 1)
    grid = affine_grid(torch.stack([top, bottom], 1), list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="zeros", align_corners=False)


SHADES: tuple[Operation, ...] = (autocontrast, equalize, posterize, solarize)
WARPS = 5  # turn, shear along x and y, move along x and y


def chained(x: Tensor, depth: int, severity: float, draw: Generator) -> Tensor:
    """Each picture after 1 to `depth` operations of random kind, level up to `severity` tenths, and sign.

    Args:
        x: `(n, channels, height, width)` in [0, 1].
        depth: Longest chain.
        severity: Highest level, of 10.
        draw: Random numbers.
    """
    length = torch.randint(1, depth + 1, (len(x),), generator=draw)
    for place in range(depth):
        kind = torch.randint(len(SHADES) + WARPS, (len(x),), generator=draw).where(length > place, -1)
        chance = torch.rand(2, len(x), generator=draw, dtype=torch.float64)
        level = (SOFTEST + (severity - SOFTEST) * chance[0]).clamp(min=0) / 10
        sign = torch.where(chance[1] < 0.5, -1.0, 1.0)
        kind, level, sign = kind.to(x.device), level.to(x), sign.to(x)
        made = x.clone()
        for index, operation in enumerate(SHADES):
            rows = kind == index
            made[rows] = operation(x[rows], level[rows])
        rows = kind >= len(SHADES)
        made[rows] = warp(x[rows], level[rows], sign[rows], kind[rows] - len(SHADES))
        x = made
    return x
