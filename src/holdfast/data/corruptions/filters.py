"""Filters and grids that corruptions share: Gaussian windows, shifts along a direction, zooms, plasma."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.geometry.draw import Draw


def smoothed(x: Tensor, sigma: float, truncate: float = 4.0, edge: str = "replicate") -> Tensor:
    """Convolved with a Gaussian of that deviation, cut after `truncate` deviations; the edge is repeated.

    Args:
        x: `(n, channels, height, width)`.
        sigma: Deviation in pixels; 0 changes nothing.
        truncate: Deviations after which the window ends.
        edge: How the picture goes on beyond its edge: `replicate`, or `symmetric` (mirrored with the edge repeated).
    """
    reach = int(truncate * sigma + 0.5)
    if reach < 1:
        return x
    offsets = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    window = torch.exp(-0.5 * (offsets / sigma).square())
    window = window / window.sum()
    for dim in (2, 3):
        places = torch.arange(-reach, x.shape[dim] + reach, device=x.device)
        padded = x.index_select(dim, _beyond(places, x.shape[dim], edge))
        x = padded.unfold(dim, len(window), 1) @ window
    return x


def _beyond(places: Tensor, size: int, edge: str) -> Tensor:
    if edge == "replicate":
        return places.clamp(0, size - 1)
    turned = places.remainder(2 * size)
    return torch.minimum(turned, 2 * size - 1 - turned)


def convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel convolved with one `(height, width)` kernel of odd sides, the picture mirrored at its edge."""
    half = kernel.shape[0] // 2, kernel.shape[1] // 2
    n, channels, height, width = x.shape
    rows = mirrored(torch.arange(-half[0], height + half[0]), height)
    columns = mirrored(torch.arange(-half[1], width + half[1]), width)
    padded = x[:, :, rows][:, :, :, columns].reshape(n * channels, 1, height + 2 * half[0], width + 2 * half[1])
    return functional.conv2d(padded, kernel.to(x)[None, None]).reshape(x.shape)


def mirrored(places: Tensor, size: int) -> Tensor:
    """Places outside of 0 ... size - 1 mirrored into it, the edge itself not repeated."""
    if size == 1:
        return torch.zeros_like(places)
    turned = places.remainder(2 * size - 2)
    return torch.minimum(turned, 2 * size - 2 - turned)


def dragged(x: Tensor, angle: Tensor, radius: float, sigma: float) -> Tensor:
    """Motion blur: one-sided Gaussian weights along a direction, at whole pixels, the edge repeated.

    Args:
        x: `(n, channels, height, width)`.
        angle: Direction of each row in degrees, `(n,)`.
        radius: The window has 2 * radius + 1 pixels.
        sigma: Deviation of the weights.
    """
    steps = torch.arange(2 * math.ceil(radius) + 1, dtype=torch.float64, device=x.device)
    weights = torch.exp(-0.5 * (steps / sigma).square())
    weights = weights / weights.sum()
    turn = torch.deg2rad(angle.double())
    across = torch.ceil(steps * torch.cos(turn)[:, None] - 0.5).long()
    down = torch.ceil(steps * torch.sin(turn)[:, None] - 0.5).long()
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape[2:])
    each, total = torch.arange(len(x), device=x.device)[:, None, None], torch.zeros_like(x)
    for k, weight in enumerate(weights.tolist()):
        i = (rows + down[:, k, None]).clamp(0, x.shape[2] - 1)[:, :, None]
        j = (columns + across[:, k, None]).clamp(0, x.shape[3] - 1)[:, None, :]
        total = total + weight * x.permute(0, 2, 3, 1)[each, i, j].permute(0, 3, 1, 2)
    return total


def zoomed(x: Tensor, factor: float) -> Tensor:
    """The middle of the picture, enlarged by `factor` to its size, bilinear with fixed corners."""
    height, width = x.shape[2:]
    part = [math.ceil(size / factor) for size in (height, width)]
    first = [(size - p) // 2 for size, p in zip((height, width), part, strict=True)]
    middle = x[:, :, first[0] : first[0] + part[0], first[1] : first[1] + part[1]]
    size = [max(round(p * factor), s) for p, s in zip(part, (height, width), strict=True)]
    large = functional.interpolate(middle, size=size, mode="bilinear", align_corners=True)
    trim = [(a - s) // 2 for a, s in zip(size, (height, width), strict=True)]
    return large[:, :, trim[0] : trim[0] + height, trim[1] : trim[1] + width]


def plasma(draw: Draw, size: int, decay: float) -> Tensor:
    """Clouds by the diamond-square algorithm, each row from 0 to 1: `(batch, size, size)`, `size` a power of two."""
    sky = torch.zeros(len(draw.ids), size, size).to(draw.like)
    step, wobble = size, 100.0

    def near(total: Tensor, wobble: float) -> Tensor:
        noise = wobble * (2 * draw.uniform(*total.shape[1:]) - 1)
        return total / 4 + wobble * noise

    while step > 1:
        half = step // 2
        corner = sky[:, ::step, ::step]
        sky[:, half::step, half::step] = near(_four(corner, (-1,), (-2,), (-1, -2)), wobble)
        middle, corner = sky[:, half::step, half::step], sky[:, ::step, ::step]
        across = middle + middle.roll(1, 1) + corner + corner.roll(-1, 2)
        sky[:, ::step, half::step] = near(across, wobble)
        down = middle + middle.roll(1, 2) + corner + corner.roll(-1, 1)
        sky[:, half::step, ::step] = near(down, wobble)
        step, wobble = half, wobble / decay
    sky = sky - sky.amin((1, 2), keepdim=True)
    return sky / sky.amax((1, 2), keepdim=True).clamp(min=1e-12)


def _four(corner: Tensor, *shifts: tuple[int, ...]) -> Tensor:
    """A grid and three of its neighbors, around the torus."""
    return corner + sum(corner.roll([-1] * len(dims), dims) for dims in shifts)
