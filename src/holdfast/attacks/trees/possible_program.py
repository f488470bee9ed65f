"""The nearest possible row of a table with another decision, as a mixed integer program.

As in `program` (Kantchelian, Tygar and Joseph, ICML 2016), with cells of columns and one-hot groups in the place of
cuts, so that the schema is part of it: steps, ranges, directions and what must not change leave cells away, a group is
in exactly one, a missing value is one more, and relations are rows (`relations`). L0, L1 and L2 are sums, which the
program makes least. Linf is the largest change, of which such a program would learn little from fractions of cells: it
is the least of the distances that cells have at which the cells up to there hold a row, found by halving.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.attacks.trees.cells import MEASURES, POWERS, Leaves, leaves_of, slots_of
from holdfast.attacks.trees.field import Field, gains_of, least
from holdfast.attacks.trees.program import GAP, INFEASIBLE, OPTIMAL, REFUSED, SCALE, Found, solved
from holdfast.attacks.trees.relations import Rule, parts, related, rows_of, slots_in
from holdfast.attacks.trees.sheet import Sheet, Sum, matrix
from holdfast.threats.tables.checking import holds
from holdfast.threats.tables.schema import Schema

Array = NDArray[Any]
NEAR = 0.01
"""Of a limit: what is cheaper is looked for again in its own units, as the solver's tolerances are absolute."""


INWARD = 2e-6
"""In the units of the largest factor of a row: more than the solver's tolerance."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Possibles:
    """The possible rows around one row.

    Args:
        schema: What they may be.
        row: Codes `(features,)`.
        label: The class to leave.
        norm: "l0", "l1", "l2" or "linf".
        ask: A row -> the model's own class.
    """

    schema: Schema
    row: Array
    label: int
    norm: str
    ask: Callable[[Array], int]

    def possible(self, point: Array) -> bool:
        """Whether the schema lets the row become this one."""
        return bool(self.schema.validate(point[None], self.row[None]).valid)

    def other(self, point: Array) -> bool:
        """Whether it may become this one, and the model itself decides otherwise there."""
        return self.possible(point) and self.ask(point) != self.label

    def paid(self, point: Array) -> float:
        """What the changes add up to: their distance, in L2 its square."""
        there, here = torch.from_numpy(point[None]), torch.from_numpy(self.row[None])
        return float(self.schema.ruler.distance(there, here, MEASURES[self.norm])) ** max(POWERS[self.norm], 1)

    def search(self, field: Field, best: Found, budget: int, seconds: float) -> None:
        """Lower what is paid to the cheapest possible row with another decision.

        Args:
            field: The trees.
            best: What is known, nothing cheaper than `lower`; changed in place.
            budget: Nodes of the solver.
            seconds: By the clock.

        Raises:
            ThreatError: HF303 for what no program holds.
        """
        until = time.monotonic() + seconds
        slots = slots_of(self.schema, field, self.row, self.norm, related(self.schema))
        leaves = leaves_of(field, slots, self.row)
        ranges = self.schema.ranges
        sheet = Sheet(slots, leaves, self.row, ranges.step.numpy(), self.schema.scales.numpy(), self.norm)
        rows = rows_of(self.schema, sheet, self.norm)
        gains, offset, slack = gains_of(field, leaves.leaf_of, self.label)
        bounds, cheapest = [], self._nearest if self.norm == "linf" else self._cheapest
        for other in np.argsort(-offset, kind="stable").tolist():
            if other != self.label:
                lead = least(
                    field, gains[other], float(offset[other]), float(slack[:, other].sum()), other > self.label
                )
                bounds.append(cheapest(sheet, rows, (gains[other], lead), best, budget, until))
        best.lower = min(best.paid, *bounds)

    def _cheapest(
        self, sheet: Sheet, rows: list[Sum], lead: tuple[Array, float], best: Found, budget: int, until: float
    ) -> float:
        """The same for one other decision: a bound from below of what is paid for it."""
        lower, rows, held = 0.0, list(rows), True
        for turn in range(REFUSED):
            left, limit, price = until - time.monotonic(), best.paid, sheet.price(best.paid)
            if left <= 0 or (turn and best.boxes >= budget):
                return lower
            scale, alive = _unit(limit), _away(sheet) <= limit * (1 + GAP)
            made = solved(**_asked(sheet, rows, price, lead, alive, limit, budget - best.boxes, left))
            best.boxes += int(made.mip_node_count or 0)
            if made.status == INFEASIBLE:  # nothing that is cheaper
                return max(lower, limit) if held else lower
            if made.mip_dual_bound is not None and held:
                slack = GAP * (limit if np.isfinite(limit) else max(map(abs, price.terms.values()), default=1.0))
                lower = min(max(lower, made.mip_dual_bound / scale + price.number - slack), limit)
            if made.x is None:
                return lower
            paid, held = self._answered(sheet, rows, made, best, held)
            if paid is None:
                return lower
            if paid == np.inf:
                continue
            if made.status == OPTIMAL and NEAR * limit <= paid <= lower + 2 * GAP * limit < np.inf:
                return paid
            if np.isfinite(limit) and paid >= limit * (1 - GAP):
                return min(lower, paid)
        return lower

    def _nearest(
        self, sheet: Sheet, rows: list[Sum], lead: tuple[Array, float], best: Found, budget: int, until: float
    ) -> float:
        """The same in Linf: which is the first of the distances of cells at which the cells up to there hold a row.

        Numbers that are sought inside cells lie between two of these distances, and a program makes their change least.
        """
        ends, lower = np.unique(np.concatenate([slot.paid for slot in sheet.slots])), best.lower
        rows, held, tried, turn, refused = list(rows), True, set[int](), 0, 0
        while refused < REFUSED and (k := _reach(ends, lower, best.paid, tried, sheet, turn)) is not None:
            left, limit = until - time.monotonic(), best.paid
            if left <= 0 or (turn and best.boxes >= budget):
                return lower
            turn, beyond = turn + 1, min([limit, *ends[k + 1 : k + 2].tolist()])
            alive, dear = _within(sheet, ends[k])
            if _most(sheet.leaves, lead[0], alive) < lead[1]:
                lower = beyond
                continue
            made = solved(**_asked(sheet, rows + dear, sheet.farther, lead, alive, limit, budget - best.boxes, left))
            best.boxes += int(made.mip_node_count or 0)
            if made.status == INFEASIBLE:
                if not held:
                    return lower
                lower = beyond
                continue
            if sheet.sought and held and made.mip_dual_bound is not None:
                shortest = made.mip_dual_bound / _unit(limit) - GAP * (limit if np.isfinite(limit) else 1.0)
                lower = max(lower, min(shortest, beyond)) if shortest > ends[k] else lower
            if made.x is None:
                return lower
            paid, held = self._answered(sheet, rows, made, best, held)
            if paid is None:
                return lower
            if paid == np.inf:
                refused += 1
            elif not sheet.sought and paid > ends[k] * (1 + 1e-9):  # a farther row than was asked for
                return lower
            elif not sheet.sought or paid * 1.5 >= limit:  # else once more, in its own units
                tried.add(k)
        exact = not sheet.sought or best.paid <= lower * (1 + 2 * GAP)
        return best.paid if exact and refused < REFUSED else lower

    def _answered(self, sheet: Sheet, rows: list[Sum], made: Any, best: Found, held: bool) -> tuple[float | None, bool]:
        """What an answer costs, and whether what is proven after it still holds.

        Infinite where it is no row with another decision, and was forbidden; None where nothing can be done about that.
        """
        point, cells = sheet.point(made.x)
        paid = self._taken(point, best)
        if paid is not None:
            return paid, held
        mended = self._taken(self._mended(point), best)  # dearer than what others may cost, if cells are to blame
        if made.status == OPTIMAL and self._cut(sheet, rows, point, cells):
            return np.inf, held
        if mended is not None or made.status != OPTIMAL or not (held and _inward(sheet, rows)):
            return mended, held
        return np.inf, held and not self._sought(sheet, point)

    def _taken(self, point: Array, best: Found) -> float | None:
        """What a row costs, noted where nothing known is cheaper; None where it is none with another decision."""
        if not self.other(point):
            return None
        paid = self.paid(point)
        if paid <= best.paid:
            best.paid, best.witness = paid, point
        return paid

    def _mended(self, point: Array) -> Array:
        """What the schema makes possible of a point that misses a relation by the solver's tolerance."""
        found: Array = self.schema.repair(point[None], self.row[None]).rows[0].numpy()
        return found

    def _broken(self, point: Array) -> list[Rule]:
        there = torch.from_numpy(point[None])
        return [rule for rule in parts(self.schema) if not bool(holds(self.schema, rule, there))]

    def _sought(self, sheet: Sheet, point: Array) -> bool:
        """Whether a relation that is broken speaks of a number that is sought inside its cell."""
        return any(sheet.slots[s].moves for rule in self._broken(point) for s in slots_in(self.schema, sheet, rule))

    def _cut(self, sheet: Sheet, rows: list[Sum], point: Array, cells: Array) -> bool:
        """Forbid what an optimum did wrong; whether it could be told by cells."""
        if self.possible(point):
            rows.append(sheet.apart(sheet.reached(cells)))
            return True
        broken = self._broken(point)
        if not broken or self._sought(sheet, point):
            return False
        rows += [sheet.elsewhere(slots_in(self.schema, sheet, rule), cells) for rule in broken]
        return True


def _inward(sheet: Sheet, rows: list[Sum]) -> bool:
    """Keep numbers that are sought off the ends of their relations, by more than the solver's tolerance.

    What is found then is a witness, and what is proven no bound.
    """
    sought = set(sheet.sought.values())
    for k, one in enumerate(rows):
        if sought & set(one.terms):
            rows[k] = Sum(one.terms, one.number + INWARD)
    return bool(sought)


def _unit(limit: float) -> float:
    """What a price is multiplied by for the solver."""
    return SCALE / limit if 0 < limit < np.inf else 1.0


def _away(sheet: Sheet) -> Array:
    """What is paid to reach each leaf, at least."""
    return np.array(
        [sum(float(sheet.slots[s].paid[mask].min()) for s, mask in limits.items()) for limits in sheet.leaves.held]
    )


def _reach(ends: Array, lower: float, upper: float, tried: set[int], sheet: Sheet, turn: int) -> int | None:
    """Which distance of cells to ask next, of those that may be the least; None where there is none."""
    first = int(np.searchsorted(ends, lower))
    if sheet.sought and (first == len(ends) or ends[first] > lower):  # what is sought may be farther than its cells
        first = max(first - 1, 0)
    may = [k for k in range(first, int(np.searchsorted(ends, upper))) if k not in tried]
    if not may or lower >= upper:
        return None
    if np.isinf(upper):  # far cells are many
        return may[min(1 << turn, len(may)) - 1]
    return may[len(may) // 2] if turn else may[-1]


def _within(sheet: Sheet, end: float) -> tuple[Array, list[Sum]]:
    """Which leaves are reached by cells up to a distance, `(leaves,)`, and the rows that forbid the other cells."""
    near = [slot.paid <= end for slot in sheet.slots]
    alive = np.array([all((mask & near[s]).any() for s, mask in limits.items()) for limits in sheet.leaves.held])
    return alive, [sheet.over(s, (~one).astype(float)) for s, one in enumerate(near) if not one.all()]


def _most(leaves: Leaves, gains: Array, alive: Array) -> float:
    """What the leaves that are reached add to a lead, at most: the best of every tree."""
    most = np.full(int(leaves.tree_of.max()) + 1, -np.inf)
    np.maximum.at(most, leaves.tree_of[alive], gains[alive])
    return float(most.sum())


def _asked(
    sheet: Sheet, rows: list[Sum], paid: Sum, lead: tuple[Array, float], alive: Array, limit: float, budget: int,
    left: float,
) -> dict[str, Any]:  # fmt: skip
    """What the solver is asked: the cheapest cells whose leaves, of those alive, lead; none dearer than the limit."""
    from scipy.optimize import Bounds, LinearConstraint

    (gains, wanted), scale = lead, _unit(limit)
    top, price = sheet.highest.copy(), np.zeros(sheet.width)
    top[sheet.binaries : sheet.binaries + len(gains)] = alive
    price[list(paid.terms)] = list(paid.terms.values())
    unit, gain = float(np.abs(gains).max()) or 1.0, np.zeros(sheet.width)
    gain[sheet.binaries : sheet.binaries + len(gains)] = gains / unit
    constraints = [
        LinearConstraint(sheet.bound[0], -np.inf, sheet.bound[1]),
        LinearConstraint(sheet.whole_trees, 1.0, 1.0),
        LinearConstraint(gain[None], wanted / unit, np.inf),
    ]
    if rows:
        more, most = matrix(rows, sheet.width)
        constraints.append(LinearConstraint(more, -np.inf, most))
    if np.isfinite(limit) and paid.terms:
        dearest = (limit - paid.number) * scale + GAP
        constraints.append(LinearConstraint(price[None] * scale, -np.inf, dearest))
    return {
        "c": price * scale,
        "integrality": sheet.whole,
        "bounds": Bounds(sheet.lowest, top),
        "constraints": constraints,
        "options": {
            "node_limit": max(budget, 1), "mip_rel_gap": 0.0, **({"time_limit": left} if np.isfinite(left) else {})
        },
    }  # fmt: skip
