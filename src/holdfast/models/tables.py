"""Models of raw rows: pipelines and functions are asked about the rows that codes stand for, never about codes."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from holdfast.core.errors import ModelError, some
from holdfast.threats.tables.raw import NUMBER, plain
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular

Feed = Callable[[np.ndarray], Any]
"""Codes `(batch, features)` -> what a model takes."""

NUMBERED = re.compile(r"(f|Column_)?\d+")
"""What boosting libraries call columns without names."""


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """Codes as a pandas data frame of raw rows.

    Args:
        space: Whose rows the codes are.
        names: The columns that are shown, in this order; all of the schema's unless given.
        numbers: Columns whose words stand for numbers in the model, and these; a word without one is missing.
    """

    space: Tabular
    names: tuple[str, ...] = ()
    numbers: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def __call__(self, x: np.ndarray) -> Any:
        """A data frame."""
        frame = self.space.frame(x)
        for name, found in self.numbers.items():
            if self.space.schema.by_name[name].levels:
                frame[name] = np.array([found.get(word, np.nan) for word in frame[name]], np.float64)
        return frame[list(self.names)] if self.names else frame


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Codes as an array of raw rows: float64 where all are numbers, else objects."""

    space: Tabular

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """`(batch, features)`."""
        columns = list(self.space.decode(x).values())
        kind = np.float64 if all(column.dtype.kind in "if" for column in columns) else object
        return np.stack([column.astype(kind) for column in columns], 1)


def takes_codes(estimator: Any, schema: Schema) -> bool:
    """Whether codes are what the estimator was fitted on: no column has levels, and the columns are the schema's."""
    names = getattr(estimator, "feature_names_in_", None)
    same = names is None or _alike(names) == _alike(schema.by_name)
    count = len(schema.features)
    width = getattr(estimator, "n_features_in_", count) or count  # 0 in a CatBoost file that was read
    return same and width == count and not any(f.levels for f in schema.features)


def same_columns(estimator: Any, names: tuple[str, ...], width: int, schema: Schema) -> None:
    """Refuse boosted trees that were fitted on other columns than codes have, or on these in another order.

    Names that are no names (`f0`, `Column_0`, `0`) say nothing, nor do those of a file which are all others.

    Args:
        estimator: A Booster or classifier.
        names: Of its columns, as far as it knows any.
        width: How many it was fitted on.
        schema: Whose codes it will be asked about.

    Raises:
        ModelError: HF280.
    """
    known, wanted = _alike(names), _alike(schema.by_name)
    if known != wanted and sorted(known) == sorted(wanted):
        first = next(i for i, (one, other) in enumerate(zip(known, wanted, strict=True)) if one != other)
        raise ModelError(
            "HF280",
            "The estimator was fitted on the schema's columns in another order",
            seen=f"{known[first]!r} as column {first}",
            expected=repr(wanted[first]),
            fix="fit it on hf.Tabular(schema).frame(codes), or put the schema's columns in its order",
        )
    if width != len(wanted):
        raise _misfit(f"it was fitted on {width} columns", f"{len(wanted)}, as the schema has")
    absent = [name for name, one in zip(names, known, strict=True) if one not in wanted and not NUMBERED.fullmatch(one)]
    if absent and (set(known) & set(wanted) or getattr(estimator, "feature_names_in_", None) is not None):
        raise _misfit(f"it was fitted on a column {absent[0]!r}", "columns of " + repr(schema))


def _alike(names: Iterable[str]) -> tuple[str, ...]:
    """Names as LightGBM writes them, which turns what is no letter, digit or underscore into one."""
    return tuple(re.sub(r"\W", "_", str(name)) for name in names)


def feed_of(estimator: Any, space: Tabular) -> Feed:
    """How a fitted estimator takes its rows: a data frame where it was fitted on one, else an array.

    Raises:
        ModelError: HF280 where it knows columns that the schema does not have, or another number of them, or where
            nothing tells whether it was fitted on codes or on raw rows.
    """
    known = getattr(estimator, "feature_names_in_", None)
    count = len(space.schema.features)
    if known is None:
        width = int(getattr(estimator, "n_features_in_", count))
        if width != count:
            raise _misfit(f"it was fitted on {width} columns", f"{count}, as the schema has")
        _told_apart(space.schema)
        return Arrays(space)
    names = tuple(map(str, known))
    absent = [name for name in names if name not in space.schema.by_name]
    if absent:
        raise _misfit(f"it was fitted on a column {absent[0]!r}", "columns of " + repr(space.schema))
    return Frames(space, names)


def same_classes(names: np.ndarray, schema: Schema) -> None:
    """Refuse an estimator whose classes have the names of the schema's in another order.

    Raises:
        ModelError: HF281.
    """
    told = tuple(plain(name) if names.dtype.kind in "iuf" else str(name) for name in names.tolist())
    places = names.dtype.kind in "biuf" and names.tolist() == list(range(len(names)))  # as data number the classes
    mixed = bool(set(told) & set(schema.classes)) or names.dtype.kind in "OUS"
    if schema.classes and told != schema.classes and mixed and not places:
        raise ModelError(
            "HF281",
            "The classes of the estimator are not those of the schema",
            seen=some(told),
            expected=some(schema.classes),
            fix="write classes into the schema in the order of estimator.classes_, and load the data with it",
        )


def _told_apart(schema: Schema) -> None:
    """Refuse to guess between codes and raw rows where both are numbers, other ones, and the columns have no names."""
    coded = [f for f in schema.features if f.levels]
    if not all(NUMBER.fullmatch(level) for f in coded for level in f.levels):
        return
    differ = [f for f in coded if [float(level) for level in f.levels] != list(range(len(f.levels)))]
    if differ:
        raise ModelError(
            "HF280",
            "Nothing tells whether the estimator was fitted on codes or on raw rows: its columns have no names",
            seen=f"levels of {differ[0].name!r} {', '.join(differ[0].levels[:4])}, whose codes are 0, 1, ...",
            expected="an estimator fitted on a data frame",
            fix="fit it on hf.Tabular(schema).frame(codes), or wrap a function of raw rows",
        )


def _misfit(seen: str, expected: str) -> ModelError:
    return ModelError(
        "HF280",
        "The estimator was fitted on other columns than the schema has",
        seen=seen,
        expected=expected,
        fix="fit it on Tabular(schema).frame(codes), or name the same columns in the schema",
    )
