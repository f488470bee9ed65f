"""CIFAR-10 (Krizhevsky, 2009) as published, the "python version": pickles, read without running anything in them."""

import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError
from holdfast.core.trial import look
from holdfast.data import archives
from holdfast.data.batches import Bytes, unpickled
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.images import as_images

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"


def here(path: pathlib.Path) -> bool:
    """Whether a folder is, or holds, that of the batches."""
    return any((folder / name).is_file() for folder in (path, path / FOLDER) for name in ("data_batch_1", "test_batch"))


def load(path: pathlib.Path, bounds: Any = None) -> Splits:
    """The training batches that are there, and the test batch.

    Raises:
        DataError: HF110 for a damaged batch, HF111 for one that asks for anything but arrays.
        ResourceError: HF505 or HF506 from the child that tries the batches first, see `core.trial`.
    """
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    made = {}
    for split, pattern in (("train", "data_batch_?"), ("test", "test_batch")):
        files = [file for file in sorted(folder.glob(pattern)) if file.is_file()]
        if files:
            largest = max(file.stat().st_size for file in files)
            look("holdfast.data.batches:facts", files, (256 << 20) + 4 * largest, needs=["numpy"])
            batches = [_batch(file) for file in files]
            x, y = np.concatenate([x for x, _ in batches]), [label for _, labels in batches for label in labels]
            made[split] = Dataset(as_images(x, bounds), y, bounds or (0, 1), classes=NAMES, name="cifar10", split=split)
    return archives.assembled(made)


def _batch(file: pathlib.Path) -> tuple[NDArray[np.uint8], list[int]]:
    found = unpickled(file)
    data, labels = found.get("data"), found.get("labels")
    values = data.values if isinstance(data, Bytes) else None
    if (
        values is None
        or values.ndim != 2
        or values.shape[1] != 3072
        or not isinstance(labels, list)
        or len(labels) != len(values)
        or not all(isinstance(label, int) for label in labels)
    ):
        raise DataError(
            "HF110",
            f"The file {file.name!r} is no CIFAR-10 batch",
            seen=", ".join(sorted(found))[:100],
            expected="data (n, 3072) of bytes and n labels",
        )
    return values.reshape(-1, 3, 32, 32), labels
