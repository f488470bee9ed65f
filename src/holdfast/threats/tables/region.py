"""What rows of a table may become: the possible rows within each limit. Inside is inside, up to rounding of a sum."""

import functools
import math
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from holdfast.core.errors import ThreatError
from holdfast.geometry.draw import Draw
from holdfast.geometry.rows import pick
from holdfast.threats.regions import ALL, Region
from holdfast.threats.tables.measuring import Measure, Ruler

if TYPE_CHECKING:
    from holdfast.threats.tables.schema import Schema

ROUNDING = 1e-9
"""Relative: what the rounding of decimals and of sums may add to a distance."""

HALVINGS = 6
"""How often `project` halves a change before it gives it up."""

CLOSER = 1 - 1e-12
"""What `project` aims at, as a share of a limit."""


def table(region: Region) -> "TableRegion":
    """The region, which an attack on tables is about to search.

    Raises:
        ThreatError: HF303 where it is no table's.
    """
    if isinstance(region, TableRegion):
        return region
    raise ThreatError("HF303", "This attack is written for tables", seen=type(region).__name__)


class TableRegion(Region):
    """The rows that a schema allows to be made from each original, within all limits.

    The original itself is inside, also where it breaks its schema. `project` is no nearest point: what a schema allows
    is not convex. It repairs, gives up what exceeds a limit, and ends at the original where nothing else is left.

    Args:
        x0: The originals, float64 codes `(batch, features)`.
        radius: Of the first limit, `(batch,)`.
        low, high: Least and greatest codes, expanded to `x0`.
        schema: What is possible.
        limits: Measures with their limits; the first one is `radius`, whatever stands here.
    """

    p = math.nan

    def __init__(
        self,
        x0: Tensor,
        radius: Tensor,
        low: Tensor,
        high: Tensor,
        *,
        schema: "Schema",
        limits: tuple[tuple[Measure, float], ...],
    ):
        super().__init__(x0, radius, low, high)
        self.schema, self.limits = schema, limits

    def nearer(self, radius: Tensor) -> "TableRegion":
        """The same with another first limit, `(batch,)`."""
        return TableRegion(self.x0, radius, self.low, self.high, schema=self.schema, limits=self.limits)

    def of(self, rows: Tensor) -> Self:
        """The region around the originals of `rows`, which may stand there more than once."""
        low, high = self.low[rows], self.high[rows]
        return type(self)(self.x0[rows], self.radius[rows], low, high, schema=self.schema, limits=self.limits)

    @property
    def ruler(self) -> Ruler:
        """How changes are counted."""
        return self.schema.ruler

    @functools.cached_property
    def movable(self) -> Tensor:
        """Slots that an attacker may change: `(slots,)`."""
        return torch.tensor([not self.schema.features[slot[0]].immutable for slot in self.ruler.slots])

    def limit(self, place: int, rows: Tensor | slice = ALL) -> Tensor:
        """A limit for each of `rows`: `(batch,)`."""
        return self.radius[rows] if place == 0 else torch.full_like(self.radius[rows], self.limits[place][1])

    def distance(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """From the originals of `rows`, in the leading measure: `(batch,)`, float64."""
        return self.ruler.distance(x, self.x0[rows], self.limits[0][0])

    def within(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """Whether each `x` keeps all limits of `rows`, possible or not: `(batch,)`."""
        x0, found = self.x0[rows], torch.ones(len(x), dtype=torch.bool)
        for place, (measure, _) in enumerate(self.limits):
            found &= self.ruler.distance(x, x0, measure) <= self.limit(place, rows) * (1 + ROUNDING)
        return found

    def contains(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """Whether each `x` is a possible row within all limits, or the original: `(batch,)`."""
        x0 = self.x0[rows]
        same = ((x == x0) | (x.isnan() & x0.isnan())).all(1)
        return same | (self.schema.validate(x, x0).valid & self.within(x, rows))

    def room(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """How far each slot may be from the original while the others stay as they are in `x`: `(batch, slots)`.

        In standardized units; 0 where it must not change.
        """
        x0 = self.x0[rows]
        changes = self.ruler.changes(x, x0)
        costs = self.ruler.costs_of(changes, x, x0)
        free = torch.full_like(changes, math.inf)
        for place, (measure, _) in enumerate(self.limits):
            most = self.limit(place, rows)[:, None]
            if measure == "features":
                others = (changes > 0).double().sum(1, keepdim=True) - (changes > 0).double()
                left = torch.where(others + 1 <= most, math.inf, 0.0)
            elif measure == "cost":
                left = (most - (costs.sum(1, keepdim=True) - costs)).clamp(min=0) / self.ruler.price
                left = left.nan_to_num(math.inf)
            elif measure == "l2":
                squares = changes.square()
                left = (most.square() - (squares.sum(1, keepdim=True) - squares)).clamp(min=0).sqrt()
            elif measure == "l1":
                left = (most - (changes.sum(1, keepdim=True) - changes)).clamp(min=0)
            else:
                left = most.expand_as(changes)
            free = torch.minimum(free, left)
        return torch.where(self.movable, free, 0.0)

    def project(self, x: Tensor) -> Tensor:
        """A row of the region near `x`: `(batch, features)`; `x` itself where it is one."""
        inside = self.contains(x)
        found = pick(inside, x, self.schema.repair(x, self.x0).rows)
        share = torch.ones(len(x), dtype=torch.float64)
        for _ in range(HALVINGS):
            inside = self.contains(found)
            if bool(inside.all()):
                return found
            tried = self.schema.repair(self._nearer(found, share), self.x0).rows
            found, share = pick(inside, found, tried), share / 2
        return pick(self.contains(found), found, self.x0)

    def _nearer(self, x: Tensor, share: Tensor) -> Tensor:
        """The rows with their largest changes first, each cut to what the ones before it leave: `(batch, features)`."""
        changes = self.ruler.changes(x, self.x0)
        order = changes.argsort(dim=1, descending=True, stable=True)
        y = self.x0.clone()
        for slot in order.T:
            wanted = changes.gather(1, slot[:, None])[:, 0]
            if not bool((wanted > 0).any()):
                break
            room = self.room(y).gather(1, slot[:, None])[:, 0] * share * CLOSER
            y = self._moved(y, x, slot, torch.where(wanted > 0, room / wanted, 0.0).clamp(max=1)[:, None])
        return y

    def _moved(self, y: Tensor, x: Tensor, slot: Tensor, cut: Tensor) -> Tensor:
        """`y` with a slot of each row as in `x`, or a share `(batch, 1)` of the way where there is one."""
        ruler, ranges, x0 = self.ruler, self.schema.ranges, self.x0
        part = x0 + cut * (x - x0)
        stepped = torch.where(
            x > x0, torch.maximum(ranges.stepped(part, -1), x0), torch.minimum(ranges.stepped(part, 1), x0)
        )
        part = torch.where(ruler.ordered[ruler.slot] & ~x0.isnan() & ~x.isnan(), stepped, x0)
        here = (ruler.slot == slot[:, None]) & (cut > 0)
        return torch.where(here, torch.where(cut >= 1, x, part), y)

    def sample(self, draw: Draw) -> Tensor:
        """A random row: random columns at random possible values, then projected: `(batch, features)`."""
        u = draw.uniform(3, self.x0.shape[1])
        low, high = self.low, self.high
        wide = low + (high - low) * u[:, 0]
        made = self.schema.ranges.snap(wide)
        for group in map(list, self.schema.groups):
            made[:, group] = torch.nn.functional.one_hot(u[:, 0, group].argmax(1), len(group)).double()
        first = self.ruler.columns
        order = torch.where(self.movable, u[:, 1, first], 2.0)
        most = int(self.movable.sum())
        count = 1 + (u[:, 2, 0] * most).long()
        for place, (measure, _) in enumerate(self.limits):
            if measure == "features":
                count = torch.minimum(count, self.limit(place).clamp(max=most).long())
        chosen = (order.argsort(1).argsort(1) < count[:, None]) & self.movable
        y = self.x0.clone()
        for k, slot in enumerate(self.ruler.slots):
            columns = list(slot)
            y[:, columns] = torch.where(chosen[:, k, None], made[:, columns], y[:, columns])
        return self.project(y)

    def steepest(self, g: Tensor, x: Tensor) -> Tensor:
        """The largest displacement inside the region along the sign of `g`, column by column: `(batch, features)`."""
        return self.project(torch.where(g > 0, self.high, torch.where(g < 0, self.low, x))) - x
