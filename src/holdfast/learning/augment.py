"""Augmentation of image batches, by name: `shift`, `affine`, `light`, joined by `+`. Nothing is ever mirrored.

A batch, a generator and the bounds in; a batch of the same shape, inside the bounds, out.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from holdfast.core.errors import ModelError
from holdfast.threats.space import Box

Augmentation = Callable[[Tensor, Generator], Tensor]
TURN, ZOOM, MOVE = math.radians(10), 0.1, 0.1  # angle, scale and shift (as a share of the picture), at most
LIGHT, CONTRAST = 0.4, 0.3  # logarithms of the factors on brightness and contrast, at most


def named(text: str, space: Box) -> Augmentation | None:
    """The augmentation of this name, None for an empty one.

    Raises:
        ModelError: HF220 for an unknown name.
    """
    known = {"shift": _shift, "affine": _affine, "light": _light}
    parts = [part for part in text.split("+") if part]
    for part in parts:
        if part not in known:
            raise ModelError(
                "HF220", "There is no augmentation of this name", seen=repr(part), expected=", ".join(known)
            )
    return (lambda x, draw: _all([known[part] for part in parts], x, draw, space)) if parts else None


def _all(steps: list[Callable[[Tensor, Generator, Box], Tensor]], x: Tensor, draw: Generator, space: Box) -> Tensor:
    if x.dim() != 4:
        raise ModelError(
            "HF220",
            "Augmentations by name work on images",
            seen=f"inputs of shape {tuple(x.shape[1:])}",
            expected="(channels, height, width)",
        )
    for step in steps:
        x = step(x, draw, space)
    low, high = space.limits(x)
    return x.clamp(low, high)


def _shift(x: Tensor, draw: Generator, space: Box) -> Tensor:
    """Whole pixels, up to a tenth of the picture and at least one; the border is repeated."""
    reach = [max(1, round(MOVE * size)) for size in x.shape[2:]]
    rows, columns = (
        (torch.arange(size)[None] + torch.randint(-by, by + 1, (len(x), 1), generator=draw))
        .clamp(0, size - 1)
        .to(x.device)
        for size, by in zip(x.shape[2:], reach, strict=True)
    )
    batch, channels = torch.arange(len(x), device=x.device), torch.arange(x.shape[1], device=x.device)
    up, across = rows[:, None, :, None], columns[:, None, None, :]
    return x[batch[:, None, None, None], channels[:, None, None], up, across]


def _affine(x: Tensor, draw: Generator, space: Box) -> Tensor:
    """Turned, zoomed and moved; the border is repeated."""
    turn, zoom, right, down = (torch.rand(4, len(x), generator=draw) * 2 - 1).to(x)
    angle, scale = turn * TURN, (zoom * ZOOM).exp()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    ratio = x.shape[2] / x.shape[3]
    top = torch.stack([cos, -sin * ratio, right * 2 * MOVE], 1)
    bottom = torch.stack([sin / ratio, cos, down * 2 * MOVE], 1)
    grid = affine_grid(torch.stack([top, bottom], 1), list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode="border", align_corners=False)


def _light(x: Tensor, draw: Generator, space: Box) -> Tensor:
    """Brighter or darker, flatter or steeper around the picture's mean: by factors, so that dark pictures stay."""
    brighter, steeper = (torch.rand(2, len(x), 1, 1, 1, generator=draw) * 2 - 1).to(x)
    low, _ = space.limits(x)
    mean = x.mean((1, 2, 3), keepdim=True)
    lit: Tensor = low + (mean - low) * (brighter * LIGHT).exp() + (x - mean) * (steeper * CONTRAST).exp()
    return lit
