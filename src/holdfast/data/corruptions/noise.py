"""Noise: Gaussian, shot, impulse. Pictures are `(n, channels, height, width)` in [0, 1]."""

import torch
from torch import Tensor

from holdfast.geometry.draw import Draw


def gaussian_noise(x: Tensor, draw: Draw, deviation: float) -> Tensor:
    """A normal number is added to each value."""
    return (x + deviation * draw.normal(*x.shape[1:])).clamp(0, 1)


def shot_noise(x: Tensor, draw: Draw, photons: float) -> Tensor:
    """Each value becomes a Poisson count of `photons` times its brightness."""
    mean = photons * x.double()
    high = int(mean.max() + 12 * mean.max().sqrt() + 12)
    u = draw.uniform(*x.shape[1:]).double()
    term = torch.exp(-mean)
    total, count = term.clone(), torch.zeros_like(mean)
    for k in range(1, high):  # inversion: one uniform number a value, so that rows keep their own streams
        below = u >= total
        if not bool(below.any()):
            break
        count, term = count + below, term * mean / k
        total = total + term
    return (count / photons).clamp(0, 1).to(x)


def impulse_noise(x: Tensor, draw: Draw, share: float) -> Tensor:
    """So large a share of the values becomes black or white, in equal parts."""
    u = draw.uniform(*x.shape[1:])
    return torch.where(u < share / 2, torch.zeros_like(x), torch.where(u < share, torch.ones_like(x), x))
