"""GTSRB (Stallkamp, Schlipsing, Salmen & Igel, IJCNN 2011) as published: ppm files, tables, tracks."""

import csv
import pathlib
from typing import Any

from holdfast.core.errors import DataError
from holdfast.data import archives, pictures
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.images import as_images

SIDE = 32
"""Height and width that the pictures, of many sizes, are scaled to when none is asked for."""

LICENSE = "free to use with citation (Stallkamp et al. 2012)"

NAMES = (
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no passing",
    "no passing over 3.5 t",
    "priority at next crossing",
    "priority road",
    "yield",
    "stop",
    "no vehicles",
    "no vehicles over 3.5 t",
    "no entry",
    "danger",
    "bend left",
    "bend right",
    "double bend",
    "bumpy road",
    "slippery road",
    "road narrows on the right",
    "road works",
    "traffic lights",
    "pedestrians",
    "children",
    "bicycles",
    "ice or snow",
    "wild animals",
    "end of all limits",
    "turn right",
    "turn left",
    "ahead only",
    "straight or right",
    "straight or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no passing",
    "end of no passing over 3.5 t",
)


def here(path: pathlib.Path) -> bool:
    """Whether a folder holds the unpacked archive, or one of its two halves."""
    return _training(path) is not None or _testing(path) is not None


def load(path: pathlib.Path, bounds: Any = None, size: int | None = None) -> Splits:
    """The training images with their tracks as groups, and the test images where their labels are there.

    Args:
        path: The folder with `Final_Training/Images/00000/GT-00000.csv` and `Final_Test/Images/GT-final_test.csv`,
            or the folder above it. The labels of the test images may lie anywhere beside them or above.
        bounds: `(0, 255)` keeps 8-bit units.
        size: Height and width that the whole pictures (sign and border) are scaled to, 32 when not given.

    Raises:
        DataError: HF110 for tables that are damaged or that name files outside their folder.
    """
    made, training, testing = {}, _training(path), _testing(path)
    if training is not None:
        folders = [folder for folder in pictures.visible(training) if folder.is_dir()]
        rows = [row for folder in folders for row in _rows(folder, folder / f"GT-{folder.name}.csv")]
        groups = [label * 100_000 + _track(file) for file, label in rows]
        made["train"] = _part(rows, "train", bounds, size, groups)
    if testing is not None:
        folder, table = testing
        made["test"] = _part(_rows(folder, table), "test", bounds, size, None)
    return archives.assembled(made)


def _part(
    rows: list[tuple[pathlib.Path, int]], split: str, bounds: Any, size: int | None, groups: list[int] | None
) -> Dataset:
    x = as_images(pictures.stack([file for file, _ in rows], size or SIDE), bounds)
    return Dataset(
        x,
        [label for _, label in rows],
        bounds or (0, 1),
        classes=NAMES,
        groups=groups,
        name="gtsrb",
        split=split,
        license=LICENSE,
    )


def _training(path: pathlib.Path) -> pathlib.Path | None:
    for root in (path, path / "GTSRB"):
        for folder in (root / "Final_Training" / "Images", root / "Training"):
            if any(folder.glob("[0-9]*/GT-[0-9]*.csv")):
                return folder
    return None


def _testing(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path] | None:
    for root in (path, path / "GTSRB"):
        folder = root / "Final_Test" / "Images"
        for table in (folder / "GT-final_test.csv", root / "GT-final_test.csv", path / "GT-final_test.csv"):
            if folder.is_dir() and table.is_file():
                return folder, table
    return None


def _rows(folder: pathlib.Path, table: pathlib.Path) -> list[tuple[pathlib.Path, int]]:
    """The files and labels of one table; a name that is more than a name is refused."""
    try:
        with table.open(encoding="utf-8", newline="") as text:
            told = [(row["Filename"], int(row["ClassId"])) for row in csv.DictReader(text, delimiter=";")]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            "HF110",
            f"The table {table.name!r} cannot be read",
            seen=f"{type(error).__name__}: {error}"[:100],
            expected="columns Filename and ClassId, separated by semicolons",
        ) from error
    for name, label in told:
        if not name or name in (".", "..") or {"/", "\\", "\0"} & set(name):
            raise DataError(
                "HF110",
                f"The table {table.name!r} names a file outside its folder",
                seen=repr(name)[:100],
                expected="a plain file name",
            )
        if not 0 <= label < len(NAMES):
            raise DataError(
                "HF110",
                f"The table {table.name!r} has a class that GTSRB has not",
                seen=label,
                expected=f"0 to {len(NAMES) - 1}",
            )
    return [(folder / name, label) for name, label in told]


def _track(file: pathlib.Path) -> int:
    """The number of the physical sign: `00007_00029.ppm` is frame 29 of track 7."""
    head = file.name.partition("_")[0]
    if not head.isascii() or not head.isdigit() or len(head) > 5:
        raise DataError(
            "HF110", f"The file {file.name!r} does not say its track", expected="a name like 00007_00029.ppm"
        )
    return int(head)
