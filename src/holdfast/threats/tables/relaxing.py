"""Changes of a row as real numbers, in the units in which a threat counts them: what gradients move before repair."""

import torch
from torch import Tensor

from holdfast.geometry.projections import l0_ball, l1_ball, l2_ball
from holdfast.threats.tables.genomes import Genomes
from holdfast.threats.tables.measuring import Measure
from holdfast.threats.tables.spread import Spread

HALF = 0.5
"""Share of the way to a level from which on the row has that level."""

FREE = 1e-6
"""What a change that costs nothing counts, so that it is no division by zero."""


class Relaxed:
    """Displacements from the originals, `(batch, width)`: numbers as they move, other levels as shares of a switch.

    One unit is one unit of the leading measure; in `features` the whole way to the farther end of a column.

    Args:
        pool: Originals, limits and reach.
        spread: How codes are spread out for gradients; None where levels have no gradients of their own.

    Attributes:
        low, high: Least and greatest displacement of each coordinate alone, `(batch, width)`.
    """

    def __init__(self, pool: Genomes, spread: Spread | None):
        self.pool, self.region, features = pool, pool.region, pool.region.schema.features
        self.spread = spread or Spread(((),) * len(features), (False,) * len(features))
        sizes = torch.tensor([place.stop - place.start for place in self.spread.places])
        self.column = torch.arange(len(features)).repeat_interleave(sizes)
        self.slot = pool.slot[self.column]
        few = torch.tensor([bool(values) for values in self.spread.values])
        grouped = torch.tensor([len(slot) > 1 for slot in self.region.ruler.slots])[pool.slot]
        self.levels = (few | grouped)[self.column]
        start = torch.zeros(len(self.column), dtype=torch.bool)
        start[self.spread.first] = True
        self.numbers = start & ~self.levels
        x0 = self.region.x0
        self.own = (self.spread.wide(x0) == 1) & self.levels
        self.scale = self.region.schema.scales[self.column]
        self.worth = self._worth(self.region.limits[0][0])
        self.low, self.high = (end * self.worth for end in self._reach())

    @property
    def least(self) -> Tensor:
        """How far each coordinate must go to change anything, if it is known: `(batch, width)`."""
        whole = torch.full_like(self.worth, self.region.limits[0][0] == "features")
        return torch.where(self.levels, self.worth, whole)

    def _reach(self) -> tuple[Tensor, Tensor]:
        """How far each coordinate may go by itself: `(batch, width)`, in standardized units or shares of a switch."""
        pool, x0 = self.pool, self.region.x0
        free = self.region.movable[self.slot]
        way = [(end - x0).nan_to_num(0.0, 0.0, 0.0)[:, self.column] / self.scale for end in (pool.low, pool.high)]
        zero = torch.zeros_like(way[0])
        may = free & self.levels & ~self.own & self._within()
        low = torch.where(self.numbers & free, way[0].clamp(max=0), zero)
        high = torch.where(self.numbers & free, way[1].clamp(min=0), torch.where(may, 1.0, zero))
        return low, high

    def _within(self) -> Tensor:
        """Which levels direction and limits allow by themselves: `(batch, width)`."""
        pool, found = self.pool, torch.ones((len(self.region.x0), len(self.column)), dtype=torch.bool)
        for j in self.spread.few:
            feature = self.region.schema.features[j]
            values = torch.tensor(self.spread.values[j], dtype=torch.float64)
            inside = (values >= pool.low[:, j, None]) & (values <= pool.high[:, j, None])
            gap = feature.missing and feature.direction == "both"
            found[:, self.spread.places[j]] = torch.where(values.isnan(), gap, inside)
        return found

    def _worth(self, measure: Measure) -> Tensor:
        """What one standardized unit, or a whole switch, counts: `(batch, width)`."""
        region, ruler = self.region, self.region.ruler
        far = torch.ones((len(region.x0), len(self.column)), dtype=torch.float64)
        for j in self.spread.few:
            feature, values = region.schema.features[j], torch.tensor(self.spread.values[j], dtype=torch.float64)
            away = (values - region.x0[:, j, None]).abs() if feature.ordered else torch.ones(len(values)).double()
            far[:, self.spread.places[j]] = (away / float(feature.scale or 1)).nan_to_num(1.0)
        if measure == "cost":
            far = far * ruler.price[self.slot]
        if measure == "features":
            low, high = self._reach()
            most = torch.maximum(high, -low)
            far = torch.where(self.numbers & (most > 0), 1 / torch.where(most > 0, most, 1.0), 1.0)
        return far.clamp(min=FREE)

    def lifted(self, g: Tensor) -> Tensor:
        """The gradient `(batch, width)` in these displacements: of a level what it brings above the original's."""
        held = torch.zeros((len(g), len(self.region.ruler.slots)), dtype=g.dtype)
        held = held.index_add(1, self.slot, torch.where(self.own, g, 0.0))[:, self.slot]
        found = torch.where(self.levels, g - held, g * self.scale) / self.worth
        return torch.where(self.low < self.high, found, 0.0)

    def rounded(self, s: Tensor, least: float = HALF) -> Tensor:
        """The displacements with each level's share from `least` on made a whole switch, the others none.

        Those with the largest shares come first, and what exceeds a sum or a number of columns waits, unless it has
        half of its way behind it. Of a column or group the level with the largest share.
        """
        share = torch.where(self.levels, s / self.worth, 0.0)
        first = (share == self._best(share)) & (share >= least)
        order = torch.where(first, share, 0.0).argsort(dim=1, descending=True, stable=True)
        paid = torch.where(first, self.worth, 0.0).gather(1, order).cumsum(1)
        paid = torch.zeros_like(paid).scatter(1, order, paid) + torch.where(self.numbers, s.abs(), 0.0).sum(1)[:, None]
        fits = paid <= self.region.radius[:, None]
        return torch.where(self.levels, torch.where(first & (fits | (share >= HALF)), self.worth, 0.0), s)

    def codes(self, s: Tensor) -> Tensor:
        """The rows, not yet possible ones, that the displacements stand for: `(batch, features)`."""
        z, x0 = s / self.worth, self.region.x0
        y = x0 + torch.where(self.numbers, z * self.scale, 0.0)[:, self.spread.first]
        for j in self.spread.few:
            part = z[:, self.spread.places[j]]
            values = torch.tensor(self.spread.values[j], dtype=torch.float64)
            y[:, j] = torch.where(part.amax(1) >= HALF, values[part.argmax(1)], x0[:, j])
        for columns in map(list, self.region.schema.groups):
            part = z[:, self.spread.first[columns]]
            made = torch.nn.functional.one_hot(part.argmax(1), len(columns)).double()
            y[:, columns] = torch.where(part.amax(1, keepdim=True) >= HALF, made, x0[:, columns])
        return y

    def _best(self, share: Tensor) -> Tensor:
        """The largest share in the column or group of each coordinate: `(batch, width)`."""
        at = self.slot.expand(len(share), -1)
        found = torch.zeros((len(share), len(self.region.ruler.slots)), dtype=share.dtype)
        return found.scatter_reduce(1, at, share, "amax").gather(1, at)

    def kept(self, s: Tensor) -> Tensor:
        """Displacements within each limit near these, one limit after the other: `(batch, width)`.

        Of the levels of a column or group the one with the largest share is kept.
        """
        share = torch.where(self.levels, s / self.worth, 0.0)
        s = torch.where(self.levels & (share < self._best(share)), 0.0, s)
        for place, (measure, _) in enumerate(self.region.limits):
            rate = torch.ones_like(s) if not place else self._worth(measure) / self.worth
            d, most = s * rate, self.region.limit(place)
            cap = torch.where(d > 0, self.high, -self.low) * rate
            if measure == "features":
                d = l0_ball(d, cap, most)
            elif measure == "l2":
                d = l2_ball(d, cap, most)
            else:
                d = l1_ball(d, cap, most if measure != "linf" else torch.full_like(most, torch.inf))
            s = d / rate
        return s
