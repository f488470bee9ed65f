"""Where leaf tuples are walked over: the regions around each row of a batch, what changes cost, what is wanted."""

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.attacks.probe import Probe
from holdfast.attacks.trees import tuples
from holdfast.attacks.trees.field import AGREE, Field
from holdfast.attacks.trees.possible import Possible, stepped
from holdfast.threats.goals import Answer, overall
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.region import TableRegion

Array = NDArray[Any]
HALVINGS, DOWN, DEEP, FINE = 6, 1 / 8, 20, 30
"""A reach around a row: halvings of its logarithm, by how much it falls before, how often at most; halvings of the way
from a row to a random point."""

ROOM = 2**28
"""Bytes of boxes that are kept."""

NARROW = 1e-100
"""No room counts as less, so that a share of it is finite."""

LOOKED = 64
"""Neighbors whose rows are held against a schema at once, the nearest first."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Ground:
    """Leaf tuples around the rows of a batch.

    Args:
        field: The ensemble.
        rows: The originals, `(batch, features)`, in the type of the inputs.
        low, high: How far each feature may go, `(batch, features)`.
        fixed: What stays as it is, `(batch, features)`.
        grid: The columns of a table whose values are multiples of a step, by their place.
        prices: What changes cost, see `tuples.Prices`.
        wanted: Which decisions reach the goal, `(batch, classes)`.
        sums: Of each class around the decision, `(batch, classes)`.
        region: A table's, where not every point of a box is allowed; None where each is.
    """

    field: Field
    rows: Array
    low: Array
    high: Array
    fixed: Array
    grid: dict[int, Feature]
    prices: tuples.Prices
    wanted: Array
    sums: Array
    region: TableRegion | None
    kept: dict[bytes, tuple[Array, tuples.Boxes]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, probe: Probe) -> "Ground":
        """What a probe's rows may become."""
        x0, region = probe.x0, probe.region
        field, wanted = Field.of(probe.model, x0), _wanted(probe)
        reached = (overall(probe.clean[:, :, None]) < 0).cpu().numpy()[:, None]
        field.agree(x0, (wanted == reached) | (probe.last.suspicion is not None))
        rows = x0.cpu().numpy().reshape(len(x0), -1)
        fixed = np.stack([field.fixed(row) for row in rows])
        low, high = (np.broadcast_to(end, rows.shape) for end in (field.low, field.high))
        p, weight, flat, grid, table = region.p, np.ones(rows.shape[1]), np.zeros(rows.shape[1], bool), {}, None
        if isinstance(region, TableRegion):
            possible, ruler = Possible.of(region, field, rows), region.ruler
            low, high, fixed, flat, grid = possible.low, possible.high, possible.fixed, possible.flat, possible.grid
            measure = region.limits[0][0]
            p = {"features": 0.0, "l2": 2.0, "linf": math.inf}.get(measure, 1.0)
            weight = (ruler.costs if measure == "cost" else ruler.unit).numpy()
            sums = any(name != "linf" and limit < math.inf for name, limit in region.limits[1:])
            table = region if region.schema.rules or sums else None
        ties = {0.0: _each(field.told[1] - field.told[0], 1.0), math.inf: weight}.get(p, np.zeros(len(weight)))
        return cls(
            field=field, rows=rows, low=np.ascontiguousarray(low), high=np.ascontiguousarray(high), fixed=fixed,
            grid=grid, prices=(p, weight, flat, ties), wanted=wanted, sums=field.sums_of(rows), region=table,
        )  # fmt: skip

    def boxes(self, i: int) -> tuple[Array, tuples.Boxes]:
        """The leaves of all regions around a row and their boxes; kept, as most rows of a batch share theirs."""
        key = self.fixed[i].tobytes() + self.rows[i][self.fixed[i]].tobytes()
        key += self.low[i].tobytes() + self.high[i].tobytes()
        if key not in self.kept:
            found = self.field.within(self.rows[i], self.low[i], self.high[i], self.fixed[i])
            if sum(one.nbytes for _, each in self.kept.values() for one in each) > ROOM:
                self.kept.clear()
            self.kept[key] = self._stepped(*found)
        return self.kept[key]

    def _stepped(
        self, tree_of: Array, leaf_of: Array, start: Array, limit_of: Array, lows: Array, highs: Array
    ) -> tuple[Array, tuples.Boxes]:
        """Boxes that end at multiples of the steps, without those that hold none."""
        tree_of, leaf_of, start, *limits = stepped(self.grid, tree_of, leaf_of, start, limit_of, lows, highs)
        first = np.searchsorted(tree_of, np.arange(len(self.field.trees.roots) + 1)).astype(np.int64)
        return leaf_of, (start, limits[0], limits[1], limits[2], first)

    def aim(self, i: int, leaf_of: Array, strict: bool) -> tuples.Aim:
        """What the regions of a row add, and what is wanted of it; `strict` where a close lead will not do."""
        field, size = self.field, len(self.field.trees.roots) + 4
        base, rest = field.sums
        total = 2 * float((field.largest + np.abs(rest[3:] * rest[1] / rest[2])).max())
        slack = 2 * total * size * float(np.finfo(field.trees.precision).eps)
        margin = np.array([slack, AGREE * total if strict else -1.0])
        return field.values[leaf_of], base, rest, self.wanted[i], margin

    def snapped(self, x: Array, i: int) -> Array:
        """A point near a row that keeps what is fixed, the ends and the steps: `(features,)`."""
        for j, feature in self.grid.items():
            x[j] = feature.stepped(torch.tensor([x[j]], dtype=torch.float64)).item()
        x = np.clip(x.astype(self.rows.dtype), self.low[i], self.high[i]).astype(self.rows.dtype)
        found: Array = np.where(self.fixed[i], self.rows[i], x)
        return found

    def held(self, i: int, point: Array, strict: bool) -> Array | None:
        """The tuple of a point, where that reaches the goal."""
        leaf_of, boxes = self.boxes(i)
        found = tuples.holding(point.astype(float), boxes)
        return found if (found >= 0).all() and tuples.reaches(found, self.aim(i, leaf_of, strict)) else None

    def toward(self, i: int, point: Array, chosen: Array, strict: bool) -> Array:
        """The tuple at which a bisection of the way from a row to a point ends, `chosen` at the far end."""
        near, low, high = self.rows[i].astype(float), 0.0, 1.0
        far = np.where(self.fixed[i], near, point.astype(float))
        for _ in range(FINE):
            middle = (low + high) / 2
            found = self.held(i, self.snapped(near + middle * (far - near), i), strict)
            chosen, low, high = (chosen, middle, high) if found is None else (found, low, middle)
        return chosen

    def filled(self, i: int, order: Array, turn: int, strict: bool) -> Array | None:
        """A tuple put together from the leaves that speak most for another class, within a reach that is bisected.

        Args:
            i: The row.
            order: Of the trees.
            turn: Which of the wanted classes, the ones nearest to the decision first.
            strict: Whether a close lead will not do.
        """
        leaf_of, boxes = self.boxes(i)
        aim, values, own = self.aim(i, leaf_of, strict), self.field.values[leaf_of], int(self.sums[i].argmax())
        others = [k for k in np.argsort(-self.sums[i], kind="stable").tolist() if self.wanted[i, k] and k != own]
        if not others:
            return None
        other = others[turn % len(others)]
        gains = values[:, 0] * (2.0 * other - 1) if values.shape[1] == 1 else values[:, other] - values[:, own]
        unit, high = self._units(i)

        def tried(reach: float) -> Array | None:
            found = tuples.filled(order, gains, self.rows[i].astype(float), boxes, unit, reach)
            return found if (found >= 0).all() and tuples.reaches(found, aim) else None

        best = tried(high)
        if best is None:
            return None
        for _ in range(DEEP):  # ranges may be a million times what it takes
            found = tried(high * DOWN)
            if found is None:
                break
            best, high = found, high * DOWN
        low = high * DOWN
        for _ in range(HALVINGS):
            middle = math.sqrt(low * high)
            found = tried(middle)
            best, low, high = (best, middle, high) if found is None else (found, low, middle)
        return best

    def _units(self, i: int) -> tuple[Array, float]:
        """What a unit of each feature counts toward a reach, `(features,)`, and the reach that holds every point."""
        p, weight, flat, _ = self.prices
        low, high = self.ends(i)
        room = high - low
        unit = _each(room, 0.0) if p == 0.0 else np.where(flat, 0.0, weight)
        return unit, float((unit * room).max(initial=0.0)) or 1.0

    def ends(self, i: int) -> tuple[Array, Array]:
        """How far a row's features may go before no tree tells more, `(features,)` each; 0 for what stays.

        Finite, also where the bounds are infinite in the type of the inputs.
        """
        row, (least, greatest) = self.rows[i].astype(float), self.field.told
        low, high = self.low[i], self.high[i]
        if self.region is None:  # else relations may speak of columns that no tree tells
            low, high = np.maximum(low, np.fmin(row, least)), np.minimum(high, np.fmax(row, greatest))
        stays = self.fixed[i] | ~(np.isfinite(low) & np.isfinite(high))
        return np.where(stays, 0.0, low), np.where(stays, 0.0, high)

    def walked(self, starts: dict[int, Array], strict: bool) -> dict[int, Array]:
        """The points at the end of walks from some rows' tuples; `strict` takes no step on a close decision."""
        if self.region is not None:
            return self._checked(self.region, starts, strict)
        found = {}
        for i, start in starts.items():
            (leaf_of, boxes), chosen, row = self.boxes(i), start.copy(), self.rows[i].astype(float)
            aim, fewer = self.aim(i, leaf_of, strict), True
            while fewer:
                tuples.walk(row, boxes, aim, self.prices, chosen)
                fewer = self.prices[0] < math.inf and tuples.thinned(row, boxes, aim, self.prices, chosen)
            found[i] = self.point(i, chosen)
        return found

    def _checked(self, region: TableRegion, starts: dict[int, Array], strict: bool) -> dict[int, Array]:
        """The same where a schema or further limits have a say: to the nearest neighbor whose row is allowed.

        From a row that is not allowed to the nearest of those that are not either, where none is.
        """
        at, last = dict(starts), dict[int, Array]()
        ahead = {i: [chosen] for i, chosen in starts.items()}
        while ahead:
            points = {i: np.stack([self.point(i, one) for one in each]) for i, each in ahead.items()}
            whose = torch.tensor([i for i, each in ahead.items() for _ in each])
            said = region.contains(torch.from_numpy(np.concatenate(list(points.values()))), whose).numpy()
            ends = np.cumsum([len(each) for each in ahead.values()])[:-1]
            allowed = dict(zip(ahead, np.split(said, ends), strict=True))
            for i, each in list(ahead.items()):
                if allowed[i].any() or i not in last:
                    k = int(allowed[i].argmax())
                    at[i] = each[k]
                    if allowed[i][k]:
                        last[i] = points[i][k]
                    ahead[i] = self._ahead(i, at[i], strict)
                if not ahead[i] or not (allowed[i].any() or i not in last):
                    del ahead[i]
        for i in set(at) - set(last):
            rows = torch.tensor([i])
            last[i] = region.of(rows).project(torch.from_numpy(self.point(i, at[i]))[None])[0].numpy()
        return last

    def _ahead(self, i: int, chosen: Array, strict: bool) -> list[Array]:
        """What is nearer: tuples with a feature taken back, and then neighbors, the nearest first."""
        (leaf_of, boxes), row, point = self.boxes(i), self.rows[i].astype(float), self.point(i, chosen)
        aim, made = self.aim(i, leaf_of, strict), list[Array]()
        for f in np.flatnonzero((point != self.rows[i]) & ~self.fixed[i]) if self.prices[0] < math.inf else ():
            tried = point.astype(float)
            tried[f] = row[f]
            found = tuples.holding(tried, boxes)
            if (found >= 0).all() and tuples.reaches(found, aim):
                made.append(found)
        found = tuples.nearer(row, boxes, aim, self.prices, chosen)
        for region in found[np.lexsort((found[:, 2], found[:, 1]))[:LOOKED], 0].astype(np.int64).tolist():
            made.append(chosen.copy())
            made[-1][np.searchsorted(boxes[4], region, side="right") - 1] = region
        return made

    def point(self, i: int, chosen: Array) -> Array:
        """The nearest point of a tuple to its row: `(features,)`."""
        low, high = tuples.box(chosen, self.boxes(i)[1], self.rows.shape[1])
        row = self.rows[i].astype(float)
        found: Array = np.where((row < low) | (row > high), np.clip(row, low, high), row).astype(self.rows.dtype)
        return found


def _each(room: Array, none: float) -> Array:
    """What a unit is of each room, `none` where there is no room."""
    found: Array = np.where(room > 0, 1 / np.maximum(room, NARROW), none)
    return found


def _wanted(probe: Probe) -> Array:
    """Which decisions reach the goal of each row, `(batch, classes)`; what a detector says is asked of the model."""
    scores = torch.eye(probe.last.scores.shape[1], dtype=torch.float64)
    silent = None if probe.last.suspicion is None else -torch.ones(len(probe.x0), dtype=torch.float64)
    said = [overall(probe.goal.margins(Answer(one.expand(len(probe.x0), -1), silent))) < 0 for one in scores]
    return torch.stack(said, 1).cpu().numpy()
