"""Labeled tables: raw rows and a schema become parts, and what repeats itself between them is counted."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.core.errors import DataError, ThreatError, some
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.tables import files
from holdfast.data.tables.guessing import PARTS, POINTS, infer, is_split
from holdfast.threats.profiles.named import PROFILES
from holdfast.threats.profiles.profile import Profile
from holdfast.threats.tables.raw import Column, columns, in_order, numbers_of
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular

FEW = 3
"""Columns that a note names."""

Described = Schema | str | os.PathLike[str] | None


def table(rows: Any, schema: Described = None, *, label: str = "", name: str = "table", repeats: bool = True) -> Splits:
    """Parts of a labeled table; a column `split` says which row is train, val or test, else all rows are the test part.

    Args:
        rows: A data frame (pandas, polars, Arrow), a list of records, or columns by name.
        schema: What the rows may be, or the TOML file that says so; read off the rows unless given.
        label: The column to be told, where neither the schema nor the name of a column says.
        name: Of the table.
        repeats: Keep rows of the test part that the training part has too; they are counted in the part's notes.

    Raises:
        DataError: HF145 for rows that do not fit the schema, HF147 for a label that is missing or unknown.
    """
    raw, notes = columns(rows), tuple[str, ...]()
    if schema is None:
        found = infer(raw, label, name)
        schema, notes = found.schema, _absent(found.left)
    elif not isinstance(schema, Schema):
        schema = Schema.read(schema)
    if label and label != schema.label:
        schema = dataclasses.replace(schema, label=label, classes=())
    notes = (*notes, *_pointed(raw, schema))
    y, classes = labels(raw, schema)
    schema = dataclasses.replace(schema, classes=classes)
    made = parted(Tabular(schema).encode(raw), y, schema, raw, name, repeats)

    def told(part: Dataset) -> Dataset:
        return dataclasses.replace(part, notes=(*part.notes, *notes))

    return Splits(told(made.train), told(made.test), None if made.val is None else told(made.val))


def load(path: pathlib.Path, schema: Described = None, label: str = "", repeats: bool = True) -> Splits:
    """The parts of a CSV or Parquet file, as `table` makes them."""
    return table(files.read(path), schema, label=label, name=path.name.partition(".")[0], repeats=repeats)


def labels(raw: Mapping[str, Column], schema: Schema) -> tuple[list[int], tuple[str, ...]]:
    """The class of each row and the names of the classes, in order where the schema does not tell them.

    Raises:
        DataError: HF147 where there is no such column, a gap in it, or a class that the schema does not have.
    """
    if schema.label not in raw:
        raise DataError(
            "HF147",
            "Nobody says which column is to be told" if not schema.label else f"There is no column {schema.label!r}",
            seen=some(raw),
            expected="the name of the label",
            fix='label="NAME" here, label = "NAME" in the schema, --label NAME on the command line',
        )
    words = raw[schema.label].words
    classes = schema.classes or in_order(word for word in words if word is not None)
    place: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    numbers = {float(name): i for name, i in place.items() if name is not None and numbers_of([name]) is not None}
    for word in set(words) - set(place) - {None}:  # 1.0 is the class 1
        if numbers_of([word]) is not None and float(str(word)) in numbers:
            place[word] = numbers[float(str(word))]
    strange = next((i for i, word in enumerate(words) if word not in place), None)
    if strange is not None:
        raise DataError(
            "HF147",
            f"Row {strange} has no known class",
            seen=repr(words[strange]),
            expected=f"one of {some(classes)}",
            fix="drop the row, or add the class to the schema",
        )
    return [place[word] for word in words], classes


def parted(
    x: Tensor, y: list[int], schema: Schema, raw: Mapping[str, Column], name: str, repeats: bool, license: str = ""
) -> Splits:
    """The parts that the column `split` makes of codes `(n, features)`."""
    split = next((column.words for head, column in raw.items() if is_split(head, column)), ("test",) * len(x))
    whole = Dataset(x, y, schema=schema, classes=schema.classes, name=name, license=license)
    made = {part: whole.take([i for i, word in enumerate(split) if word == part]) for part in PARTS}
    made = {part: _noted(dataclasses.replace(data, split=part), made["train"], repeats) for part, data in made.items()}
    return Splits(made["train"], made["test"], made["val"] if len(made["val"]) else None)


def repeated(x: Tensor, others: Tensor) -> Tensor:
    """Which rows `(n, features)` are among the others as well: `(n,)`."""
    seen = {row.tobytes() for row in _plain(others)}
    return torch.tensor([row.tobytes() in seen for row in _plain(x)], dtype=torch.bool)


def _noted(part: Dataset, train: Dataset, repeats: bool) -> Dataset:
    """The part with what one should know of it."""
    notes, n = list[str](), len(part)
    if part.split != "train" and len(train) and n:
        twice = repeated(part.x, train.x)
        if bool(twice.any()):
            done = "" if repeats else " and were taken out"
            notes.append(f"{int(twice.sum())} of {n} rows ({float(twice.double().mean()):.1%}) are in train too{done}")
            part = part if repeats else part.take(~twice)
    return dataclasses.replace(part, notes=(*notes, *_broken(part)))


def _absent(left: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """A note on columns that are no features, where there are some."""
    more = f" and {len(left) - FEW} more" if len(left) > FEW else ""
    return ("left out: " + "; ".join(f"{name}: {why}" for name, why in left[:FEW]) + more,) if left else ()


def _pointed(raw: Mapping[str, Column], schema: Schema) -> tuple[str, ...]:
    """A note on columns whose decimal commas were read as points, where there are some."""
    named = [f.name for f in schema.features if not f.levels and f.name in raw and raw[f.name].commas]
    more = f" and {len(named) - FEW} more" if len(named) > FEW else ""
    return (f"{POINTS}: {', '.join(named[:FEW])}{more}",) if named else ()


def profiled(found: Splits, assumed: Profile) -> Splits:
    """The same parts under a schema that says what an attacker of this profile can do; `under` does it to one part.

    Raises:
        ThreatError: HF311 where they are no table, or one whose columns the profile does not know.
    """
    val = None if found.val is None else under(found.val, assumed)
    return Splits(under(found.train, assumed), under(found.test, assumed), val)


def under(part: Dataset, assumed: Profile) -> Dataset:
    """One part under a profile.

    Raises:
        ThreatError: HF311.
    """
    if part.schema is None:
        raise ThreatError(
            "HF311",
            f"The profile {assumed.name!r} is about tables, and {part.name or 'these data'} are none",
            expected=" or ".join(table.name for table in assumed.tables),
            fix="leave the profile away; pictures take a threat such as linf:8/255",
        )
    split = ", ".join(filter(None, [part.split, f"profile {assumed.name}"]))
    others = [name for name, one in PROFILES.items() if one.knows(part.schema)]
    if not assumed.knows(part.schema) and others:
        raise ThreatError(
            "HF311",
            f"The profile {assumed.name!r} does not know the columns of this table",
            seen=part.schema.name,
            expected=f"the profile {' or '.join(others)}, which does",
            fix=f"--profile {others[0]}",
        )
    made = dataclasses.replace(part, schema=assumed.of(part.schema), split=split)
    notes = [note for note in part.notes if note not in _broken(part)]
    return dataclasses.replace(made, notes=(*notes, *_broken(made)))


def _broken(part: Dataset) -> tuple[str, ...]:
    """How many rows break their own schema, where some do."""
    if part.schema is None or not len(part):
        return ()
    judged = part.schema.validate(part.x)
    bad = (~judged.valid).nonzero()[:, 0].tolist()
    return (f"{len(bad)} of {len(part)} rows break the schema, first {judged.reasons[bad[0]][0]}",) if bad else ()


def _plain(x: Tensor) -> Any:
    """Rows whose bytes are equal where their values are: one zero, one NaN."""
    return (torch.where(x.isnan(), torch.nan, x) + 0.0).contiguous().numpy()
