"""The columns and rows of a mixed integer program over cells: which cell every slot is in, which leaf every tree."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.attacks.trees.cells import Leaves, Slot

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Sum:
    """A sum of columns, `terms` by their place, and a number."""

    terms: dict[int, float]
    number: float = 0.0

    def plus(self, other: "Sum", times: float = 1.0) -> "Sum":
        """With some times another sum."""
        terms = dict(self.terms)
        for place, factor in other.terms.items():
            terms[place] = terms.get(place, 0.0) + times * factor
        return Sum({k: v for k, v in terms.items() if v}, self.number + times * other.number)


class Sheet:
    """Places of the columns, and the rows `sum <= 0` that bind them.

    A binary for each cell of a slot but the last says whether the slot is in it or in one before it; so the binaries of
    a slot are in order, and any sum over its cells is linear in them. A share for each leaf adds to one in every tree.
    A number that is sought inside its cell has a column (in steps, where it has some) and, in L1, one for its change;
    in Linf one column is at least every such change.

    Args:
        slots: Their cells.
        leaves: Of the trees.
        row: The codes `(features,)`.
        steps: Of each column of the table, 0 for all numbers.
        scales: One standardized unit of each column of the table.
        norm: "l1", where changes of sought numbers are added up, "linf", where the largest counts, or another.
    """

    def __init__(
        self, slots: Sequence[Slot], leaves: Leaves, row: Array, steps: Array, scales: Array, norm: str
    ) -> None:
        self.slots, self.leaves, self.row, self.steps = slots, leaves, row, steps
        self.first = np.cumsum([0, *(len(slot) - 1 for slot in slots)])
        self.binaries = int(self.first[-1])
        self.width = self.binaries + len(leaves.tree_of)
        self.slot = {j: s for s, slot in enumerate(slots) for j in slot.columns}
        self.lowest, self.highest = np.zeros(self.width), np.ones(self.width)
        self.whole = np.arange(self.width) < self.binaries
        self.rows: list[Sum] = []
        self.sought: dict[int, int] = {}
        self.farther = Sum({})
        self._ordered()
        self._trees()
        largest = self._add(0.0, np.inf, False) if norm == "linf" and any(slot.moves for slot in slots) else None
        for s, slot in enumerate(slots):
            if slot.moves:
                self._seek(s, slot, float(scales[slot.columns[0]]) if norm in ("l1", "linf") else 0.0, largest)
        if largest is not None:
            self.farther = Sum({largest: 1.0})
        self.celled = [s for s, slot in enumerate(slots) if not (slot.moves and norm == "l1")]
        for s in sorted(set(range(len(slots))) - set(self.celled)):  # a missing value, or a number that was missing
            there = slots[s].missing
            gone = there if not np.isnan(row[slots[s].columns[0]]) else ~there
            self.farther = self.farther.plus(self.over(s, gone.astype(float)))

    def price(self, limit: float) -> Sum:
        """What changes add up to; cells beyond the limit cost twice it, as large factors drown the others."""
        found = self.farther
        for s in self.celled:
            found = found.plus(self.over(s, np.minimum(self.slots[s].paid, 2 * limit)))
        return found

    def over(self, s: int, weight: Array) -> Sum:
        """What the cell of a slot weighs, `weight` `(cells,)`."""
        terms = {int(self.first[s]) + i: float(w) for i, w in enumerate(weight[:-1] - weight[1:]) if w}
        return Sum(terms, float(weight[-1]))

    def value(self, j: int, named: Array) -> Sum:
        """The number of a table's column; `named` is what its cells stand for, 0 for a missing value."""
        if j in self.sought:
            return Sum({self.sought[j]: float(self.steps[j]) or 1.0})
        return self.over(self.slot[j], named)

    def _add(self, low: float, high: float, whole: bool) -> int:
        self.lowest, self.highest = np.append(self.lowest, low), np.append(self.highest, high)
        self.whole, self.width = np.append(self.whole, whole), self.width + 1
        return self.width - 1

    def _ordered(self) -> None:
        for s, slot in enumerate(self.slots):
            for i in range(len(slot) - 2):
                self.rows.append(Sum({int(self.first[s]) + i: 1.0, int(self.first[s]) + i + 1: -1.0}))

    def _trees(self) -> None:
        """Leaves weigh at most what the cells do from which they are reached, for each set of cells of a tree."""
        for tree in range(int(self.leaves.tree_of.max()) + 1):
            own = np.flatnonzero(self.leaves.tree_of == tree)
            for s in dict.fromkeys(s for leaf in own.tolist() for s in self.leaves.held[leaf]):
                held = {leaf: mask for leaf in own.tolist() if (mask := self.leaves.held[leaf].get(s)) is not None}
                for cells in _sets(held.values()):
                    inside = {self.binaries + leaf: 1.0 for leaf, mask in held.items() if not (mask & ~cells).any()}
                    self.rows.append(Sum(inside).plus(self.over(s, cells.astype(float)), -1.0))

    def _seek(self, s: int, slot: Slot, scale: float, largest: int | None) -> None:
        """A number inside its cell; where `scale` is given, what its change adds to the price, or its `largest`."""
        j, there = slot.columns[0], ~slot.missing
        step = float(self.steps[j]) or 1.0
        low, high = float(slot.low[there].min()), float(slot.high[there].max())
        self.sought[j] = self._add(low / step, high / step, bool(self.steps[j]))
        number = Sum({self.sought[j]: step})
        self.rows.append(self.over(s, np.where(there, slot.low, low)).plus(number, -1.0))
        self.rows.append(number.plus(self.over(s, np.where(there, slot.high, high)), -1.0))
        if scale and not np.isnan(self.row[j]):
            reach = max(high - self.row[j], self.row[j] - low) / scale
            far = self._add(0.0, reach, False) if largest is None else largest
            gone = self.over(s, slot.missing * reach)
            for sign in (1.0, -1.0):  # none where the value is missing
                change = Sum({}, -sign * float(self.row[j]) / scale).plus(number, sign / scale)
                self.rows.append(change.plus(Sum({far: 1.0}), -1.0).plus(gone, -1.0))
            if largest is None:
                self.farther = self.farther.plus(Sum({far: 1.0}))

    @functools.cached_property
    def bound(self) -> tuple[Any, Array]:
        """The rows that bind cells, leaves and numbers: `A z <= b`."""
        return matrix(self.rows, self.width)

    @functools.cached_property
    def whole_trees(self) -> Any:
        """The rows in which the shares of each tree add up."""
        leaves = self.leaves
        trees = [self.binaries + np.flatnonzero(leaves.tree_of == tree) for tree in np.unique(leaves.tree_of)]
        return matrix([Sum(dict.fromkeys(own.tolist(), 1.0)) for own in trees], self.width)[0]

    def point(self, answer: Array) -> tuple[Array, Array]:
        """The codes `(features,)` that an answer names, and the cell of every slot."""
        found, cells = self.row.copy(), np.zeros(len(self.slots), np.int64)
        for s, slot in enumerate(self.slots):
            said = answer[int(self.first[s]) : int(self.first[s + 1])] > 0.5
            cell = cells[s] = int(said.argmax()) if said.any() else len(slot) - 1
            found[list(slot.columns)] = slot.values[cell]
            j = slot.columns[0]
            if j in self.sought and not slot.missing[cell]:
                step = float(self.steps[j])
                number = float(answer[self.sought[j]])
                number = _on(number, step) if step else number
                found[j] = min(max(number, slot.low[cell]), slot.high[cell])
        return found, cells

    def reached(self, cells: Array) -> Array:
        """The leaf of every tree where each slot is in a cell: `(trees,)`."""
        held = self.leaves.held
        return np.array([i for i, limits in enumerate(held) if all(mask[cells[s]] for s, mask in limits.items())])

    def apart(self, leaves: Array) -> Sum:
        """The row that forbids leaves together."""
        return Sum(dict.fromkeys((self.binaries + leaves).tolist(), 1.0), 1.0 - len(leaves))

    def elsewhere(self, slots: Iterable[int], cells: Array) -> Sum:
        """The row that forbids cells of some slots together."""
        chosen, found = list(slots), Sum({}, 1.0)
        for s in chosen:
            held = np.arange(len(self.slots[s])) == cells[s]
            found = found.plus(self.over(s, held.astype(float))).plus(Sum({}, -1.0))
        return found


def _on(places: float, step: float) -> float:
    """A multiple of a step as `Feature.stepped` has it."""
    parts = round(1 / step) if step < 1 else 0
    return round(places) / parts if parts and 1 / parts == step else round(places) * step


def _sets(masks: Iterable[Array]) -> list[Array]:
    """Different sets of cells, with what lies up to the end of each and from its beginning on; not all cells."""
    found: dict[bytes, Array] = {}
    for mask in masks:
        at, order = np.flatnonzero(mask), np.arange(len(mask))
        for one in (mask, order <= at[-1], order >= at[0]):
            if not one.all():
                found[one.tobytes()] = one
    return list(found.values())


def matrix(rows: Sequence[Sum], width: int) -> tuple[Any, Array]:
    """Rows `A z <= b`."""
    from scipy.sparse import csr_array

    start = np.cumsum([0, *(len(one.terms) for one in rows)])
    column = np.array([place for one in rows for place in one.terms], np.int64)
    value = np.array([factor for one in rows for factor in one.terms.values()], float)
    return csr_array((value, column, start), shape=(len(rows), width)), np.array([-one.number for one in rows])
