"""Tables of the folder that HOLDFAST_DATA names: `.csv.gz` with a `schema.json` that says what the columns mean."""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError
from holdfast.data.dataset import Splits
from holdfast.data.tables import files
from holdfast.data.tables.guessing import step_of
from holdfast.data.tables.loading import labels, parted
from holdfast.threats.tables.coding import encoded
from holdfast.threats.tables.feature import Direction, Feature
from holdfast.threats.tables.grammar import Determines, parse
from holdfast.threats.tables.raw import Column, plain
from holdfast.threats.tables.schema import Schema

SHORT = {"clamp": "clamp_pe", "heart": "heart_disease_sites", "phishing": "phishing_websites", "pima": "pima_diabetes"}
"""Short names of sets."""

WAYS: dict[str, Direction] = {"any": "both", "increase": "up", "decrease": "down"}
ONE_TO_ONE = " (one-to-one)"


def load(
    file: pathlib.Path,
    about: pathlib.Path,
    name: str,
    repeats: bool = True,
    license: str = "",
    given: Schema | str | os.PathLike[str] | None = None,
) -> Splits:
    """The parts of a table, with kinds, levels, ranges, what may move and relations as its `schema.json` tells.

    Ranges cover all rows, those of the test part as well: they say where an attacker may go, and no model learns from
    them. Scales are standard deviations of the training part. A schema that is given, or its file, counts instead.

    Raises:
        DataError: HF144 for a `schema.json` that cannot be read, HF145 and HF146 for a table that does not fit it.
    """
    raw = files.read(file)
    schema = described(about, raw, name)
    if given is not None:
        told = given if isinstance(given, Schema) else Schema.read(given)
        schema = dataclasses.replace(told, label=told.label or schema.label, classes=told.classes or schema.classes)
    y, _ = labels(raw, schema)
    made = parted(encoded(schema, raw), y, schema, raw, name, repeats, license)
    parts = (dataclasses.replace(part, shared=True) for part in (made.train, made.test, made.val) if part is not None)
    return Splits(*parts)


def described(about: pathlib.Path, raw: dict[str, Column], name: str) -> Schema:
    """The schema of a table of the folder."""
    try:
        told = json.loads(about.read_text(encoding="utf-8"))
        relations = [text for relation in told.get("relations", []) for text in _relations(relation["expr"])]
        order = {node.left[0]: node.right for node in map(parse, relations) if isinstance(node, Determines)}
        train = np.array([part == "train" for part in raw[told["split_column"]].words])
        features = [_feature(column, facts, raw, order, train) for column, facts in told["features"].items()]
        classes, label = tuple(map(str, told["target_levels"])), str(told["target"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "HF144", f"A schema that cannot be read: {name}/schema.json", seen=f"{type(error).__name__}: {error}"[:160]
        ) from error
    made = Schema(tuple(features), tuple(relations), name=name, label=label, classes=classes)
    return made.learned(encoded(made, raw)) if order else made


def _relations(text: str) -> tuple[str, ...]:
    """A relation; one to one is two of them."""
    node = parse(text.removesuffix(ONE_TO_ONE))
    if text.endswith(ONE_TO_ONE) and isinstance(node, Determines):
        return str(node), str(Determines((node.right,), node.left[0]))
    return (str(node),)


def _feature(
    name: str, told: dict[str, Any], raw: dict[str, Column], order: dict[str, str], train: NDArray[np.bool_]
) -> Feature:
    if name not in raw:
        raise DataError("HF145", f"The rows have no column {name!r}", expected="every feature of schema.json")
    column, kind = raw[name], told["type"]
    missing = None in column.words
    direction = WAYS[told.get("direction", "any")]
    common: dict[str, Any] = {"immutable": not told["mutable"], "missing": missing}
    if kind in ("categorical", "ordinal"):
        levels = tuple(plain(level) if isinstance(level, int | float) else str(level) for level in told["levels"])
        if kind == "categorical" and direction != "both" and name in order:
            levels, kind = _ordered(levels, column, raw[order[name]]), "ordinal"
        way = direction if kind == "ordinal" else "both"
        return Feature(name, kind, levels=levels, direction=way, **common)
    if kind == "binary":
        return Feature(name, "binary", direction=direction, **common)
    numbers = column.numbers
    if numbers is None:
        raise DataError("HF145", f"The column {name!r} does not hold numbers only", expected=kind)
    seen = numbers[train & ~np.isnan(numbers)]
    spread = float(seen.std()) if len(seen) else 0.0
    step = None if kind == "integer" else step_of(np.unique(numbers[~np.isnan(numbers)])) or None
    scale = spread or None
    low, high = float(told["min"]), float(told["max"])
    return Feature(name, kind, low=low, high=high, step=step, scale=scale, direction=direction, **common)


def _ordered(levels: tuple[str, ...], column: Column, by: Column) -> tuple[str, ...]:
    """Levels from the lowest up, by the number that each goes with: education by its years."""
    rank = dict(zip(column.words, [] if by.numbers is None else by.numbers.tolist(), strict=False))
    return tuple(sorted(levels, key=lambda level: (rank.get(level, math.inf), level)))
