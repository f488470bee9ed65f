"""Codes of raw columns, and raw columns of codes."""

import difflib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError, some
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.raw import Column, columns, infinite, numbers_of

if TYPE_CHECKING:
    from holdfast.threats.tables.schema import Schema


def encoded(schema: "Schema", rows: Any) -> Tensor:
    """Codes `(batch, features)` of raw rows, whose columns are found by name; other columns are left aside.

    Raises:
        DataError: HF145 for a missing column, a word that is no level, or a word where a number belongs.
    """
    raw: Mapping[str, Column] = columns(rows)
    absent = [name for name in schema.by_name if name not in raw]
    if absent:
        raise DataError(
            "HF145",
            f"The rows have no column {absent[0]!r}",
            seen=some(raw),
            expected=f"the {len(schema.features)} features of {schema.name!r}",
        )
    return torch.stack([codes(feature, raw[feature.name]) for feature in schema.features], 1)


def codes(feature: Feature, column: Column) -> Tensor:
    """Codes `(batch,)` of one raw column."""
    numbers = column.numbers
    if not feature.levels:
        if numbers is None:
            numbers = numbers_of(column.words)
        if numbers is None:
            strange = [word for word in column.words if word is not None and numbers_of([word]) is None]
            if strange:
                raise _stranger(feature, column, strange[0], "a finite number")
            numbers = np.full(len(column), math.nan)
        row = infinite(Column(numbers))
        if row is not None:
            raise _stranger(feature, column, column.words[row] or "", "a finite number")
        return feature.read(torch.from_numpy(numbers.astype(np.float64)))
    place = {level: float(i) for i, level in enumerate(feature.levels)}
    named = {float(level): code for level, code in place.items() if numbers_of([level]) is not None}
    known: dict[str | None, float] = {None: math.nan}
    for word in set(column.words) - {None}:
        code = place.get(str(word))
        if code is None and numbers_of([word]) is not None:
            code = named.get(float(str(word)))
        if code is None:
            raise _stranger(feature, column, str(word), "a level of it")
        known[word] = code
    return torch.tensor([known[word] for word in column.words], dtype=torch.float64)


def decoded(schema: "Schema", x: Tensor) -> dict[str, np.ndarray]:
    """Raw columns of codes `(batch, features)`: words as objects with NaN for gaps, numbers as int64 or float64.

    Which of the two a column has hangs on its description, so that no row looks otherwise beside others. Codes between
    levels are the nearest one.

    Raises:
        DataError: HF150 for the code of a level that there is not.
    """
    return {feature.name: _raw(feature, x[:, j].numpy()) for j, feature in enumerate(schema.features)}


def _raw(feature: Feature, x: np.ndarray) -> np.ndarray:
    gaps = np.isnan(x)
    words = feature.levels and not feature.worth
    if feature.levels:
        x = np.rint(x)
        strange = x[(x < 0) | (x >= len(feature.levels))]
        if len(strange):
            raise DataError(
                "HF150",
                f"A code of the column {feature.name!r} stands for no row of the table",
                seen=f"{strange[0]:.10g}",
                expected=f"the place of a level, 0 to {len(feature.levels) - 1}",
                fix="schema.repair(x, x0) makes possible rows",
            )
        named = np.array([*(feature.levels if words else feature.worth), math.nan], dtype=object if words else None)
        x = named[np.where(gaps, len(feature.levels), x).astype(np.int64)]
    whole = not words and feature.kind != "real" and not feature.missing and all(map(float.is_integer, feature.worth))
    return x.astype(np.int64) if whole and bool((np.isfinite(x) & (x == np.floor(x))).all()) else x


def _stranger(feature: Feature, column: Column, word: str, expected: str) -> DataError:
    near = difflib.get_close_matches(word, feature.levels, 1)
    fix = "add it to the schema if it is possible" if feature.levels else "leave the row out, or the cell empty"
    row = next((i for i, cell in enumerate(column.words) if cell == word), 0)
    return DataError(
        "HF145",
        f"Row {row} has {word!r:.60} in the column {feature.name!r}",
        expected=expected + (": " + some(feature.levels) if feature.levels else ""),
        fix=f"did you mean {near[0]}?" if near else fix,
    )
