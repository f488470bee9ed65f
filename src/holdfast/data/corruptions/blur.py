"""Blur: defocus, glass, motion, zoom. Pictures are `(n, channels, height, width)` in [0, 1]."""

import torch
from torch import Tensor

from holdfast.data.corruptions.filters import convolved, dragged, smoothed, zoomed
from holdfast.geometry.draw import Draw


def defocus_blur(x: Tensor, draw: Draw, radius: float, alias: float) -> Tensor:
    """A disk of light, itself smoothed by a small Gaussian."""
    return convolved(x, disk(radius, alias)).clamp(0, 1)


def disk(radius: float, alias: float) -> Tensor:
    """The kernel of `defocus_blur`: `(side, side)`, sum 1."""
    reach, size = (8, 3) if radius <= 8 else (int(radius), 5)
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    inside = (places.square()[:, None] + places.square() <= radius**2).double()
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    window = torch.exp(-0.5 * (offsets / alias).square())
    window = window / window.sum()
    soft = convolved((inside / inside.sum())[None, None], window[:, None] * window)
    return soft[0, 0]


def glass_blur(x: Tensor, draw: Draw, sigma: float, reach: int, rounds: int) -> Tensor:
    """A Gaussian, pixels exchanged with near ones (the published code copies one onto the other), a Gaussian."""
    x = smoothed(x, sigma).clone()
    height, width = x.shape[2:]
    each = torch.arange(len(x), device=x.device)
    for _ in range(rounds):
        for i in range(height - reach, reach, -1):
            moves = (draw.uniform(2, width) * 2 * reach).long() - reach
            for j in range(width - reach, reach, -1):
                a, b = i + moves[:, 0, j], j + moves[:, 1, j]
                here, there = x[:, :, i, j].clone(), x[each, :, a, b]
                x[:, :, i, j] = there
                x[each, :, a, b] = here
    return smoothed(x, sigma).clamp(0, 1)


def motion_blur(x: Tensor, draw: Draw, radius: float, sigma: float) -> Tensor:
    """Dragged along a random direction within 45 degrees of level."""
    return dragged(x, 90 * draw.uniform() - 45, radius, sigma).clamp(0, 1)


def zoom_blur(x: Tensor, draw: Draw, most: float, step: float) -> Tensor:
    """The mean of the picture and of its enlargements from 1 to `most`, excluded."""
    factors = torch.arange(1, most, step, dtype=torch.float64).tolist()
    total = x + torch.stack([zoomed(x, factor) for factor in factors]).sum(0)
    return (total / (len(factors) + 1)).clamp(0, 1)
