"""Flat shapes as signed distances: negative inside, on a canvas from -1 to 1 across and down."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Point = tuple[float, float]


def plane(size: int) -> tuple[Tensor, Tensor]:
    """The x and y coordinates `(size, size)` of the centers of the pixels of a square canvas."""
    steps = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return x, y


def disc(x: Tensor, y: Tensor, radius: float, center: Point = (0.0, 0.0)) -> Tensor:
    """A filled circle."""
    return torch.hypot(x - center[0], y - center[1]) - radius


def capsule(x: Tensor, y: Tensor, start: Point, end: Point, radius: float) -> Tensor:
    """All points within `radius` of a line from start to end: a stroke with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = (((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return torch.hypot(x - start[0] - along * dx, y - start[1] - along * dy) - radius


def box(x: Tensor, y: Tensor, center: Point, half: Point) -> Tensor:
    """An upright rectangle of half width and half height."""
    return torch.maximum((x - center[0]).abs() - half[0], (y - center[1]).abs() - half[1])


def convex(x: Tensor, y: Tensor, corners: Sequence[Point]) -> Tensor:
    """A convex polygon, its corners in clockwise order as seen (y down)."""
    sides = []
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = math.hypot(bx - ax, by - ay)
        sides.append(((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / length)
    return torch.stack(sides).amax(0)


def regular(x: Tensor, y: Tensor, sides: int, apothem: float, turn: float = 0.0, center: Point = (0.0, 0.0)) -> Tensor:
    """A regular polygon; `apothem` is the distance of a side from the center, `turn` the angle of the first side."""
    angles = [turn + 2 * math.pi * k / sides for k in range(sides)]
    x, y = x - center[0], y - center[1]
    return torch.stack([x * math.cos(a) + y * math.sin(a) for a in angles]).amax(0) - apothem


def coverage(distance: Tensor, pixel: float) -> Tensor:
    """Share of each pixel that lies inside, from the distance at its center."""
    return (0.5 - distance / pixel).clamp(0, 1)
