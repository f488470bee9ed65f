"""Named sets in the folder of `HOLDFAST_DATA`: a folder for each, with an `.npz`, or a table and its schema."""

import os
import pathlib
from typing import Any

import numpy as np

from holdfast.core.errors import DataError, some
from holdfast.data import archives, gtsrb
from holdfast.data.dataset import Splits

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


def named(name: str) -> str:
    """The name of a set as the folder has it: `nsl-kdd` is `nsl_kdd`, `phishing` is `phishing_websites`."""
    from holdfast.data.tables.known import SHORT

    found = name.lower().replace("-", "_")
    return next((known for known in (name, found, SHORT.get(found, "")) if known in names()), name)


def load(name: str, bounds: Any = None, repeats: bool = True, schema: Any = None) -> Splits:
    """One set of the folder by its name, which must be one of `names()`; of a table under another schema than its own.

    Raises:
        DataError: HF110 texts and sound, HF144 to HF147 tables that cannot be read.
    """
    root = folder()
    if root is None or name not in names():
        raise DataError("HF107", f"There are no data called {name!r} in the folder HOLDFAST_DATA")
    file = _files(root / name)[0]
    if file.suffix == ".npz":
        return _arrays(file, name, bounds)
    if (root / name / "schema.json").is_file():
        from holdfast.data.tables import known

        return known.load(file, root / name / "schema.json", name, repeats, LICENSES.get(name, ""), schema)
    raise DataError(
        "HF110",
        f"The set {name!r} holds texts",
        expected="images, series or numbers",
        fix="texts come with a later version",
    )


def described(name: str) -> bool:
    """Whether a set is a table that comes with a schema."""
    root = folder()
    return root is not None and (root / name / "schema.json").is_file()


def table(name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """The rows of a set and what is said of them.

    Raises:
        DataError: HF107 where the set is no table.
    """
    root = folder() or pathlib.Path()
    about, rows = root / name / "schema.json", sorted((root / name).glob("*.csv.gz"))
    if not rows or not about.is_file():
        raise DataError("HF107", f"The set {name!r} is no table", expected="a .csv.gz and a schema.json in its folder")
    return rows[0], about


def _files(entry: pathlib.Path) -> list[pathlib.Path]:
    return sorted(file for file in entry.glob("[!.]*") if file.name.endswith((".npz", ".csv.gz")))


def _arrays(file: pathlib.Path, name: str, bounds: Any) -> Splits:
    arrays = archives.read(file)
    if "x_train" not in arrays:
        raise DataError(
            "HF110",
            f"The set {name!r} holds no images or rows",
            seen=some(arrays),
            expected="x_train and y_train",
            fix="sound comes with a later version",
        )
    if name in GROUPS and GROUPS[name] in arrays:
        arrays["groups_train"] = arrays[GROUPS[name]]
    if arrays["x_train"].dtype == np.uint8 or bounds is not None:
        return archives.parts(arrays, name, bounds, LICENSES.get(name, ""))
    return archives.series(arrays, name, "")
