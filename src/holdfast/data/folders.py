"""Folders as data: images in a sub-folder for each class, and the layouts that GTSRB, MNIST and CIFAR-10 come in."""

import pathlib
from typing import Any

from holdfast.core.errors import DataError
from holdfast.data import archives, cifar, gtsrb, idx, pictures
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.images import as_images

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of sub-folders that are parts and not classes."""


def load(path: pathlib.Path, bounds: Any = None, size: int | None = None) -> Splits:
    """A folder, by what is in it.

    Args:
        path: GTSRB, MNIST (idx files) or CIFAR-10 (batches) as they are published, or images, `CLASS/anything.png`,
            optionally below `train`, `val` and `test`; without those, all is the test part.
        bounds: `(0, 255)` keeps 8-bit units.
        size: Height and width that images are scaled to; without it all must have one size (GTSRB: 32).

    Raises:
        DataError: HF110 where nothing in it is known, or files are damaged; HF111 where a pickle is more than arrays.
    """
    if gtsrb.here(path):
        return gtsrb.load(path, bounds, size)
    if idx.here(path):
        return idx.load(path, bounds)
    if cifar.here(path):
        return cifar.load(path, bounds)
    inside = [entry for entry in pictures.visible(path) if entry.is_dir()]
    parts = {PARTS[entry.name.lower()]: entry for entry in inside if entry.name.lower() in PARTS} or {"test": path}
    names = sorted({entry.name for part in parts.values() for entry in pictures.visible(part) if pictures.files(entry)})
    if not names:
        raise DataError(
            "HF110",
            f"The folder {path.name!r} holds no images in sub-folders",
            seen=", ".join(repr(entry.name) for entry in pictures.visible(path)[:5]) or "nothing",
            expected="a sub-folder for each class with images in it",
        )
    made = {split: _part(part, names, bounds, size, path.resolve().name, split) for split, part in parts.items()}
    return archives.assembled({split: part for split, part in made.items() if part is not None})


def _part(path: pathlib.Path, names: list[str], bounds: Any, size: int | None, name: str, split: str) -> Dataset | None:
    found = [(file, label) for label, folder in enumerate(names) for file in pictures.files(path / folder)]
    if not found:
        return None
    x = as_images(pictures.stack([file for file, _ in found], size), bounds)
    return Dataset(x, [label for _, label in found], bounds or (0, 1), classes=names, name=name, split=split)
