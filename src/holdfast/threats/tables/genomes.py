"""Rows that are bred: crossed, mutated column by column, cut to what a threat allows, and made possible."""

import torch
from torch import Tensor

from holdfast.geometry.rows import pick
from holdfast.threats.tables.region import TableRegion

DRAWS = 5
"""Random numbers for each column of a row that mutates."""

GAPS = 0.1
"""Share of the mutations of a column with gaps that make one."""


class Genomes:
    """What an evolutionary search does to rows; all of them flat, `(n, features)`, with whose they are.

    Args:
        region: Originals, limits and schema.
    """

    def __init__(self, region: TableRegion):
        self.region = region
        ruler = region.ruler
        self.slot = ruler.slot  # of each column
        self.movable = region.movable
        single = torch.tensor([len(ruler.slots[k]) == 1 for k in self.slot.tolist()])
        self.numbers = ruler.ordered[self.slot] & single
        self.gaps = region.schema.ranges.missing
        self.way = region.schema.ranges.way
        self.low, self.high = self._reach()
        self.unit = region.schema.ranges.step

    def _reach(self) -> tuple[Tensor, Tensor]:
        """Least and greatest code of each column that direction and limits allow by themselves: `(batch, features)`."""
        region, x0 = self.region, self.region.x0
        low, high = region.low.double(), region.high.double()
        start = x0.nan_to_num(0.0)
        room = torch.where(x0.isnan(), torch.inf, region.room(x0, slice(None))[:, self.slot] * region.schema.scales)
        low = torch.where(self.numbers, torch.maximum(low, start - room), low)
        high = torch.where(self.numbers, torch.minimum(high, start + room), high)
        there = ~x0.isnan()
        low = torch.where((self.way > 0) & there, torch.maximum(low, x0), low)
        return low, torch.where((self.way < 0) & there, torch.minimum(high, x0), high)

    def crossed(self, first: Tensor, second: Tensor, ends: Tensor) -> Tensor:
        """The first with a stretch of slots as in the second; `ends` are two shares of the width, `(batch, n, 2)`."""
        cut = (ends.flatten(0, 1).sort(1).values * (len(self.movable) + 1)).long()
        inside = (self.slot >= cut[:, :1]) & (self.slot < cut[:, 1:])
        return torch.where(inside, second, first)

    def mutated(self, x: Tensor, whose: Tensor, u: Tensor, index: float, mutation: float) -> Tensor:
        """The rows with some slots moved, and none beyond the number that may change: `(n, features)`.

        Args:
            x: Rows.
            whose: Their originals, `(n,)`.
            u: Random numbers in [0, 1), `(n, DRAWS, features)`.
            index: Of the polynomial mutation.
            mutation: Columns that mutate, on average.
        """
        at = self.region.ruler.columns
        free = max(int(self.movable.sum()), 1)
        chosen = (u[:, 0, at] < mutation / free) & self.movable
        forced = torch.where(self.movable, u[:, 0, at], torch.inf).argmin(1)  # at least one moves
        chosen |= (torch.nn.functional.one_hot(forced, len(self.movable)) > 0) & self.movable
        moved = torch.where(chosen[:, self.slot], self._stepped(x, whose, u[:, 2:], index), x)
        return self._fewer(moved, whose, u[:, 1, at])

    def _stepped(self, x: Tensor, whose: Tensor, u: Tensor, index: float) -> Tensor:
        """Every column moved: a polynomial step for numbers, any level for others, now and then a gap."""
        far, any_level, gap = u.unbind(1)
        low, high = self.low[whose], self.high[whose]
        width, power = high - low, 1 / (index + 1)
        step = torch.where(far < 0.5, (2 * far) ** power - 1, 1 - (2 * (1 - far)) ** power)
        number = torch.minimum(torch.maximum(x.nan_to_num(0.0) + step * width, low), high)
        fine = self.region.schema.ranges.snap(number)
        beside = torch.where(step > 0, 1.0, -1.0) * self.unit
        number = torch.where(fine == x, torch.minimum(torch.maximum(x + beside, low), high), number)
        level = (low + ((high - low + 1) * any_level).floor()).clamp(max=high)
        made = torch.where(self.numbers, number, level)
        for columns in map(list, self.region.schema.groups):
            made[:, columns] = torch.nn.functional.one_hot(any_level[:, columns].argmax(1), len(columns)).double()
        gone = self.gaps & (gap < GAPS) & ~x.isnan()
        return torch.where(gone, torch.nan, made)

    def _fewer(self, x: Tensor, whose: Tensor, u: Tensor) -> Tensor:
        """With random slots as they were where more have changed than may: `(n, features)`."""
        for place, (measure, _) in enumerate(self.region.limits):
            if measure != "features":
                continue
            x0 = self.region.x0[whose]
            changed = self.region.ruler.changes(x, x0) > 0
            rank = torch.where(changed, u, 2.0).argsort(1).argsort(1)
            back = (changed & (rank >= self.region.limit(place, whose)[:, None]))[:, self.slot]
            x = torch.where(back, x0, x)
        return x

    def made(self, x: Tensor, whose: Tensor) -> Tensor:
        """The possible rows within all limits that these become: `(n, features)`."""
        region = self.region
        found = region.schema.repair(x, region.x0[whose]).rows
        out = (~region.contains(found, whose)).nonzero()[:, 0]
        if len(out):
            found = found.index_put((out,), region.of(whose[out]).project(x[out]))
        return pick(region.contains(found, whose), found, region.x0[whose])
