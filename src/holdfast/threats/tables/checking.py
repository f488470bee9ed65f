"""Which rows are possible, and in words why the others are not. No tolerance: a row is possible or it is not."""

import dataclasses
import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.threats.tables.dependence import partner
from holdfast.threats.tables.evaluating import Columns, truth
from holdfast.threats.tables.grammar import Condition, Determines, names

if TYPE_CHECKING:
    from holdfast.threats.tables.schema import Schema


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """What speaks against each row.

    Args:
        schema: Whose rules count.
        x: The rows that were judged, codes `(batch, features)`.
        x0: The rows that they were made from, or None.
        codes: Whether each code is possible, `(batch, features)`.
        groups: Whether each one-hot group has exactly one 1, `(batch, groups)`.
        moves: Whether each column may have moved so, `(batch, features)`.
        relations: Whether each relation is not broken, `(batch, relations)`.
    """

    schema: "Schema"
    x: Tensor
    x0: Tensor | None
    codes: Tensor
    groups: Tensor
    moves: Tensor
    relations: Tensor

    @functools.cached_property
    def valid(self) -> Tensor:
        """Whether a row is possible: `(batch,)`."""
        return self.codes.all(1) & self.groups.all(1) & self.moves.all(1) & self.relations.all(1)

    @functools.cached_property
    def reasons(self) -> tuple[tuple[str, ...], ...]:
        """What speaks against each row, in words; nothing where it is possible."""
        bad = set((~self.valid).nonzero()[:, 0].tolist())
        return tuple(self._reasons(row) if row in bad else () for row in range(len(self.x)))

    def _reasons(self, row: int) -> tuple[str, ...]:
        features, x = self.schema.features, self.x[row].tolist()
        found = [features[j].fault(x[j]) for j in _false(self.codes[row])]
        for k in _false(self.groups[row]):
            columns = self.schema.groups[k]
            ones = ", ".join(features[j].name for j in columns if x[j] == 1) or "none"
            found.append(f"of the group {features[columns[0]].group} exactly one is 1, here {ones}")
        for j in _false(self.moves[row]):
            before, after = (features[j].shown(float(rows[row, j])) for rows in (self._origin, self.x))
            way = "must not change" if features[j].immutable else f"may only go {features[j].direction}"
            found.append(f"{features[j].name} {way}, here {before} -> {after}")
        for k in _false(self.relations[row]):
            where = self.schema.rules[k]
            shown = (f"{n} = {self.schema.by_name[n].shown(x[i])}" for i, n in _places(self.schema, where))
            found.append(f"{where} does not hold: {', '.join(shown)}")
        return tuple(found)

    @functools.cached_property
    def where(self) -> tuple[tuple[str, ...], ...]:
        """The columns, groups and relations that speak against each row: as `reasons`, without a value of the row."""
        return tuple(self._where(row) for row in range(len(self.x)))

    def _where(self, row: int) -> tuple[str, ...]:
        features, groups = self.schema.features, self.schema.groups
        return (
            *(f"{features[j].name} has a value that it cannot have" for j in _false(self.codes[row])),
            *(f"of the group {features[groups[k][0]].group} not exactly one is 1" for k in _false(self.groups[row])),
            *(f"{features[j].name} has moved as it must not" for j in _false(self.moves[row])),
            *(f"{self.schema.rules[k]} does not hold" for k in _false(self.relations[row])),
        )

    @property
    def _origin(self) -> Tensor:
        return self.x if self.x0 is None else self.x0

    def __repr__(self) -> str:
        return f"Verdict({int(self.valid.sum())} of {len(self.x)} rows are possible)"


def verdict(schema: "Schema", x: Tensor, x0: Tensor | None) -> Verdict:
    """Judge rows `(batch, features)`."""
    ones = [(x[:, list(group)] == 1).sum(1) == 1 for group in schema.groups]
    groups = torch.stack(ones, 1) if ones else torch.ones((len(x), 0), dtype=torch.bool)
    codes = schema.ranges.possible(x)
    moves = torch.ones_like(codes) if x0 is None else schema.ranges.moves(x, x0)
    return Verdict(schema, x, x0, codes, groups, moves, kept(schema, x))


def kept(schema: "Schema", x: Tensor) -> Tensor:
    """Whether each relation is not broken: `(batch, relations)`."""
    columns = columns_of(schema, x)
    found = [_holds(schema, rule, x, columns) for rule in schema.rules]
    return torch.stack(found, 1) if found else torch.ones((len(x), 0), dtype=torch.bool)


def holds(schema: "Schema", rule: Condition | Determines, x: Tensor) -> Tensor:
    """Whether a relation is not broken: `(batch,)`. Combinations that no row ever showed are."""
    return _holds(schema, rule, x, columns_of(schema, x))


def _holds(schema: "Schema", rule: Condition | Determines, x: Tensor, columns: Columns) -> Tensor:
    if isinstance(rule, Determines):
        wanted, there = partner(schema, rule, x)
        right = columns[rule.right]
        return (right == wanted) | right.isnan() | ~there
    return ~truth(rule, columns, schema.by_name).no


def columns_of(schema: "Schema", x: Tensor) -> Columns:
    """Codes by the name of their column."""
    return dict(zip(schema.by_name, x.unbind(1), strict=True))


def _places(schema: "Schema", rule: Condition | Determines) -> list[tuple[int, str]]:
    place = list(schema.by_name)
    return [(place.index(name), name) for name in names(rule)]


def _false(flags: Tensor) -> list[int]:
    found: list[int] = (~flags).nonzero()[:, 0].tolist()
    return found
