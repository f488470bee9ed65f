"""Named sets in the folder of `HOLDFAST_DATA`: a folder for each, with an `.npz`, or a table and its schema."""

import csv
import dataclasses
import gzip
import json
import os
import pathlib
from typing import Any

import numpy as np
import torch

from holdfast.core.errors import DataError
from holdfast.data import archives, builtin, gtsrb
from holdfast.data.dataset import Dataset, Splits

GROUPS = {"gtsrb": "track_train"}
"""Arrays that say which training samples belong together."""

LICENSES = {"fashion_mnist": "MIT", "gtsrb": gtsrb.LICENSE, "pneumoniamnist": "CC BY 4.0"}
"""What is known of the terms; nothing is said of the other sets."""


def folder() -> pathlib.Path | None:
    """The folder that `HOLDFAST_DATA` names, if it is there."""
    path = os.environ.get("HOLDFAST_DATA")
    return pathlib.Path(path) if path and pathlib.Path(path).is_dir() else None


def names() -> tuple[str, ...]:
    """The sets of that folder, also those that only later versions can read (texts, sound)."""
    root = folder()
    entries = () if root is None else root.iterdir()
    return tuple(sorted(entry.name for entry in entries if entry.is_dir() and _files(entry)))


def load(name: str, bounds: Any = None) -> Splits:
    """One set of the folder by its name, which must be one of `names()`.

    Raises:
        DataError: HF110 texts and sound, HF112 tables with categories or gaps.
    """
    root = folder()
    if root is None or name not in names():
        raise DataError("HF107", f"There are no data called {name!r} in the folder HOLDFAST_DATA")
    file = _files(root / name)[0]
    if file.suffix == ".npz":
        return _arrays(file, name, bounds)
    if (root / name / "schema.json").is_file():
        return table(file, root / name / "schema.json", name)
    raise DataError(
        "HF110",
        f"The set {name!r} holds texts",
        expected="images, series or numbers",
        fix="texts come with a later version",
    )


def _files(entry: pathlib.Path) -> list[pathlib.Path]:
    return sorted(file for file in entry.glob("[!.]*") if file.name.endswith((".npz", ".csv.gz")))


def _arrays(file: pathlib.Path, name: str, bounds: Any) -> Splits:
    arrays = archives.read(file)
    if "x_train" not in arrays:
        raise DataError(
            "HF110",
            f"The set {name!r} holds no images or rows",
            seen=", ".join(arrays),
            expected="x_train and y_train",
            fix="sound comes with a later version",
        )
    if name in GROUPS and GROUPS[name] in arrays:
        arrays["groups_train"] = arrays[GROUPS[name]]
    if arrays["x_train"].dtype == np.uint8 or bounds is not None:
        return archives.parts(arrays, name, bounds, LICENSES.get(name, ""))
    return archives.series(arrays, name, "")


def table(file: pathlib.Path, schema: pathlib.Path, name: str) -> Splits:
    """A table of numbers as float64 rows, with bounds for each feature as `builtin.measured` sets them.

    The schema's own minimum and maximum are not used: they were read off all rows, the test part's too.

    Raises:
        DataError: HF112 where columns are categories or cells are empty.
    """
    about = json.loads(schema.read_text(encoding="utf-8"))
    later = "such tables come with a later version"
    words = [column for column, told in about["features"].items() if told["type"] == "categorical"]
    if words:
        raise DataError(
            "HF112", f"The table {name!r} has categories", seen=", ".join(words[:6]), expected="numbers", fix=later
        )
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    columns, levels = tuple(about["features"]), tuple(map(str, about["target_levels"]))
    gaps = sorted({column for row in rows for column in columns if row[column] == ""})
    if gaps:
        raise DataError(
            "HF112", f"The table {name!r} has missing values", seen=", ".join(gaps[:6]), expected="numbers", fix=later
        )
    x = torch.tensor([[float(row[column]) for column in columns] for row in rows], dtype=torch.float64)
    y = torch.tensor([levels.index(row[about["target"]]) for row in rows])
    whole = Dataset(x, y, builtin.wide(x.numpy()), classes=levels, features=columns, name=name)
    made: dict[str, Dataset] = {}
    for split in ("train", "val", "test"):
        chosen = [i for i, row in enumerate(rows) if row[about["split_column"]] == split]
        if chosen:
            made[split] = dataclasses.replace(whole.take(chosen), split=split)
    return builtin.measured(archives.assembled(made))
