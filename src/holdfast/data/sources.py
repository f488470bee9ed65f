"""One door to data: `load("digits")`, `load("gtsrb")`, `load("photos/")`, `load("samples.npz")`."""

import dataclasses
import difflib
import os
import pathlib
from collections.abc import Callable
from typing import Any, overload

from holdfast.core.errors import DataError, some
from holdfast.data import archives, builtin, folders, road_signs, shelf
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.tables import files, loading
from holdfast.threats.profiles import named
from holdfast.threats.profiles.profile import Profile
from holdfast.threats.tables.schema import Schema

BUILTIN: dict[str, Callable[[], Splits]] = {
    "digits": builtin.digits,
    "breast_cancer": builtin.breast_cancer,
    "wine": builtin.wine,
    "road_signs": road_signs.splits,
}


Path = str | os.PathLike[str]


@overload
def load(
    source: Path,
    bounds: Any = None,
    split: None = None,
    *,
    size: int | None = None,
    schema: Schema | Path | None = None,
    label: str = "",
    repeats: bool = True,
    profile: str | Profile = "",
) -> Splits: ...
@overload
def load(
    source: Path,
    bounds: Any = None,
    *,
    split: str,
    size: int | None = None,
    schema: Schema | Path | None = None,
    label: str = "",
    repeats: bool = True,
    profile: str | Profile = "",
) -> Dataset: ...
def load(
    source: Path,
    bounds: Any = None,
    split: str | None = None,
    *,
    size: int | None = None,
    schema: Schema | Path | None = None,
    label: str = "",
    repeats: bool = True,
    profile: str | Profile = "",
) -> Splits | Dataset:
    """Data by name or path; names come first, so write `./digits` for a folder of that name.

    Images of 8 bits become float32 in [0, 1]; with `bounds=(0, 255)` they keep their units.

    Args:
        source: A built-in name, a set in the folder that `HOLDFAST_DATA` names, a folder, an `.npz` file, or a table
            (`.csv`, `.csv.gz`, `.tsv`, `.parquet`).
        bounds: Lowest and highest possible value, where the source does not say.
        split: Only this part, "train", "val" or "test".
        size: Height and width that images of a folder are scaled to, in pixels.
        schema: What the rows of a table may be, or the TOML file that says so; read off a file's rows unless given.
        label: The column of a table file that is to be told, where neither the schema nor its name says.
        repeats: Keep rows of a table's test part that its training part has too; the part's notes count them.
        profile: What an attacker of a table can do, by name (`holdfast list profiles`); else what the schema says.

    Raises:
        DataError: HF107 unknown, HF108 no such part, HF110 unreadable, HF111 refused pickle, HF112 no table to
            describe, HF144 to HF147 tables.
        ThreatError: HF310 no such profile, HF311 a profile of other tables.
    """
    found = _found(str(source), bounds, size, Table(schema, label, repeats))
    if profile:
        found = loading.profiled(found, named.profile(profile) if isinstance(profile, str) else profile)
    return found if split is None else found.part(split)


@dataclasses.dataclass(frozen=True)
class Table:
    """What is said of a table beside its rows: see `load`."""

    schema: Schema | Path | None
    label: str
    repeats: bool

    def refuse(self, source: str, described: bool = False) -> None:
        """Refuse what only files of tables take; a named table takes another schema as well.

        Raises:
            DataError: HF112.
        """
        if self.label or (self.schema is not None and not described):
            what = "label" if self.label else "schema"
            raise DataError(
                "HF112",
                f"A {what} is said of data that are no file of a table",
                seen=source,
                expected=f"a file that ends in {', '.join(files.SUFFIXES)}",
                fix=f"leave {what} away, or give the file of the table",
            )


def names() -> tuple[str, ...]:
    """Every name that `load` takes here: built in, and in the folder that `HOLDFAST_DATA` names."""
    return tuple(sorted({*BUILTIN, *shelf.names()}))


def _found(source: str, bounds: Any, size: int | None, told: "Table") -> Splits:
    path, name = pathlib.Path(source), shelf.named(source)
    if source in BUILTIN:
        told.refuse(source)
        return _rescaled(BUILTIN[source](), bounds)
    if name in shelf.names():
        told.refuse(source, shelf.described(name))
        return shelf.load(name, bounds, told.repeats, told.schema)
    if path.is_file() and files.here(path):
        return loading.load(path, told.schema, told.label, told.repeats)
    if path.exists():
        told.refuse(path.name)
    if path.is_dir():
        return folders.load(path, bounds, size)
    if path.is_file() and path.suffix == ".npz":
        return archives.load(path, bounds)
    if path.exists():
        raise DataError(
            "HF110",
            f"The file {path.name!r} is of no kind that is read",
            seen=path.suffix or "no suffix",
            expected="a folder, an .npz file, .csv or .parquet",
            fix="np.savez('data.npz', x=x, y=y)",
        )
    near = difflib.get_close_matches(source, names(), 1)
    raise DataError(
        "HF107",
        f"There are no data called {source!r}",
        expected=f"one of {some(names())}, or a path",
        fix=f"did you mean {near[0]}?" if near else "set HOLDFAST_DATA to your folder of data sets",
    )


def _rescaled(found: Splits, bounds: Any) -> Splits:
    """A built-in set knows its bounds; other ones are an error, not a wish."""
    own = found.test.bounds
    if bounds is not None and tuple(bounds) != tuple(own):
        raise DataError(
            "HF103", "A built-in set has bounds of its own", seen=bounds, expected=own, fix="leave bounds away"
        )
    return found
