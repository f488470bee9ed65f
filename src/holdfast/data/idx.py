"""MNIST and its kin (LeCun, Cortes & Burges, 1998) as published: idx files of images and labels, gzipped or not."""

import gzip
import math
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError
from holdfast.core.trial import look
from holdfast.data import archives, opening, pictures
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.images import as_images

PARTS = {
    "train": ("train-images", "train-labels"),
    "test": ("t10k-images", "t10k-labels"),
    "val": ("val-images", "val-labels"),
}


def here(path: pathlib.Path) -> bool:
    """Whether a folder holds idx files of images."""
    return any(_file(path, images) for images, _ in PARTS.values())


def load(path: pathlib.Path, bounds: Any = None) -> Splits:
    """The parts of a folder of idx files.

    Raises:
        DataError: HF110 for a damaged file, images without labels, or numbers that differ.
        ResourceError: HF505 or HF506 from the child that tries the files first, see `core.trial`.
    """
    made = {}
    for split, (images, labels) in PARTS.items():
        files = _file(path, images), _file(path, labels)
        if files[0] and files[1]:
            look("holdfast.data.opening:idx", [files[0], files[1]], opening.MEMORY, opening.SECONDS)
            x, y = read(files[0]), read(files[1])
            if x.ndim != 3 or y.shape != x.shape[:1]:
                raise DataError(
                    "HF110",
                    "The images and labels do not belong together",
                    seen=f"{x.shape} and {y.shape}",
                    expected="(n, height, width) and (n,)",
                )
            made[split] = Dataset(as_images(x, bounds), y, bounds or (0, 1), name=path.resolve().name, split=split)
        elif files[0]:
            raise DataError(
                "HF110", f"The images {files[0].name!r} have no labels", expected=f"a file {labels}-idx1-ubyte"
            )
    return archives.assembled(made)


def read(path: pathlib.Path) -> NDArray[np.uint8]:
    """One idx file of bytes: two zeros, the type 8, the number of dimensions, the sizes (big-endian), the values."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(4)
            sizes = [int.from_bytes(file.read(4), "big") for _ in range(head[3] if len(head) == 4 else 0)]
            wanted = math.prod(sizes)
            sound = head[:3] == b"\0\0\x08" and 0 < len(sizes) <= 4 and wanted <= archives.LARGEST
            values = file.read(wanted + 1) if sound else b""
    except (OSError, EOFError) as error:
        raise DataError(
            "HF110",
            f"The file {path.name!r} cannot be unpacked",
            seen=type(error).__name__,
            expected="an idx file, gzipped or not",
        ) from error
    if not sound or len(values) != wanted:
        raise DataError(
            "HF110",
            f"The file {path.name!r} is no idx file of bytes",
            seen=f"first bytes {head.hex()}, sizes {sizes}, {len(values)} values",
            expected=f"{wanted} values",
        )
    return np.frombuffer(values, np.uint8).reshape(sizes)


def _file(path: pathlib.Path, stem: str) -> pathlib.Path | None:
    """The file of that stem: `train-images-idx3-ubyte`, `train-images.idx3-ubyte.gz`, `emnist-train-images-...`."""
    found = [file for file in pictures.visible(path) if stem in file.name and "idx" in file.name and file.is_file()]
    return found[0] if found else None
