"""What the columns of a table may become around a row: cells that no tree and no relation tells apart inside."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.attacks.trees.field import Field
from holdfast.attacks.trees.possible import inward
from holdfast.core.errors import ThreatError
from holdfast.models.trees.descend import lefts
from holdfast.models.trees.form import TINY
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.measuring import Measure
from holdfast.threats.tables.schema import Schema

Array = NDArray[Any]
MEASURES: dict[str, Measure] = {"l0": "features", "l1": "l1", "l2": "l2", "linf": "linf"}
POWERS = {"l0": 0, "l1": 1, "l2": 2, "linf": 1}

FEW = 128
"""A column of a relation with at most so many possible values has a cell for each."""

MANY = 4096
"""Values of a column that trees split on sets, at most."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Slot:
    """A column or a one-hot group, and its cells in order, the missing value last.

    Args:
        columns: Its columns.
        values: Of the member of each cell that is nearest to the row, `(cells, columns)`.
        low, high: Between what a number lies in each cell, `(cells,)`; of a group and a missing value its codes.
        paid: What a change into each cell adds to the sum, `(cells,)`: |d|, d^2 or 1, in standardized units; in Linf
            |d|, of which the largest counts.
        moves: Whether the number inside a cell is sought, as a relation speaks of a column of many values.
    """

    columns: tuple[int, ...]
    values: Array
    low: Array
    high: Array
    paid: Array
    moves: bool

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> Array:
        """Which cell is that of a missing value: `(cells,)`."""
        found: Array = np.isnan(self.values[:, 0])
        return found


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Leaves:
    """The leaves that possible rows reach.

    Args:
        tree_of, leaf_of: Of each leaf.
        held: Of each leaf the cells of the slots that it limits, by slot.
    """

    tree_of: Array
    leaf_of: Array
    held: list[dict[int, Array]]


def slots_of(schema: Schema, field: Field, row: Array, norm: str, related: dict[int, str]) -> tuple[Slot, ...]:
    """The cells of every column and group around a row `(features,)`, float64.

    Args:
        schema: What the row may become.
        field: The trees.
        row: Codes.
        norm: "l0", "l1", "l2" or "linf".
        related: The columns of relations, and one relation of each as text.

    Raises:
        ThreatError: HF303 for what a program cannot hold.
    """
    found = []
    for columns in schema.ruler.slots:
        if len(columns) > 1:
            values = np.eye(len(columns))
            if schema.features[columns[0]].immutable:
                values = row[None, list(columns)]
            found.append(_slot(schema, columns, values, values[:, 0], values[:, 0], False, row, norm))
        else:
            found.append(_column(schema, field, columns[0], row, norm, related.get(columns[0])))
    return tuple(found)


def _column(schema: Schema, field: Field, j: int, row: Array, norm: str, relation: str | None) -> Slot:
    """The cells of one column."""
    feature, x0 = schema.features[j], float(row[j])
    low, high = (x0, x0) if feature.immutable else feature.span
    if not math.isnan(x0):
        low, high = (
            (max(low, x0) if feature.direction == "up" else low),
            (min(high, x0) if feature.direction == "down" else high),
        )
    count = (high - low) / feature.step + 1 if feature.step else math.inf if low < high else 1  # nan where both are
    named = bool(field.trees.categorical[j])
    if named and count > MANY:
        raise unheld(f"trees that split {feature.name} on sets of values", "a categorical column", norm)
    moves = relation is not None and count > FEW and not named and feature.ordered and not feature.levels
    if math.isnan(low):  # immutable, and missing
        lows = highs = np.zeros(0)
    elif not moves and (named or relation is not None or not feature.ordered):
        step = float(feature.step or 0)
        lows = highs = feature.stepped(torch.arange(round(count), dtype=torch.float64) * step + low).numpy()
    else:
        if moves and norm == "l2":
            raise unheld(f"{relation}, of {feature.name} with more than {FEW} values", "l0, l1 or columns of few", norm)
        lows, highs = _between(feature, low, high, _cuts(field, j, x0 if moves and norm == "l0" else math.nan))
    start = np.clip(0.0 if math.isnan(x0) else x0, lows, highs)
    if feature.missing or math.isnan(x0):
        start, lows, highs = (np.append(one, np.nan) for one in (start, lows, highs))
    ranges = schema.ranges.only(j)
    codes, own = torch.from_numpy(start), torch.full((len(start),), x0, dtype=torch.float64)
    kept = (ranges.possible(codes) & ranges.moves(codes, own)).numpy()
    moves = moves and not np.isnan(start[kept]).all()
    return _slot(schema, (j,), start[kept, None], lows[kept], highs[kept], moves, row, norm)


def _slot(
    schema: Schema, columns: tuple[int, ...], values: Array, low: Array, high: Array, moves: bool, row: Array, norm: str
) -> Slot:
    """With what its cells cost: what the ruler says of rows that differ there alone."""
    there = torch.from_numpy(np.repeat(row[None], len(values), 0))
    before = there.clone()
    there[:, list(columns)] = torch.from_numpy(values)
    place = int(schema.ruler.slot[columns[0]])
    change = schema.ruler.changes(there, before)[:, place].numpy()
    paid = change ** POWERS[norm] if POWERS[norm] else (change > 0).astype(float)
    if moves and norm == "l0":  # a cell holds the row's own number or others
        paid = (np.isnan(low) != np.isnan(row[columns[0]])) | (low != row[columns[0]]) | (high != row[columns[0]])
        paid = np.where(np.isnan(low) & np.isnan(row[columns[0]]), 0.0, paid.astype(float))
    return Slot(columns=columns, values=values, low=low, high=high, paid=paid, moves=moves)


def _cuts(field: Field, j: int, own: float) -> Array:
    """The last values before which trees cut a column, and around its own number where it is one."""
    trees = field.trees
    at = (trees.feature == j) & (trees.members < 0)
    beside = [] if math.isnan(own) else [np.nextafter(own, -np.inf), own]
    zeros = [-field.edge, field.rim] if (at & trees.zeros).any() else []
    return np.concatenate([field.cuts[at], zeros, beside])


def _between(feature: Feature, low: float, high: float, cuts: Array) -> tuple[Array, Array]:
    """The cells that cuts make of a range, those without a possible number left out."""
    ends = np.unique(cuts[(cuts >= low) & (cuts < high)])
    lows, highs = np.append(low, np.nextafter(ends, np.inf)), np.append(ends, high)
    if feature.step:
        lows, highs = inward(feature, lows, 1), inward(feature, highs, -1)
    return lows[lows <= highs], highs[lows <= highs]


def leaves_of(field: Field, slots: Sequence[Slot], row: Array) -> Leaves:
    """The leaves of all trees and the cells from which they are reached."""
    trees, place = field.trees, {}
    sides: dict[int, Array] = {}
    for s, slot in enumerate(slots):
        place.update(dict.fromkeys(slot.columns, s))
        rows = np.repeat(row[None], len(slot), 0)
        rows[:, list(slot.columns)] = slot.values
        seen = trees.read(rows)
        for j in slot.columns:
            nodes, cells = np.flatnonzero(trees.feature == j), len(slot)
            part = (
                part[np.repeat(nodes, cells)] for part in (trees.threshold, trees.missing, trees.zeros, trees.members)
            )
            threshold, missing, zeros, members = part
            value = np.tile(seen[:, j], len(nodes))
            goes = lefts(value, trees.operator == "<", TINY, threshold, missing, zeros, members, trees.bits)
            sides.update(zip(nodes.tolist(), goes.reshape(len(nodes), cells), strict=True))
    tree_of, leaf_of, held = [], [], []
    for tree, root in enumerate(trees.roots.tolist()):
        waiting: list[tuple[int, dict[int, Array]]] = [(root, {})]
        while waiting:
            node, limits = waiting.pop()
            f = int(trees.feature[node])
            if f < 0:
                tree_of.append(tree)
                leaf_of.append(int(trees.left[node]))
                held.append({s: mask for s, mask in limits.items() if not mask.all()})
                continue
            s = place[f]
            before = limits.get(s, np.ones(len(slots[s]), bool))
            for goes, end in ((sides[node], trees.left[node]), (~sides[node], trees.right[node])):
                if (mask := before & goes).any():
                    waiting.append((int(end), {**limits, s: mask}))
    return Leaves(tree_of=np.array(tree_of), leaf_of=np.array(leaf_of), held=held)


def unheld(seen: str, expected: str, norm: str) -> ThreatError:
    """HF303, for what no mixed integer program holds here."""
    return ThreatError(
        "HF303",
        "A mixed integer program over the rows of this schema cannot hold it",
        seen=seen,
        expected=expected,
        fix=f"LeafTuple comes near: hf.run(hf.attacks.LeafTuple(), model, x, y, 'table:{MEASURES[norm]}=inf')",
    )
