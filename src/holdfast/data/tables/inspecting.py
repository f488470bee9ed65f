"""A table looked at: what each column is, how the classes are spread, which rows repeat themselves."""

import dataclasses
import pathlib

import torch

from holdfast.core.errors import DataError, some
from holdfast.data import shelf
from holdfast.data.dataset import Splits
from holdfast.data.tables import files, known, loading
from holdfast.data.tables.guessing import Guess, infer
from holdfast.threats.tables.coding import codes
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.raw import Column
from holdfast.threats.tables.schema import Schema


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What was seen.

    Args:
        schema: Of the rows: read off them, or given.
        guesses: One for each feature.
        classes: Names of the classes and how many rows have each.
        parts: Name, number of rows and notes of each part.
        left: Columns that are no features, with the reason.
    """

    schema: Schema
    guesses: tuple[Guess, ...]
    classes: tuple[tuple[str, int], ...]
    parts: tuple[tuple[str, int, tuple[str, ...]], ...]
    left: tuple[tuple[str, str], ...] = ()


def inspect(source: str, label: str = "", schema: str | None = None) -> Inspection:
    """Look at a table.

    Args:
        source: A file, or a set of the folder that `HOLDFAST_DATA` names.
        label: The column to be told.
        schema: A TOML file to hold the rows against; else the schema is that of the set, or is read off the rows.

    Raises:
        DataError: HF107 where there is no such table, HF144 to HF147 where it cannot be read or does not fit.
    """
    path, name = pathlib.Path(source), shelf.named(source)
    left: tuple[tuple[str, str], ...] = ()
    guesses: tuple[Guess, ...] = ()
    if name in shelf.names():
        file, about = shelf.table(name)
        raw = files.read(file)
        found = known.described(about, raw, name) if schema is None else Schema.read(schema)
    elif path.is_file() and files.here(path):
        raw = files.read(path)
        if schema is None:
            inferred = infer(raw, label, path.name.partition(".")[0])
            found, guesses, left = inferred.schema, inferred.guesses, inferred.left
        else:
            found = Schema.read(schema)
    else:
        raise DataError(
            "HF107",
            f"There is no table called {source!r}",
            expected="a .csv, .csv.gz, .tsv or .parquet file, or a set of HOLDFAST_DATA",
            fix="set HOLDFAST_DATA to your folder of data sets",
        )
    made = guesses or tuple(_given(feature, raw) for feature in found.features)
    if not (found.label or label):
        return Inspection(found, made, (), (("all", len(next(iter(raw.values()))), ()),), left)
    splits = loading.table(raw, found, label=label, name=found.name)
    return Inspection(found, made, _classes(splits), _parts(splits), left)


def _given(feature: Feature, raw: dict[str, Column]) -> Guess:
    """A feature that was described beforehand, and what the rows show of it."""
    if feature.name not in raw:
        raise DataError("HF145", f"The rows have no column {feature.name!r}", seen=some(raw))
    x = codes(feature, raw[feature.name])
    moves = "fixed" if feature.immutable else {"both": "free", "up": "up", "down": "down"}[feature.direction]
    seen = x[~x.isnan()]
    return Guess(feature, int(x.isnan().sum()), len(torch.unique(seen)), f"given, {moves}")


def _classes(splits: Splits) -> tuple[tuple[str, int], ...]:
    whole = [part for part in (splits.train, splits.val, splits.test) if part is not None]
    y = torch.cat([part.y for part in whole])
    return tuple((name, int((y == i).sum())) for i, name in enumerate(whole[0].classes))


def _parts(splits: Splits) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    named = (("train", splits.train), ("val", splits.val), ("test", splits.test))
    return tuple((name, len(part), part.notes) for name, part in named if part is not None and len(part))
