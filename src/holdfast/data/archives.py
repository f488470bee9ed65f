"""Arrays in `.npz` files, tried by a child process first, read without pickles and with the declared sizes checked."""

import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError, some
from holdfast.core.trial import look
from holdfast.data import builtin, opening
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.images import as_images, eight_bit

LARGEST = opening.LARGEST
"""Bytes that the arrays of one file may have when unpacked."""

Arrays = Mapping[str, NDArray[Any]]


def read(path: pathlib.Path) -> dict[str, NDArray[Any]]:
    """All arrays of an `.npz` file. Costs 0.05 s and one unpacking more than numpy does, see `core.trial`.

    Raises:
        DataError: HF110 where it is damaged, holds Python objects, or would unpack to more than 8 GiB.
        ResourceError: HF505 where the child that tries it first does not survive it, HF506 where there is none.
    """
    look("holdfast.data.opening:npz", [path], opening.MEMORY, opening.SECONDS)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise DataError(
                "HF110",
                f"The file {path.name!r} would unpack to too much",
                seen=f"{size / 2**30:.1f} GiB",
                expected=f"at most {LARGEST >> 30} GiB",
            )
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "HF110",
            f"The file {path.name!r} cannot be read as arrays",
            seen=f"{error}"[:100],
            expected="an .npz of plain numbers",
            fix="np.savez('data.npz', x=x, y=y)",
        ) from error


def load(path: pathlib.Path, bounds: Any = None) -> Splits:
    """An `.npz` with `x` and `y` (one part, taken as test) or with `x_train`, `y_train`, `x_test`, `y_test`.

    Also read: `bounds` (2,) or (2, features), `class_names`, `feature_names`; for each part `groups`, `ids`, `masks`.
    """
    return parts(read(path), path.stem, bounds)


def parts(arrays: Arrays, name: str, bounds: Any = None, license: str = "") -> Splits:
    """The parts that arrays in this naming hold: `x`, `y` or `x_train`, `y_train`, ..."""
    if bounds is None and "bounds" in arrays:
        bounds = tuple(arrays["bounds"]) if arrays["bounds"].ndim == 1 else arrays["bounds"]
    made = {
        split: part(arrays, tail, split, name, bounds, license)
        for split, tail in (("train", "_train"), ("val", "_val"), ("test", "_test"))
        if f"x{tail}" in arrays
    }
    if not made and "x" in arrays:
        made["test"] = part(arrays, "", "test", name, bounds, license)
    if not made:
        raise DataError(
            "HF110",
            f"{name!r} has no inputs",
            seen=some(sorted(arrays)) or "no arrays",
            expected="x and y, or x_train, y_train, x_test and y_test",
        )
    return assembled(made)


def assembled(made: Mapping[str, Dataset]) -> Splits:
    """Splits of the parts there are; one that is not there is empty."""
    some = next(iter(made.values()))
    return Splits(made.get("train", some.take(slice(0, 0))), made.get("test", some.take(slice(0, 0))), made.get("val"))


def part(arrays: Arrays, tail: str, split: str, name: str, bounds: Any, license: str) -> Dataset:
    """One part of the arrays whose names end with `tail`."""
    x = arrays[f"x{tail}"]
    if f"y{tail}" not in arrays:
        raise DataError(
            "HF110", f"{name!r} has inputs without labels", seen=f"x{tail}", expected=f"x{tail} and y{tail}"
        )
    groups, ids, masks = (arrays.get(f"{field}{tail}") for field in ("groups", "ids", "masks"))
    images = x.dtype == np.uint8 and x.ndim in (3, 4)
    if images and bounds is not None and not eight_bit(bounds) and tuple(map(float, bounds)) != (0.0, 1.0):
        raise DataError("HF103", "8-bit images have the range [0, 255], or [0, 1] when scaled", seen=bounds)
    return Dataset(
        as_images(x, bounds) if images else x,
        arrays[f"y{tail}"],
        (0, 1) if bounds is None else bounds,
        classes=tuple(arrays.get("class_names", ())),
        features=tuple(arrays.get("feature_names", ())),
        name=name,
        split=split,
        license=license,
        groups=groups,
        ids=ids,
        masks=masks,
    )


def series(arrays: Arrays, name: str, license: str) -> Splits:
    """Measured series or rows without a natural range: bounds as `builtin.measured` sets them."""
    values = np.concatenate([arrays["x_train"], arrays["x_test"]])
    return builtin.measured(parts(arrays, name, builtin.wide(values), license))
