"""`education determines education_num`: which value goes with which, learned from rows and looked up in others."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.threats.tables.grammar import Determines

if TYPE_CHECKING:
    from holdfast.threats.tables.schema import Schema


@dataclasses.dataclass(frozen=True)
class Pairs:
    """What goes with what.

    Args:
        relation: The `determines` that it belongs to, as text.
        left: Codes of the columns on its left, a tuple for each combination that was seen.
        right: The code that goes with each.

    Raises:
        DataError: HF142 where one combination goes with two values.
    """

    relation: str
    left: tuple[tuple[float, ...], ...]
    right: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.left) != len(self.right) or len(dict.fromkeys(self.left)) < len(self.left):
            twice = next((one for i, one in enumerate(self.left) if one in self.left[:i]), ())
            raise DataError(
                "HF142",
                f"What goes with what is told twice, or in part: {self.relation}",
                seen=f"{len(self.left)} and {len(self.right)} codes{f', {twice} twice' if twice else ''}",
                expected="one code for each combination",
            )


def paired(schema: "Schema", rule: Determines, x: Tensor) -> Pairs:
    """The pairs that rows `(batch, features)` show; rows where one of the values is missing say nothing.

    Raises:
        DataError: HF142 where equal values on the left come with different ones on the right.
    """
    place = list(schema.by_name)
    columns = x[:, [place.index(name) for name in (*rule.left, rule.right)]]
    seen = torch.from_numpy(np.unique(columns[~columns.isnan().any(1)].numpy(), axis=0))  # torch's takes seconds
    left = tuple(tuple(row) for row in seen[:, :-1].tolist())
    for one, other, row in zip(left, left[1:], range(len(left)), strict=False):
        if one == other:
            shown = ", ".join(schema.by_name[n].shown(c) for n, c in zip(rule.left, one, strict=True))
            both = " and ".join(schema.by_name[rule.right].shown(float(seen[i, -1])) for i in (row, row + 1))
            raise DataError(
                "HF142",
                f"The rows do not show that {rule}",
                seen=f"{shown} with {both}",
                fix="take the relation out, or mend the rows",
            )
    return Pairs(str(rule), left, tuple(seen[:, -1].tolist()))


def partner(schema: "Schema", rule: Determines, x: Tensor) -> tuple[Tensor, Tensor]:
    """What goes with the left values of each row, NaN where they were never seen, and whether all are there.

    Both `(batch,)`.

    Raises:
        DataError: HF142 where the pairs were never learned.
    """
    known = next((found for found in schema.pairs if found.relation == str(rule)), None)
    if known is None:
        raise DataError(
            "HF142",
            f"Nobody knows yet what goes with what in: {rule}",
            expected="the pairs that rows show",
            fix="schema = schema.learned(codes)",
        )
    place = list(schema.by_name)
    keys = x[:, [place.index(name) for name in rule.left]]
    there = ~keys.isnan().any(1)
    if not known.left:
        return torch.full((len(x),), torch.nan, dtype=torch.float64), there
    table = torch.tensor(known.left, dtype=torch.float64)
    rows, asked, seen = torch.zeros(len(table)).long(), torch.zeros(len(x)).long(), there
    for told, key in zip(table.unbind(1), keys.unbind(1), strict=True):
        a, b, among = _placed(told, key)
        rows, asked, too = _placed(rows * len(table) + a, asked * len(table) + b)
        seen = seen & among & too
    right = torch.empty(len(table), dtype=torch.float64)
    right[rows] = torch.tensor(known.right, dtype=torch.float64)
    return torch.where(seen, right[asked], torch.nan), there


def _placed(table: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The places of values `(n,)` and of others `(batch,)` among the different values, and which others are there."""
    values, places = torch.unique(table, return_inverse=True)
    found = torch.searchsorted(values, keys.contiguous()).clamp(max=len(values) - 1)
    return places, found, values[found] == keys
