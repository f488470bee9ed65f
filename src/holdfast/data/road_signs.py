"""`road_signs`: pictures of 16 European road signs, rendered by holdfast itself, as many as are wanted.

Every picture has its own perspective, size, wear, occlusion, light, fog, blur and noise, before a cluttered background
that may hold a second sign at its edge. Nothing is downloaded, and picture i of a seed is the same on its own and
among any others.
"""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.signs import cache, scene
from holdfast.data.signs.dice import Dice, source
from holdfast.data.signs.shapes import plane
from holdfast.data.signs.templates import SIGNS, templates

CLASSES = tuple(SIGNS)
"""Names of the classes; the label is the position."""

PARTS = {"train": (6000, 1), "val": (1000, 2), "test": (2000, 3)}
"""Number of pictures and seed of each part of `load("road_signs")`."""

TOGETHER = 256
"""Pictures rendered at once; changes nothing but the memory used."""


def render(n: int, seed: int = 0, size: int = 32, *, start: int = 0, split: str = "") -> Dataset:
    """Pictures `start`, ..., `start + n - 1` of the endless set that belongs to a seed; about 2 CPU-s per 1,000.

    Args:
        n: Number of pictures.
        seed: Which set; different seeds share no picture.
        size: Height and width in pixels, at least 16.
        start: Number of the first picture.
        split: Name of the part.

    Returns:
        Images `(n, 3, size, size)` in [0, 1] with values k / 255; `masks` `(n, size, size)` tells where the visible
        surface of the labeled sign is. Each run of 16 pictures from a multiple of 16 holds every class once.

    Raises:
        DataError: HF113 for a size or number that makes no picture.
    """
    if n < 0 or start < 0 or not 16 <= size <= 512:
        raise DataError(
            "HF113",
            "Road signs of that kind cannot be rendered",
            seen=f"n={n}, start={start}, size={size}",
            expected="n and start from 0, size from 16 to 512",
        )
    ids = range(start, start + n)
    labels = classes_of(ids, seed)
    batches = [
        _pictures(ids[at : at + TOGETHER], labels[at : at + TOGETHER], seed, size) for at in range(0, n, TOGETHER)
    ]
    x = torch.cat([torch.zeros(0, 3, size, size), *(image for image, _ in batches)])
    masks = torch.cat([torch.zeros(0, size, size, dtype=torch.bool), *(mask for _, mask in batches)])
    return Dataset(
        x,
        labels,
        classes=CLASSES,
        ids=torch.arange(start, start + n),
        masks=masks,
        name="road_signs",
        split=split,
        license="CC0-1.0",
    )


def splits() -> Splits:
    """6,000 pictures to train on, 1,000 to choose by, 2,000 to judge on; rendered once in a process (15 CPU-s).

    Where the environment variable `HOLDFAST_CACHE_DIR` names a folder, they are kept there for the next process.
    """
    parts = {split: dataclasses.replace(part, split=split) for split, part in _rendered().items()}
    return Splits(parts["train"], parts["test"], parts["val"])


@functools.cache
def _rendered() -> dict[str, Dataset]:
    return {split: cache.kept(render, n, seed) for split, (n, seed) in PARTS.items()}


def classes_of(ids: Sequence[int], seed: int) -> Tensor:
    """The labels of pictures: every run of as many pictures as there are classes is one shuffle of them."""
    count = len(CLASSES)
    runs = {run: torch.randperm(count, generator=source(seed, f"labels {run}")) for run in {i // count for i in ids}}
    return torch.tensor([int(runs[i // count][i % count]) for i in ids], dtype=torch.int64)


def _pictures(ids: Sequence[int], labels: Tensor, seed: int, size: int) -> tuple[Tensor, Tensor]:
    dice, signs = Dice(seed, ids), templates()
    image = scene.background(dice, size)
    image = scene.over(image, *_post(dice, size))
    image = _stranger(dice, image, signs)
    sign = scene.placed(signs[labels], _pose(dice), size)
    sign, covered = _worn(dice, sign[:, :3], sign[:, 3:]), sign[:, 3:]
    image = image * (1 - covered) + sign
    color, hidden = _obstacle(dice, size)
    image = scene.over(image, color, hidden)
    image = scene.blurred(dice, scene.lit(dice, image))
    return scene.grainy(dice, image), (covered * (1 - hidden))[:, 0] >= 0.5


def _pose(dice: Dice) -> Tensor:
    """Where the labeled sign stands and how it is turned to the camera."""
    scale = dice.uniform(0.46, 0.88, (1,))
    across = dice.uniform(0.72, 1.0, (1,))
    turn = torch.cat([dice.uniform(-0.22, 0.22, (1,)), dice.uniform(-0.15, 0.15, (1,))], 1)
    lean = dice.uniform(-0.25, 0.25, (2,))
    room = (1.02 - scale).clamp_min(0.05)
    return scene.homography(torch.cat([scale * across, scale], 1), turn, lean, dice.uniform(-1, 1, (2,)) * room * 0.8)


def _post(dice: Dice, size: int) -> tuple[Tensor, Tensor]:
    """A gray post."""
    x, _ = plane(size)
    place, width = dice.uniform(-0.3, 0.3, (1, 1, 1)), dice.uniform(0.03, 0.09, (1, 1, 1))
    covered = (0.5 - ((x - place).abs() - width) * (size / 2)).clamp(0, 1).expand(-1, 1, size, size)
    return dice.uniform(0.2, 0.7, (1, 1, 1)).expand(-1, 3, 1, 1), covered * (dice.uniform(shape=(1, 1, 1)) < 0.7)


def _stranger(dice: Dice, image: Tensor, signs: Tensor) -> Tensor:
    """A smaller sign of any class, cut off by the edge of every third picture."""
    size = image.shape[-1]
    which = (dice.uniform() * len(signs)).long().clamp_max(len(signs) - 1)
    angle, scale = dice.uniform(0, 6.2832), dice.uniform(0.25, 0.42, (1,))
    far = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    shift = far / far.abs().amax(1, keepdim=True) * dice.uniform(0.9, 1.15, (1,))
    seen = scene.placed(
        signs[which],
        scene.homography(scale.expand(-1, 2), dice.uniform(-0.3, 0.3, (2,)), torch.zeros_like(shift), shift),
        size,
    )
    seen = seen * (dice.uniform(shape=(1, 1, 1)) < 0.33)
    return image * (1 - seen[:, 3:]) + seen[:, :3]


def _worn(dice: Dice, sign: Tensor, covered: Tensor) -> Tensor:
    """Colors bleached by the sun and stained by dirt."""
    pale = dice.uniform(0, 0.45, (1, 1, 1))
    sign = sign * (1 - pale) + (0.5 * sign.mean(1, keepdim=True) + 0.25 * covered) * pale
    dirt = scene.smooth(dice, 6, sign.shape[-1], 1) * dice.uniform(0, 0.5, (1, 1, 1))
    return sign * (1 - dirt) * dice.uniform(0.75, 1.05, (1, 1, 1))


def _obstacle(dice: Dice, size: int) -> tuple[Tensor, Tensor]:
    """A branch or another post in front of half of the signs, which hides up to about a fifth of them."""
    x, y = plane(size)
    turn, away = dice.uniform(0, 6.2832, (1, 1, 1)), dice.uniform(0.1, 0.8, (1, 1, 1))
    width = dice.uniform(0.02, 0.11, (1, 1, 1))
    ragged = (scene.smooth(dice, 8, size, 1) - 0.5) * 0.25
    distance = (x * torch.cos(turn) + y * torch.sin(turn) - away).abs() - width + ragged
    green = torch.cat(
        [dice.uniform(0.05, 0.45, (1, 1, 1)), dice.uniform(0.1, 0.5, (1, 1, 1)), dice.uniform(0.02, 0.4, (1, 1, 1))], 1
    )
    return green, (0.5 - distance * (size / 2)).clamp(0, 1) * (dice.uniform(shape=(1, 1, 1)) < 0.5)
