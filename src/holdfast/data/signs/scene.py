"""What stands around a sign and between it and the camera: background, placing, wear, occlusion, light, blur, noise."""

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.data.signs.dice import Dice
from holdfast.data.signs.shapes import plane

FINE = 3
"""Samples along a side of a pixel when a sign is placed."""


def smooth(dice: Dice, points: int, size: int, channels: int) -> Tensor:
    """Smooth random fields `(batch, channels, size, size)` between 0 and 1, with `points` hills and valleys a side."""
    coarse = dice.uniform(shape=(channels, points, points))
    return functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)


def background(dice: Dice, size: int) -> Tensor:
    """Sky, walls, leaves and other things of any color: `(batch, 3, size, size)`."""
    x, y = plane(size)
    top, bottom = dice.uniform(0.1, 0.9, (3, 1, 1)), dice.uniform(0.05, 0.8, (3, 1, 1))
    horizon, sharp = dice.uniform(-0.6, 1.0, (1, 1, 1)), dice.uniform(1, 12, (1, 1, 1))
    ground = torch.sigmoid((y - horizon) * sharp)
    image = top + (bottom - top) * ground
    for points, strength in ((3, 0.5), (7, 0.5), (14, 0.45)):
        gray, tint = smooth(dice, points, size, 1), smooth(dice, points, size, 3)
        image = image + dice.uniform(0, strength, (1, 1, 1)) * (0.7 * gray + 0.3 * tint - 0.5)
    angle, waves, phase = (dice.uniform(0, end, (1, 1, 1)) for end in (3.1416, 14, 6.2832))
    stripes = torch.sin((x * torch.cos(angle) + y * torch.sin(angle)) * (2 + waves) + phase)
    image = image + dice.uniform(-0.15, 0.15, (3, 1, 1)) * stripes * (dice.uniform(shape=(1, 1, 1)) < 0.5)
    for _ in range(4):
        image = over(image, *thing(dice, size))
    return image.clamp(0, 1)


def thing(dice: Dice, size: int) -> tuple[Tensor, Tensor]:
    """A disc, bar or slab of any color somewhere: color `(batch, 3, 1, 1)`, coverage `(batch, 1, size, size)`."""
    x, y = plane(size)
    cx, cy = dice.uniform(-1.1, 1.1, (1, 1, 1)), dice.uniform(-1.1, 1.1, (1, 1, 1))
    turn, wide = dice.uniform(0, 3.1416, (1, 1, 1)), dice.uniform(0.1, 0.6, (1, 1, 1))
    cos, sin, high = torch.cos(turn), torch.sin(turn), dice.uniform(0.05, 0.6, (1, 1, 1))
    u, v = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
    slab, disc = torch.maximum(u.abs() - wide, v.abs() - high), torch.hypot(x - cx, y - cy) - wide
    away = torch.where(dice.uniform(shape=(1, 1, 1)) < 0.5, slab, disc)
    return dice.uniform(0, 1, (3, 1, 1)), (0.5 - away * (size / 2)).clamp(0, 1) * (dice.uniform(shape=(1, 1, 1)) < 0.6)


def over(image: Tensor, color: Tensor, covered: Tensor) -> Tensor:
    """The image with a color painted where `covered` says."""
    return image * (1 - covered) + color * covered


def homography(scale: Tensor, turn: Tensor, lean: Tensor, shift: Tensor) -> Tensor:
    """Matrices `(batch, 3, 3)` that lead from the picture to the template.

    Args:
        scale: Half width of the sign as a share of half the picture, `(batch, 2)` across and up.
        turn: Rotation in radians and shear, `(batch, 2)`.
        lean: The two numbers of the perspective, `(batch, 2)`.
        shift: Place of the sign's center, `(batch, 2)`.
    """
    one, zero = torch.ones_like(turn[:, 0]), torch.zeros_like(turn[:, 0])
    cos, sin = torch.cos(turn[:, 0]), torch.sin(turn[:, 0])
    back = torch.stack([one, zero, -shift[:, 0], zero, one, -shift[:, 1], zero, zero, one], 1).reshape(-1, 3, 3)
    spin = torch.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], 1).reshape(-1, 3, 3)
    grow = torch.stack([1 / scale[:, 0], turn[:, 1], zero, zero, 1 / scale[:, 1], zero, lean[:, 0], lean[:, 1], one], 1)
    return _times(grow.reshape(-1, 3, 3), _times(spin, back))


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Matrix products as plain sums, which give a picture the same bits in any company."""
    return (a[:, :, :, None] * b[:, None]).sum(2)


def placed(templates: Tensor, lead: Tensor, size: int) -> Tensor:
    """Templates `(batch, 4, ...)` seen through homographies: `(batch, 4, size, size)`, colors first."""
    x, y = plane(size * FINE)
    across, down, depth = (
        row[:, 0, None, None] * x + row[:, 1, None, None] * y + row[:, 2, None, None] for row in lead.unbind(1)
    )
    grid = torch.stack([across, down], -1) / depth.clamp_min(0.2)[..., None]
    seen = functional.grid_sample(templates, grid, align_corners=False)
    return functional.avg_pool2d(seen, FINE)


def lit(dice: Dice, image: Tensor) -> Tensor:
    """The image under a light with a direction, a shadow's edge, a cast of color, fog, and a camera's exposure."""
    x, y = plane(image.shape[-1])
    angle, strength = dice.uniform(0, 6.2832, (1, 1, 1)), dice.uniform(0, 0.45, (1, 1, 1))
    image = image * (1 + strength * (x * torch.cos(angle) + y * torch.sin(angle)))
    edge, place = dice.uniform(0, 6.2832, (1, 1, 1)), dice.uniform(-0.6, 0.6, (1, 1, 1))
    shade = torch.sigmoid((x * torch.cos(edge) + y * torch.sin(edge) - place) * dice.uniform(4, 30, (1, 1, 1)))
    image = image * (1 - dice.uniform(0.2, 0.6, (1, 1, 1)) * shade * (dice.uniform(shape=(1, 1, 1)) < 0.35))
    image = image * dice.uniform(0.78, 1.15, (3, 1, 1))
    fog = dice.uniform(0, 1, (1, 1, 1)) ** 2 * 0.6
    image = image * (1 - fog) + dice.uniform(0.35, 0.8, (1, 1, 1)) * fog
    return image * torch.exp(dice.uniform(-0.8, 0.2, (1, 1, 1)))


def blurred(dice: Dice, image: Tensor) -> Tensor:
    """The image out of focus, and smeared along a direction by motion: a Gaussian with two widths."""
    unit = image.shape[-1] / 32
    focus, motion = dice.uniform(0.3, 0.85, (1, 1)) * unit, dice.uniform(0, 1, (1, 1)) ** 3 * 1.6 * unit
    angle = dice.uniform(0, 3.1416, (1, 1))
    reach = max(3, round(3 * unit))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    v, u = torch.meshgrid(steps, steps, indexing="ij")
    cos, sin = torch.cos(angle)[..., None], torch.sin(angle)[..., None]
    along, across = u * cos + v * sin, v * cos - u * sin
    wide = (focus**2 + motion**2)[..., None]
    weights = torch.exp(-(along**2 / wide + across**2 / (focus**2)[..., None]) / 2).reshape(len(image), -1)
    weights = weights / weights.sum(1, keepdim=True)
    padded = functional.pad(image, (reach,) * 4, mode="replicate")
    size = image.shape[-1]
    total = torch.zeros_like(image)
    for k in range(weights.shape[1]):
        row, column = divmod(k, 2 * reach + 1)
        total.addcmul_(padded[:, :, row : row + size, column : column + size], weights[:, k, None, None, None])
    return total


def grainy(dice: Dice, image: Tensor) -> Tensor:
    """The image with the noise of a sensor, stored in 8 bits: values k / 255."""
    strength = dice.uniform(0.005, 0.035, (1, 1, 1))
    noisy = image + strength * dice.normal(tuple(image.shape[1:]))
    return (noisy.clamp(0, 1) * 255).round() / 255
