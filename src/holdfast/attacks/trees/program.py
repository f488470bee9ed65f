"""The nearest other decision in L0, L1 and L2 as a mixed integer program, Kantchelian, Tygar and Joseph, ICML 2016.

A binary p[f, c] says whether feature f is at most c, for every place c where some tree is cut; they are in order. They
name the cell of each feature, so a sum over features of what the nearest value of a cell costs is linear in them: |d|,
d^2 or d != 0, and no quadratic program is needed (arXiv:1509.07892). A share l[r] of each region (the box of a leaf)
adds to one in every tree; the regions of a tree that end at c or before weigh at most p[f, c], those that start after c
at most 1 - p[f, c]. What the shares add to the lead of the other class must reach zero, the rounding of sums allowed
for. The model itself is asked at the optimum; where it does not agree, those regions are forbidden together.
"""

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
POWERS = {"l0": 0, "l1": 1, "l2": 2}
SCALE = 1000.0  # what the nearest witness known costs: the solver's tolerances are absolute
GAP = 1e-6  # of the distance, to which an optimum is trusted: the solver's absolute gap at this scale is a thousandth
OPTIMAL, INFEASIBLE = 0, 2  # how scipy says it; everything else is a search that ended early
REFUSED = 100  # optima that the model may take back before a class is given up


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Boxes:
    """The regions of all trees around one row, as `regions` makes them, and the row."""

    point: Array
    low: Array
    high: Array
    tree_of: Array
    start: Array
    limit_of: Array
    lows: Array
    highs: Array

    def region_of(self) -> Array:
        """The region that each limit belongs to."""
        return np.repeat(np.arange(len(self.tree_of)), np.diff(self.start))

    def holding(self, point: Array) -> Array:
        """The regions that a point lies in, `(trees,)`."""
        value = point[self.limit_of]
        out = (value < self.lows) | (value > self.highs)
        return np.flatnonzero(np.bincount(self.region_of()[out], minlength=len(self.tree_of)) == 0)


def cost(change: Array, norm: str) -> Array:
    """What changes cost, to be added up over features: |d|, d^2 or d != 0."""
    return np.abs(change) ** POWERS[norm] if POWERS[norm] else (change != 0).astype(float)


def length(paid: float, norm: str) -> float:
    """The distance that costs so much."""
    return float(np.sqrt(paid)) if norm == "l2" else float(paid)


def shrunk(ask: Callable[[Array], int], row: Array, witness: Array, label: int) -> Array:
    """A witness with every change taken back that another decision does not need, the smallest ones first."""
    found = witness.copy()
    changed = np.flatnonzero((found != row) & ~np.isnan(row))
    for f in changed[np.argsort(np.abs(found - row)[changed], kind="stable")]:
        tried = found.copy()
        tried[f] = row[f]
        if ask(tried) != label:
            found = tried
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """The program of one row without its lead: a column for each cut and then for each region.

    Args:
        boxes: The regions.
        feature, cut: Of the cuts, ordered, `(cuts,)`.
        value: The nearest value of every cell to the row, a feature after another, `(cuts + features cut,)`.
        first: Where the cells of each cut's feature start, less the place of its first cut: cell i is left of cut i.
        weight: What each cell costs.
        norm, kind: "l0", "l1" or "l2"; the type of the inputs.
    """

    boxes: Boxes
    feature: Array
    cut: Array
    value: Array
    first: Array
    weight: Array
    norm: str
    kind: str

    @classmethod
    def of(cls, boxes: Boxes, norm: str, kind: str) -> "Program":
        """Cut where a region begins or ends."""
        f = boxes.limit_of
        ends, begins = boxes.highs < boxes.high[f], boxes.lows > boxes.low[f]
        before = _before(boxes.lows[begins], kind)
        pairs = np.unique(
            np.stack([np.concatenate([f[ends], f[begins]]), np.concatenate([boxes.highs[ends], before])], 1), axis=0
        )
        feature, cut = pairs[:, 0].astype(np.int64), pairs[:, 1]
        rank = np.unique(feature, return_inverse=True)[1] if len(feature) else feature
        first = np.arange(len(feature)) + rank  # the cell left of each cut; the next one is right of it
        count = len(feature) + (rank[-1] + 1 if len(rank) else 0)
        lowest, highest, owner = np.empty(count), np.empty(count), np.empty(count, np.int64)
        owner[first], owner[first + 1] = feature, feature
        lowest[:], highest[:] = boxes.low[owner], boxes.high[owner]
        highest[first] = cut
        lowest[first + 1] = -_before(-cut, kind)
        value = np.clip(boxes.point[owner], lowest, highest)
        return cls(boxes, feature, cut, value, first, cost(value - boxes.point[owner], norm), norm, kind)

    def objective(self, limit: float) -> tuple[Array, float]:
        """What each cut's answer adds, and what is paid where all say no; cells beyond the limit cost twice it."""
        weight = np.minimum(self.weight, 2 * limit)
        last = np.append(self.feature[1:] != self.feature[:-1], True) if len(self.feature) else np.zeros(0, bool)
        return weight[self.first] - weight[self.first + 1], float(weight[self.first + 1][last].sum())

    def point(self, answers: Array) -> Array:
        """The nearest point to the row in the cells that the cuts' answers name."""
        found = self.boxes.point.copy()
        for i in range(len(self.feature)):
            starts = i == 0 or self.feature[i - 1] != self.feature[i]
            if starts:
                found[self.feature[i]] = self.value[self.first[i]]
            if answers[i] < 0.5:
                found[self.feature[i]] = self.value[self.first[i] + 1]
        return found

    def rows(self, alive: Array) -> tuple[Any, Array]:
        """The rows `A z <= b` that bind cuts and regions together, of the regions that are alive."""
        boxes, cuts = self.boxes, len(self.feature)
        index = {pair: i for i, pair in enumerate(zip(self.feature.tolist(), self.cut.tolist(), strict=True))}
        first = [i for i in range(cuts - 1) if self.feature[i] == self.feature[i + 1]]
        made: list[tuple[list[int], list[float], float]] = [([i, i + 1], [1.0, -1.0], 0.0) for i in first]
        groups: dict[tuple[int, int], tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}
        before = _before(boxes.lows, self.kind)
        for at, region in enumerate(boxes.region_of().tolist()):
            if alive[region]:
                f = int(boxes.limit_of[at])
                ends, begins = groups.setdefault((int(boxes.tree_of[region]), f), ([], []))
                if boxes.highs[at] < boxes.high[f]:
                    ends.append((index[f, float(boxes.highs[at])], region))
                if boxes.lows[at] > boxes.low[f]:
                    begins.append((index[f, float(before[at])], region))
        for ends, begins in groups.values():
            for c in {i for i, _ in ends}:
                held = [cuts + region for i, region in ends if i <= c]
                made.append(([*held, c], [1.0] * len(held) + [-1.0], 0.0))
            for c in {i for i, _ in begins}:
                held = [cuts + region for i, region in begins if i >= c]
                made.append(([*held, c], [1.0] * len(held) + [1.0], 1.0))
        return _matrix(made, cuts + len(boxes.tree_of)), np.array([one[2] for one in made])


def _matrix(rows: list[tuple[list[int], list[float], float]], columns: int) -> Any:
    from scipy.sparse import csr_array

    start = np.cumsum([0, *(len(one[0]) for one in rows)])
    column = np.concatenate([np.zeros(0, np.int64), *(np.asarray(one[0], np.int64) for one in rows)])
    value = np.concatenate([np.zeros(0), *(np.asarray(one[1]) for one in rows)])
    return csr_array((value, column, start), shape=(len(rows), columns))


def _before(value: Array, kind: str) -> Array:
    """The float before, of the type of the inputs."""
    found: Array = np.nextafter(value.astype(kind), np.dtype(kind).type(-np.inf)).astype(np.float64)
    return found


@dataclasses.dataclass(kw_only=True)
class Found:
    """What is known so far: the cheapest witness and what it costs, what no other one undercuts, boxes looked at."""

    witness: Array
    paid: float
    lower: float
    boxes: int = 0


def cheapest(
    program: Program,
    found: Found,
    lead: tuple[Array, float],
    ask: Callable[[Array], int],
    label: int,
    budget: int,
    until: float = np.inf,
) -> None:
    """Lower what is paid to the cheapest point with one other decision; `found.lower` is what is proven of it.

    Args:
        program: The row's cells and regions.
        found: A witness or a limit to begin with; changed in place.
        lead: What each region adds to the other class's lead, and the sum from which on it may decide.
        ask: A row -> the model's own class.
        label: The class to leave.
        budget: Boxes that the solver may look at.
        until: When it must end, by the monotonic clock.
    """
    from scipy.optimize import Bounds, LinearConstraint

    boxes, cuts, base = program.boxes, len(program.feature), program.objective(found.paid)[1]
    price, scale, alive, fixed = _constraints(program, found, lead)
    top = np.concatenate([np.ones(cuts), alive.astype(float)])
    forbidden: list[tuple[list[int], list[float], float]] = []
    for _ in range(REFUSED):
        left = until - time.monotonic()
        if left <= 0:
            return
        clock = {"time_limit": left} if np.isfinite(left) else {}
        rest = [LinearConstraint(_matrix(forbidden, len(price)), -np.inf, [one[2] for one in forbidden])]
        made = solved(
            c=price * scale, integrality=np.arange(len(price)) < cuts, bounds=Bounds(0, top),
            constraints=fixed + (rest if forbidden else []),
            options={"node_limit": max(budget - found.boxes, 1), "mip_rel_gap": 0.0, **clock},
        )  # fmt: skip
        # a relative gap would be one of a sum that lacks `base` and may be far larger than the distance
        found.boxes += int(made.mip_node_count or 0)
        if made.status == INFEASIBLE:  # nothing that is cheaper
            found.lower = found.paid
            return
        if made.mip_dual_bound is not None and np.isfinite(found.paid):
            found.lower = min(found.paid, max(found.lower, made.mip_dual_bound / scale + base - GAP * found.paid))
        if made.x is None:
            return
        point = program.point(made.x[:cuts])
        if ask(point) != label:
            paid = float(cost(np.nan_to_num(point - boxes.point), program.norm).sum())
            if paid <= found.paid:
                found.paid, found.witness = paid, point
            found.lower = found.paid if made.status == OPTIMAL else min(found.lower, found.paid)
            return
        if made.status != OPTIMAL:
            return
        held = boxes.holding(point)
        forbidden.append(([*(cuts + held)], [1.0] * len(held), len(held) - 1.0))


def solved(**asked: Any) -> Any:
    """What HiGHS says, asked in a thread: Ctrl-C ends the wait, which the solver itself would not hear."""
    from scipy.optimize import milp

    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(milp(**asked))
        except BaseException as error:  # noqa: BLE001 - handed on to who waits
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer.result()


def _constraints(program: Program, found: Found, lead: tuple[Array, float]) -> tuple[Array, float, Array, list[Any]]:
    """Prices of the columns, their scale, the regions near enough, and what binds the columns."""
    from scipy.optimize import LinearConstraint

    boxes, cuts, (gains, least) = program.boxes, len(program.feature), lead
    own, limited = boxes.region_of(), boxes.point[boxes.limit_of]
    away = np.bincount(own, cost(np.clip(limited, boxes.lows, boxes.highs) - limited, program.norm), len(gains))
    alive = away <= found.paid * (1 + GAP)
    per, base = program.objective(found.paid)
    price, gain = np.concatenate([per, np.zeros(len(gains))]), np.concatenate([np.zeros(cuts), gains])
    scale = SCALE / found.paid if 0 < found.paid < np.inf else 1.0
    unit = float(np.abs(gains).max()) or 1.0
    bound, rest = program.rows(alive)
    each = [np.flatnonzero(boxes.tree_of == tree) for tree in np.unique(boxes.tree_of)]
    one = _matrix([([*(cuts + held)], [1.0] * len(held), 1.0) for held in each], len(price))
    return (
        price,
        scale,
        alive,
        [
            LinearConstraint(bound, -np.inf, rest),
            LinearConstraint(one, 1.0, 1.0),
            LinearConstraint(gain[None] / unit, least / unit, np.inf),
            LinearConstraint(price[None] * scale, -np.inf, (found.paid - base) * scale + GAP),
        ],
    )
