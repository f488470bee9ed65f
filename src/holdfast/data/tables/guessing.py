"""What the columns of a table seem to be: a schema to be reviewed, and why each column is described so."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError, some
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.raw import COMMA, NUMBER, Column, columns, in_order, infinite, numbers_of
from holdfast.threats.tables.schema import Schema

LABELS = ("label", "target", "class", "y", "outcome")
"""Names of a column that is most likely the one to tell, in any case of letters."""

SPLIT = "split"
"""The column that says to which part a row belongs."""

PARTS = ("train", "val", "test")
FEW = 12
"""Whole numbers with at most so many values may be codes of something."""

DECIMALS = 4
LEVELS = 2_000
"""A column with more different words is no category."""

COMMAS = "numbers with a decimal comma? write points"
POINTS = "decimal commas read as points"


@dataclasses.dataclass(frozen=True)
class Guess:
    """One column and what was seen in it.

    Args:
        feature: Its description.
        missing: Cells without a value.
        distinct: Different values.
        why: What the description rests on, in a few words.
    """

    feature: Feature
    missing: int
    distinct: int
    why: str


@dataclasses.dataclass(frozen=True)
class Inferred:
    """A schema that was read off rows.

    Args:
        schema: To be reviewed: nobody but you knows what an attacker can change, how far and at what cost.
        guesses: What each column rests on.
        left: Columns that are no features, with the reason.
    """

    schema: Schema
    guesses: tuple[Guess, ...]
    left: tuple[tuple[str, str], ...] = ()


def infer(rows: Any, label: str = "", name: str = "table") -> Inferred:
    """Describe the columns of raw rows: kinds, ranges, steps, levels, one-hot groups, gaps, standard deviations.

    Ranges are those of the rows; nothing is immutable but what is constant.

    Args:
        rows: A data frame (pandas, polars, Arrow), a list of records, or columns by name.
        label: The column to be told; the one called label, target, class, y or outcome unless given.
        name: Of the table.

    Raises:
        DataError: HF145 for rows that cannot be read, HF147 for a label that is not there.
    """
    raw = columns(rows)
    label = label_of(raw, label)
    guesses, left = list[Guess](), list[tuple[str, str]]()
    for column_name, column in raw.items():
        if column_name == label or is_split(column_name, column):
            continue
        found = guess(column_name, column)
        if isinstance(found, Guess):
            guesses.append(found)
        else:
            left.append((column_name, found))
    if not guesses:
        raise DataError("HF145", "The rows have no column that could be a feature", seen=some(raw) or "nothing")
    guesses = grouped(guesses, raw)
    classes = in_order(word for word in raw[label].words if word is not None) if label else ()
    schema = Schema(tuple(g.feature for g in guesses), name=name, label=label, classes=classes)
    return Inferred(schema, tuple(guesses), tuple(left))


def label_of(raw: Mapping[str, Column], label: str) -> str:
    """The column to be told; nothing where none has the name of one.

    Raises:
        DataError: HF147 where the one that was named is not there.
    """
    if label and label not in raw:
        raise DataError("HF147", f"There is no column {label!r}", expected=f"one of {some(raw)}")
    found = [name for name in raw if name.lower() in LABELS]
    return label or (found[0] if len(found) == 1 else "")


def is_split(name: str, column: Column) -> bool:
    """Whether a column says to which part a row belongs."""
    return name.lower() == SPLIT and column.texts is not None and set(column.texts) <= set(PARTS)


def guess(name: str, column: Column) -> Guess | str:
    """What a column seems to be, or why it can be no feature."""
    row = infinite(column)
    if row is not None:
        return f"it has infinite values, the first in row {row}"
    numbers = column.numbers if column.numbers is not None else numbers_of(column.words)
    padded = numbers is not None and column.texts is not None and any(_padded(word) for word in column.texts)
    if numbers is not None and not padded and not _merged(column, numbers):
        found = _number(name, numbers)
        if column.commas and isinstance(found, Guess):
            return dataclasses.replace(found, why=f"{found.why}, {POINTS}")
        return found
    words = sorted({word for word in column.words if word is not None})
    missing = sum(word is None for word in column.words)
    if not words:
        return "it is empty"
    if len(words) > LEVELS or (len(words) == len(column) - missing and len(words) > 50):
        more = f": {COMMAS}" if _commas(words) else ""
        return f"{len(words)} different words in {len(column)} rows are no levels{more}"
    two = len(words) == 2
    feature = Feature(
        name,
        "binary" if two else "categorical",
        levels=tuple(words),
        missing=missing > 0,
        immutable=len(words) == 1,
    )
    why = "constant" if len(words) == 1 else "two words" if two else "padded numbers" if padded else "words"
    return Guess(feature, missing, len(words), COMMAS if _commas(words) else why)


def _number(name: str, x: NDArray[np.float64]) -> Guess | str:
    seen = np.unique(x[~np.isnan(x)])
    missing = int(np.isnan(x).sum())
    if not len(seen):
        return "it is empty"
    if math.isinf(float(seen[-1]) - float(seen[0])):
        return "its range is wider than float64 can tell"
    few: dict[str, Any] = {"missing": missing > 0, "immutable": len(seen) == 1}
    with np.errstate(over="ignore"):
        spread = float(np.nanstd(x)) or None
    spread = spread if spread is not None and math.isfinite(spread) else None
    if set(seen.tolist()) <= {0.0, 1.0}:
        feature = Feature(name, "binary", **few)
        return Guess(feature, missing, len(seen), "constant" if len(seen) == 1 else "0 and 1")
    low, high = float(seen[0]), float(seen[-1])
    if bool((seen == np.floor(seen)).all()) and max(-low, high) < 2.0**53:
        feature = Feature(name, "integer", low=low, high=high, scale=spread, **few)
        why = f"whole, {len(seen)} values" if len(seen) <= FEW else "whole numbers"
        return Guess(feature, missing, len(seen), "constant" if len(seen) == 1 else why)
    step = step_of(seen)
    feature = Feature(name, "real", low=low, high=high, step=step or None, scale=spread, **few)
    why = f"steps of {step:g}" if step else "real numbers"
    return Guess(feature, missing, len(seen), "constant" if len(seen) == 1 else why)


def step_of(seen: NDArray[np.float64]) -> float:
    """The coarsest of 0.1, 0.01, ... 0.0001 that all values are multiples of; 0 where they are of none."""
    for decimals in range(1, DECIMALS + 1):
        parts = 10**decimals
        with np.errstate(over="ignore"):
            even = bool((np.round(seen * parts) / parts == seen).all())
        if len(seen) > 2 and even:
            return float(1 / parts)
    return 0.0


def grouped(guesses: list[Guess], raw: Mapping[str, Column]) -> list[Guess]:
    """Three and more columns of 0 and 1 whose names begin alike, `color_red`, and of which one is 1 in each row."""
    families: dict[str, list[int]] = {}
    for i, found in enumerate(guesses):
        head, sign, _ = found.feature.name.replace("=", "_").rpartition("_")
        if sign and found.feature.kind == "binary" and not found.feature.levels and not found.missing:
            families.setdefault(head, []).append(i)
    made = list(guesses)
    for head, members in families.items():
        cells = [_cells(raw[guesses[i].feature.name]) for i in members]
        if len(members) >= 3 and bool((np.sum(cells, axis=0) == 1).all()):
            for i in members:
                feature = Feature(guesses[i].feature.name, "one-hot", group=head)
                made[i] = dataclasses.replace(guesses[i], feature=feature, why="one 1 a row")
    return made


def _cells(column: Column) -> NDArray[np.float64]:
    numbers = column.numbers if column.numbers is not None else numbers_of(column.words)
    return np.full(len(column), math.nan) if numbers is None else numbers


def _merged(column: Column, x: NDArray[np.float64]) -> bool:
    """Whether different cells are one float: numbers of 17 digits and more are names of something."""
    if column.texts is None or not bool((np.abs(x) >= 2.0**53).any()):
        return False
    return len(set(column.texts) - {None}) > len(np.unique(x[~np.isnan(x)]))


def _commas(words: Sequence[str]) -> bool:
    """Whether words are numbers once their commas are points."""
    some = [word for word in words if not NUMBER.fullmatch(word)]
    return bool(some) and all(map(COMMA.fullmatch, some))


def _padded(word: str | None) -> bool:
    """Whether a number begins with zeros that mean something: `007` is no 7."""
    digits = (word or "").lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
