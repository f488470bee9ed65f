"""The relations of a schema as rows of a mixed integer program: linear ones, and any over columns of few values."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.attacks.trees.cells import unheld
from holdfast.attacks.trees.sheet import Sheet, Sum
from holdfast.threats.tables.checking import columns_of, holds
from holdfast.threats.tables.evaluating import value
from holdfast.threats.tables.grammar import (
    Arithmetic,
    Comparison,
    Condition,
    Determines,
    Logic,
    Name,
    Negative,
    Number,
    Text,
    Value,
    names,
)
from holdfast.threats.tables.schema import Schema

Array = NDArray[Any]
Rule = Condition | Determines

COMBINED = 20_000
"""Combinations of cells that are looked through for a relation, at most."""

BITS = 2.0**20
"""Fractions with a power of two up to here below the line, and numbers up to here, leave floats room for their sums."""

FINE = 10**9
"""Numbers of strict relations are read as fractions with at most this below the line."""


def parts(schema: Schema) -> list[Rule]:
    """The relations, those that are joined by `and` one by one: a row must break none of them."""
    found, waiting = list[Rule](), list[Rule](reversed(schema.rules))
    while waiting:
        rule = waiting.pop()
        if isinstance(rule, Logic) and rule.word == "and":
            waiting += [rule.right, rule.left]
        else:
            found.append(rule)
    return found


def related(schema: Schema) -> dict[int, str]:
    """The places of the columns that relations speak of, and one of these relations as text."""
    place = list(schema.by_name)
    return {place.index(name): str(rule) for rule in parts(schema) for name in names(rule)}


def slots_in(schema: Schema, sheet: Sheet, rule: Rule) -> list[int]:
    """The slots whose columns a relation speaks of, and that can change."""
    place = list(schema.by_name)
    found = dict.fromkeys(sheet.slot[place.index(name)] for name in names(rule))
    return [s for s in found if len(sheet.slots[s]) > 1 or sheet.slots[s].moves]


def rows_of(schema: Schema, sheet: Sheet, norm: str) -> list[Sum]:
    """The rows `sum <= 0` that hold all relations.

    Raises:
        ThreatError: HF303 for a relation that is neither linear nor over columns of few values.
    """
    found = []
    for rule in parts(schema):
        slots = slots_in(schema, sheet, rule)
        valued = not any(sheet.slots[s].moves for s in slots)
        if valued and math.prod(len(sheet.slots[s]) for s in slots) <= COMBINED:
            found += _combined(schema, sheet, rule, slots)
        elif isinstance(rule, Comparison) and (made := _linear(schema, sheet, rule)) is not None:
            found += made
        else:
            wanted = "linear relations without <, > and != between numbers without steps, or columns of few values"
            raise unheld(f"the relation {rule}", wanted, norm)
    return found


def _combined(schema: Schema, sheet: Sheet, rule: Rule, slots: Sequence[int]) -> list[Sum]:
    """Where all other slots are in their cells, the one of most cells must be in one that goes with them."""
    if not slots:
        return []
    *rest, last = sorted(slots, key=lambda s: len(sheet.slots[s]))
    ways = list(itertools.product(*(range(len(sheet.slots[s])) for s in rest)))
    size = len(sheet.slots[last])
    rows = torch.from_numpy(np.repeat(sheet.row[None], len(ways) * size, 0))
    for k, s in enumerate(rest):
        cells = np.repeat([way[k] for way in ways], size)
        rows[:, list(sheet.slots[s].columns)] = torch.from_numpy(sheet.slots[s].values[cells])
    rows[:, list(sheet.slots[last].columns)] = torch.from_numpy(np.tile(sheet.slots[last].values, (len(ways), 1)))
    kept, found = holds(schema, rule, rows).numpy().reshape(len(ways), size), []
    for way, fine in zip(ways, kept, strict=True):
        if not fine.all():
            one = Sum({}, 1.0 - len(rest)).plus(sheet.over(last, fine.astype(float)), -1.0)
            for s, cell in zip(rest, way, strict=True):
                one = one.plus(sheet.over(s, (np.arange(len(sheet.slots[s])) == cell).astype(float)))
            found.append(one)
    return found


def _linear(schema: Schema, sheet: Sheet, rule: Comparison) -> list[Sum] | None:
    """A comparison of linear sums as rows, each open where a value is missing; None for any other."""
    if isinstance(rule.left, Text) or isinstance(rule.right, Text):
        return None
    left, right = _sum(schema, sheet, rule.left), _sum(schema, sheet, rule.right)
    if left is None or right is None:
        return None
    low, high = (left, right) if rule.sign in ("<", "<=", "==") else (right, left)
    short = low.plus(high, -1.0)  # at most zero
    if rule.sign == "!=":
        return None
    if rule.sign in ("<", ">"):
        if _endless(schema, sheet, rule):
            return None
        short = short.plus(Sum({}, _grid(schema, rule, short) / 2))
    return [
        _open(schema, sheet, rule, one)
        for one in ([short, Sum({}).plus(short, -1.0)] if rule.sign == "==" else [short])
    ]


def _open(schema: Schema, sheet: Sheet, rule: Comparison, short: Sum) -> Sum:
    """A row that does not bind where a value of its relation is missing."""
    most = short.number + sum(max(f * sheet.lowest[k], f * sheet.highest[k]) for k, f in short.terms.items())
    for s in slots_in(schema, sheet, rule):
        if sheet.slots[s].missing.any() and most > 0:
            short = short.plus(sheet.over(s, sheet.slots[s].missing.astype(float)), -most)
    unit = max(map(abs, short.terms.values()), default=1.0)
    return Sum({k: f / unit for k, f in short.terms.items()}, short.number / unit)


def _sum(schema: Schema, sheet: Sheet, node: Value) -> Sum | None:
    """A value as a sum; None where it is none."""
    if isinstance(node, Number):
        return Sum({}, node.value)
    if isinstance(node, Name):
        return _named(schema, sheet, node)
    if isinstance(node, Negative):
        found = _sum(schema, sheet, node.of)
        return None if found is None else Sum({}).plus(found, -1.0)
    if not isinstance(node, Arithmetic):
        return None
    left, right = _sum(schema, sheet, node.left), _sum(schema, sheet, node.right)
    if left is None or right is None:
        return None
    if node.sign in "+-":
        return left.plus(right, 1.0 if node.sign == "+" else -1.0)
    if node.sign == "*" and not left.terms:
        return Sum({}).plus(right, left.number)
    if right.terms or (node.sign == "/" and not right.number):
        return None
    return Sum({}).plus(left, right.number if node.sign == "*" else 1 / right.number)


def _named(schema: Schema, sheet: Sheet, node: Name) -> Sum:
    """The number that a column stands for."""
    j = list(schema.by_name).index(node.name)
    slot = sheet.slots[sheet.slot[j]]
    rows = torch.from_numpy(np.repeat(sheet.row[None], len(slot), 0))
    rows[:, list(slot.columns)] = torch.from_numpy(slot.values)
    return sheet.value(j, np.nan_to_num(value(node, columns_of(schema, rows), schema.by_name).numpy()))


def _endless(schema: Schema, sheet: Sheet, rule: Comparison) -> bool:
    """Whether a number without steps is sought there."""
    columns = [list(schema.by_name).index(name) for name in names(rule)]
    return any(not sheet.steps[j] and sheet.slots[sheet.slot[j]].moves for j in columns)


def _grid(schema: Schema, rule: Comparison, short: Sum) -> float:
    """What all values of a sum are multiples of; 0 where that is tiny, or where floats may differ on equal numbers.

    With 0 equal numbers pass the row, and what the schema forbids of them is told when it is found.
    """
    terms = (*short.terms.values(), short.number)
    made = [Fraction(f).limit_denominator(FINE) for f in terms]
    below = math.lcm(*(one.denominator for one in made))
    grid, most = math.gcd(*(int(one * below) for one in made)) / below, max(map(abs, terms))
    apart = max(abs(float(one) - f) for one, f in zip(made, terms, strict=True))
    return grid if _exact(schema, rule) and grid > 1e-6 * most and apart <= 1e-3 * grid else 0.0


def _exact(schema: Schema, rule: Comparison) -> bool:
    """Whether floats are equal where the numbers are: 2.8 + 0.3 is less than 3.1 to them.

    They are for two columns, or a column and a number, that nothing is done to, each the float nearest to its decimal;
    and for sums of fractions such as 3 / 4, which floats hold.
    """
    columns = [list(schema.by_name).index(name) for name in names(rule)]
    features, parts = [schema.features[j] for j in columns], schema.ranges.parts[columns].tolist()
    if all(isinstance(side, Name | Number) for side in (rule.left, rule.right)):
        return all(f.worth or _held(float(f.step or 0)) or part for f, part in zip(features, parts, strict=True))
    values = [v for f in features for v in f.worth or (float(f.step or 0), *f.span)]
    return all(map(_held, values)) and _plain(rule.left) and _plain(rule.right)


def _plain(node: Value | Text) -> bool:
    """Whether the numbers of a sum are fractions that floats hold, and what divides is a power of two."""
    if isinstance(node, Number):
        return _held(node.value)
    if isinstance(node, Arithmetic):
        halves = isinstance(node.right, Number) and math.frexp(node.right.value)[0] == 0.5
        return (node.sign != "/" or halves) and _plain(node.left) and _plain(node.right)
    return _plain(node.of) if isinstance(node, Negative) else True


def _held(number: float) -> bool:
    """Whether it is a fraction of few bits, so that sums of some are exact."""
    return abs(number) <= BITS and number * BITS == round(number * BITS)
