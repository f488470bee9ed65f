"""Relations over a batch of rows. What a missing value makes unknown is not broken, as with checks in a database."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.grammar import (
    Arithmetic,
    Comparison,
    Condition,
    Logic,
    Negative,
    Not,
    Number,
    Text,
    Value,
    names,
)

SIGNS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}

Columns = Mapping[str, Tensor]
"""Codes of each feature, `(batch,)` float64."""

Features = Mapping[str, Feature]


class Truth(NamedTuple):
    """What holds and what does not, `(batch,)` each; neither where a missing value leaves it open."""

    yes: Tensor
    no: Tensor


def truth(node: Condition, columns: Columns, features: Features) -> Truth:
    """Kleene's three values of a condition in each row."""
    if isinstance(node, Not):
        found = truth(node.of, columns, features)
        return Truth(found.no, found.yes)
    if isinstance(node, Logic):
        a, b = truth(node.left, columns, features), truth(node.right, columns, features)
        if node.word == "and":
            return Truth(a.yes & b.yes, a.no | b.no)
        a = Truth(a.no, a.yes) if node.word == "->" else a
        return Truth(a.yes | b.yes, a.no & b.no)
    left, right = sides(node, columns, features)
    known = ~(left.isnan() | right.isnan())
    holds = SIGNS[node.sign](left, right)
    return Truth(holds & known, ~holds & known)


def sides(node: Comparison, columns: Columns, features: Features) -> tuple[Tensor, Tensor]:
    """The numbers that a comparison compares, `(batch,)` each; levels are compared by their place."""
    if isinstance(node.left, Text) or isinstance(node.right, Text):
        (name,) = names(node)
        code, levels = columns[name], features[name].levels
        left, right = (
            torch.full_like(code, levels.index(side.value)) if isinstance(side, Text) else code
            for side in (node.left, node.right)
        )
        return left, right
    return value(node.left, columns, features), value(node.right, columns, features)


def value(node: Value, columns: Columns, features: Features) -> Tensor:
    """A number for each row: `(batch,)`; 0 / 0 is as unknown as a missing value."""
    if isinstance(node, Number):
        return torch.full_like(next(iter(columns.values())), node.value)
    if isinstance(node, Negative):
        return -value(node.of, columns, features)
    if isinstance(node, Arithmetic):
        return SIGNS[node.sign](value(node.left, columns, features), value(node.right, columns, features))
    code, worth = columns[node.name], features[node.name].worth
    if not worth:
        return code
    place = code.nan_to_num(0).long().clamp(0, len(worth) - 1)
    named = torch.tensor(worth, dtype=torch.float64)[place]
    return torch.where(code.isnan(), math.nan, named)
