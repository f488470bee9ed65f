"""Small pictures pasted onto large ones: turned, scaled, lit, differentiable in the small picture."""

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
    """How a patch lies on each of some pictures.

    Args:
        center: Row and column of its middle in pixels, `(n, 2)`.
        side: In pixels, `(n,)`.
        angle: Its turn in degrees, clockwise as seen, `(n,)`.
        light: Factor on its brightness, `(n,)`.
    """

    center: Tensor
    side: Tensor
    angle: Tensor
    light: Tensor


def pasted(
    x: Tensor, patch: Tensor, center: Tensor, side: Tensor, angle: Tensor, light: Tensor, where: Tensor | None = None
) -> Tensor:
    """Each picture with the patch on it: `(batch, channels, height, width)`.

    Args:
        x: Pictures in [0, 1], `(batch, channels, height, width)`.
        patch: `(channels, s, s)` in [0, 1].
        center: Row and column of the patch's middle in pixels, `(batch, 2)`.
        side: Its side in pixels, `(batch,)`.
        angle: Its turn in degrees, `(batch,)`.
        light: Factor on its brightness, `(batch,)`.
        where: Places that it may cover, `(batch, height, width)`; all unless given.
    """
    n, channels, height, width = x.shape
    rows, columns = (torch.arange(size, dtype=x.dtype, device=x.device) for size in (height, width))
    down = rows[:, None] - center[:, :1, None]
    across = columns - center[:, 1:, None]
    turn = torch.deg2rad(angle)[:, None, None]
    u = (torch.cos(turn) * across + torch.sin(turn) * down) * 2 / side[:, None, None]
    v = (-torch.sin(turn) * across + torch.cos(turn) * down) * 2 / side[:, None, None]
    grid = torch.stack([u, v], -1)
    drawn = functional.grid_sample(patch.expand(n, *patch.shape), grid, padding_mode="border", align_corners=False)
    soft = side[:, None, None] / 2  # the edge is one pixel wide
    cover = ((1 - torch.maximum(u.abs(), v.abs())) * soft + 0.5).clamp(0, 1)[:, None]
    if where is not None:
        cover = cover * where[:, None].to(x)
    return x + cover * ((drawn * light[:, None, None, None]).clamp(0, 1) - x)


def middle_of(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The centroid of each mask, `(batch, 2)`, and the side of a square of its area, `(batch,)`; zeros for none."""
    weight = mask.double()
    area = weight.sum((1, 2))
    rows, columns = (torch.arange(size, dtype=torch.float64, device=mask.device) for size in mask.shape[1:])
    down = (weight.sum(2) * rows).sum(1) / area.clamp(min=1)
    across = (weight.sum(1) * columns).sum(1) / area.clamp(min=1)
    return torch.stack([down, across], 1), area.sqrt()
