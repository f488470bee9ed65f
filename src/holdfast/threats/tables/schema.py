"""What rows of a table may be: its features, and the relations between them."""

import collections
import dataclasses
import functools
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.threats.tables import document
from holdfast.threats.tables.binding import bound
from holdfast.threats.tables.checking import Verdict, verdict
from holdfast.threats.tables.dependence import Pairs, paired
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.grammar import Condition, Determines
from holdfast.threats.tables.measuring import Ruler
from holdfast.threats.tables.ranges import Ranges
from holdfast.threats.tables.raw import numbers_of
from holdfast.threats.tables.repairing import Repaired, repaired


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a table, in order, and what holds between them in every row.

    Rows are codes, float64 `(batch, features)`: see `Feature`. A schema reads and writes itself as TOML.

    Args:
        features: The columns that a model sees.
        relations: Conditions such as `src_bytes <= 2 * dst_bytes`; the grammar is in `tables.grammar`.
        pairs: What `determines` means, where that was learned; `learned` finds it.
        name: Of the table.
        label: The column that a model is to tell, and that is no feature.
        classes: Its values, in the order of the class indices.

    Raises:
        DataError: HF143 for columns that contradict each other, HF141 for a relation that cannot be read, HF142 for one
            that does not fit the columns.
    """

    features: tuple[Feature, ...]
    relations: tuple[str, ...] = ()
    _: dataclasses.KW_ONLY
    pairs: tuple[Pairs, ...] = ()
    name: str = "table"
    label: str = ""
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("features", "relations", "pairs", "classes"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for what in _problems(self.features, self.label, self.classes):
            raise DataError("HF143", f"The columns of {self.name!r} contradict each other: {what}")
        object.__setattr__(self, "relations", tuple(str(bound(text, self.by_name)) for text in self.relations))
        strays = [known.relation for known in self.pairs if known.relation not in self.relations]
        if strays:
            raise DataError("HF142", "Pairs are given for a relation that the schema does not have", seen=strays[0])
        if len({known.relation for known in self.pairs}) < len(self.pairs):
            raise DataError("HF142", "Pairs are given twice for a relation", seen=self.pairs[0].relation)

    @functools.cached_property
    def by_name(self) -> dict[str, Feature]:
        """Features by their names."""
        return {feature.name: feature for feature in self.features}

    @functools.cached_property
    def rules(self) -> tuple[Condition | Determines, ...]:
        """The relations as nodes."""
        return tuple(bound(text, self.by_name) for text in self.relations)

    @functools.cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the columns of each one-hot group."""
        found: dict[str, list[int]] = {}
        for i, feature in enumerate(self.features):
            if feature.group:
                found.setdefault(feature.group, []).append(i)
        return tuple(map(tuple, found.values()))

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Least and greatest code of each feature."""
        low, high = zip(*(feature.span for feature in self.features), strict=True)
        return low, high

    @functools.cached_property
    def scales(self) -> Tensor:
        """One standardized unit of each feature: `(features,)`."""
        return torch.tensor([feature.scale for feature in self.features], dtype=torch.float64)

    @functools.cached_property
    def ranges(self) -> Ranges:
        """What each column may be and become by itself."""
        return Ranges.of(self.features)

    @functools.cached_property
    def ruler(self) -> Ruler:
        """How far a row is from another, column by column."""
        return Ruler(self)

    def __repr__(self) -> str:
        return f"Schema({self.name}, {len(self.features)} features, {len(self.relations)} relations)"

    def codes(self, x: Any) -> Tensor:
        """A batch as a float64 tensor of its own.

        Raises:
            DataError: HF148 where it is no `(batch, features)` of numbers, a frame with other columns, or one whose
                numbers may be raw values as well as codes.
        """
        found = _numbers(x)
        heads = [str(name) for name in getattr(x, "columns", ())]
        apart = next((f for f in self.features if heads and f.levels and _misleading(f)), None)
        if found is not None and heads == list(self.by_name) and apart is not None:
            raise self._strangers(
                f"numbers in {apart.name!r}, whose levels {', '.join(apart.levels[:4])} have the codes 0, 1, ...",
                "codes without names of columns, frame.to_numpy()",
            )
        if found is None or (heads and heads != list(self.by_name)):
            raise self._strangers("raw rows" if heads else f"{type(x).__name__}", "codes, float64")
        if found.dim() != 2 or found.shape[1] != len(self.features):
            raise self._strangers(f"shape {tuple(found.shape)}", f"(batch, {len(self.features)})")
        return found.to(torch.float64, copy=True)

    def _strangers(self, seen: str, expected: str) -> DataError:
        what, fix = (
            f"The rows do not fit the schema of {self.name!r}",
            "Tabular(schema).encode(frame) makes codes of raw rows",
        )
        return DataError("HF148", what, seen=seen, expected=expected, fix=fix)

    def _both(self, x: Any, x0: Any) -> tuple[Tensor, Tensor]:
        """Rows and those that they were made from, one for each."""
        rows, origins = self.codes(x), self.codes(x0)
        if len(rows) != len(origins):
            raise DataError(
                "HF148",
                "The rows and those that they were made from are not as many",
                seen=f"{len(rows)} and {len(origins)}",
                expected="x[i] made from x0[i]",
            )
        return rows, origins

    def validate(self, x: Any, x0: Any = None) -> Verdict:
        """Which rows are possible, and what speaks against the others.

        Args:
            x: Codes `(batch, features)`.
            x0: The rows that they were made from: then immutable columns and directions count too.
        """
        return verdict(self, self.codes(x), None) if x0 is None else verdict(self, *self._both(x, x0))

    def repair(self, x: Any, x0: Any) -> Repaired:
        """Possible rows near `x` that may be made from `x0`, both `(batch, features)`.

        Types, ranges, steps, immutable columns, directions and one-hot groups are the nearest ones, column by column;
        relations are mended by moving few columns and, where that does not do, by taking changes back. Rows that are
        possible stay as they are, bit for bit. Costs some evaluations of the relations that are broken; no query.
        """
        return repaired(self, *self._both(x, x0))

    def learned(self, x: Any) -> "Schema":
        """The same with the pairs of each `determines` as these rows `(batch, features)` show them.

        Raises:
            DataError: HF142 where rows disagree, so that nothing is determined.
        """
        codes = self.codes(x)
        found = [paired(self, rule, codes) for rule in self.rules if isinstance(rule, Determines)]
        return dataclasses.replace(self, pairs=tuple(found))

    def to_toml(self) -> str:
        """The schema as a file would hold it."""
        return document.written(self)

    @staticmethod
    def from_toml(text: str, source: str = "schema.toml") -> "Schema":
        """A schema from its text; see `read`."""
        return Schema(**document.read(text, source))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the schema to a TOML file."""
        document.save(self.to_toml(), path)

    @staticmethod
    def read(path: str | os.PathLike[str]) -> "Schema":
        """A schema from a TOML file.

        Raises:
            DataError: HF144 for a file that cannot be read, with the line; HF141 to HF143 for what it says.
        """
        return Schema.from_toml(document.load(path), os.path.basename(path))


def _numbers(x: Any) -> Tensor | None:
    """Real numbers as a tensor; None for anything else."""
    if isinstance(x, Tensor):
        return None if x.is_complex() else x.detach().cpu()
    try:
        cells = np.asarray(x)
    except ValueError:  # rows of different lengths
        return None
    return torch.from_numpy(np.array(cells, dtype=np.float64)) if cells.dtype.kind in "biuf" else None


def _misleading(feature: Feature) -> bool:
    """Whether the levels of a column are numbers, other ones than their codes."""
    numbers = numbers_of(feature.levels)
    return numbers is not None and numbers.tolist() != list(range(len(feature.levels)))


def _problems(features: tuple[Feature, ...], label: str, classes: tuple[str, ...]) -> Iterable[str]:
    """What contradicts itself between columns, the first thing first."""
    if not features:
        yield "there are none"
    if any(not isinstance(feature, Feature) for feature in features):
        yield "one is no Feature"
    names = [feature.name for feature in features]
    for what, words in (("", names), ("the class ", classes)):
        twice = [word for word, count in collections.Counter(words).items() if count > 1]
        if twice:
            yield f"{what}{twice[0]!r} stands twice"
    if label in names:
        yield f"the label {label!r} is a feature too"
    for group in dict.fromkeys(feature.group for feature in features if feature.group):
        members = [feature for feature in features if feature.group == group]
        if len(members) < 2:
            yield f"the one-hot group {group!r} has a single column"
        if len({feature.immutable for feature in members}) > 1:
            yield f"the one-hot group {group!r} is immutable in part"
