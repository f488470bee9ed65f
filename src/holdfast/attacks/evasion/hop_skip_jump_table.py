"""HopSkipJump on rows of tables with columns of every kind, after Chen et al., IEEE S&P 2020, arXiv:1904.02144."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import TOGETHER, Probe
from holdfast.core.params import Count
from holdfast.geometry.rows import expand, pick, put, unit
from holdfast.threats.tables.genomes import DRAWS, Genomes
from holdfast.threats.tables.region import TableRegion, table

HALVINGS = 10
"""Of the way back, and of one leap."""

SINGLE = 2
"""Columns that are bisected by themselves, under sums and numbers of columns."""

FIRST_SPREAD = 0.1
"""Standardized units: size of the first probing steps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HopSkipJumpTable(Attack):
    """Walk along the decision boundary among possible rows, with a direction estimated from decisions alone.

        g <- mean of (s - mean s) u over random u of the numbers, s = +-1 decision at repair(x + spread * u)
        x <- back(repair(x + length * g)),    length = distance / sqrt(hop), halved until the goal is reached
        x <- the nearer of x and back(x with a random column at another value)

    The way back takes one column after another to the original, the largest changes first, as long as the goal stays
    reached, and then bisects what is left of numbers and levels in order. Numbers move along `g` as in the paper, steps
    rounded at random so that small ones are not lost; all columns by flips. Every row that is asked about is possible.

    Cost: queries of labels alone; a hop takes `samples` * sqrt(hop), `flips`, about 30 and two for each changed column.

    Deviations: starts are random possible rows within the limits, every other one beyond the first limit and at ends of
    ranges; the direction is of length one in the units of the schema, and a sign under `linf`.

    Args:
        steps: Hops.
        samples: Decisions for the first estimate; grows with the square root of the hop.
        flips: Columns tried at another value in each hop.
        tries: Random rows tried for a start.
    """

    needs: ClassVar = frozenset({"labels"})
    tables: ClassVar = True
    minimal: ClassVar = True

    steps: Count = 10
    samples: Count = 50
    flips: Count = 10
    tries: Count = 100

    def passes(self) -> int:
        """Questions a search asks for a row at most, of which up to thirty columns differ on the way back."""
        hops = sum(int(self.samples * math.sqrt(i + 1)) + self.flips + HALVINGS for i in range(self.steps))
        return self.tries + hops + (2 * self.steps + 1) * (30 + 3 * HALVINGS)

    def search(self, probe: Probe) -> None:
        """Find a start and hop."""
        region = table(probe.region)
        walk = _Walk(probe, region, Genomes(region))
        x = walk.back(self._start(probe, walk))
        for i in probe.steps(self.steps):
            count = int(self.samples * math.sqrt(i + 1))
            far = region.ruler.distance(x, probe.x0, "l2")
            spread = torch.full_like(far, FIRST_SPREAD) if i == 0 else far / math.sqrt(max(int(walk.numbers.sum()), 1))
            g = walk.normal(x, spread, count)
            x = walk.nearer(x, walk.back(walk.leap(x, g, far / math.sqrt(i + 1))))
            x = walk.nearer(x, walk.back(walk.flipped(x, self.flips)))

    def _start(self, probe: Probe, walk: "_Walk") -> Tensor:
        """A random row that reaches the goal; rows without one end."""
        found, there, region = torch.zeros_like(probe.alive), probe.x0, walk.region
        for i in probe.steps(self.tries):
            y = table(probe.limit).sample(probe.draw)
            u = probe.draw.uniform(2, y.shape[1])
            ends = torch.where(u[:, 0] < 0.5, region.low, region.high)
            y = region.project(torch.where(u[:, 1] < (i + 1) / self.tries, ends, probe.x0)) if i % 2 else y
            hit = ~found & (probe.margin(y, only=~found) < 0)
            found, there = found | hit, pick(hit, y, there)
            if found[probe.alive].all():
                break
        probe.finish(~found)
        return there


@dataclasses.dataclass(frozen=True, eq=False)
class _Walk:
    """Moves of rows that reach the goal, and the way back to the originals."""

    probe: Probe
    region: TableRegion
    pool: Genomes

    @property
    def numbers(self) -> Tensor:
        """Columns along which a direction means something: `(features,)`."""
        levels = torch.tensor([bool(f.levels) for f in self.region.schema.features])
        return self.pool.numbers & ~levels & self.region.movable[self.pool.slot]

    def made(self, x: Tensor) -> Tensor:
        """Possible rows near these where the row is alive, elsewhere the originals: `(batch, features)`."""
        live = self.probe.alive.nonzero()[:, 0]
        return put(self.probe.x0, live, self.pool.made(x[live], live))

    def nearer(self, x: Tensor, y: Tensor) -> Tensor:
        """Of two rows that reach the goal the nearer one."""
        return pick(self.region.distance(y) < self.region.distance(x), y, x)

    def back(self, x: Tensor) -> Tensor:
        """The row nearer to the original: columns taken back, then bisected: `(batch, features)`.

        Under `l2` and `linf` only columns without an order are taken back one by one: numbers go back together.
        """
        x0, ruler, slot = self.probe.x0, self.region.ruler, self.pool.slot
        apart = self.region.limits[0][0] not in ("l2", "linf")
        free = torch.where(ruler.ordered, apart, True)
        order = torch.where(free, ruler.changes(x, x0), 0.0).argsort(dim=1, descending=True, stable=True)
        for rank in self.probe.steps(int(((ruler.changes(x, x0) > 0) & free).sum(1).amax())):
            x = self._kept(x, torch.where((slot == order[:, rank : rank + 1]) & free[slot], x0, x))
        x = self._bisected(x, self.pool.numbers.expand_as(x))
        far = torch.where(self.pool.numbers, (x - x0).abs() * ruler.unit, 0.0).nan_to_num(0.0)
        first = far.argsort(dim=1, descending=True, stable=True)[:, : SINGLE * apart]
        for j in range(first.shape[1]):
            x = self._bisected(x, torch.arange(x.shape[1]) == first[:, j : j + 1])
        return x

    def _kept(self, x: Tensor, y: Tensor) -> Tensor:
        """`y` made possible where it is another row nearer to the original and reaches the goal too, else `x`."""
        rows = (self.probe.alive & _differ(x, y)).nonzero()[:, 0]
        y = put(x, rows, self.pool.made(y[rows], rows))
        only = _differ(x, y) & _differ(y, self.probe.x0) & (self.region.distance(y) < self.region.distance(x))
        if not bool((only & self.probe.alive).any()):
            return x
        return pick(only & (self.probe.margin(y, only=only) < 0), y, x)

    def _bisected(self, x: Tensor, columns: Tensor) -> Tensor:
        """Some columns as near to the original as the goal allows along the segment: `(batch, features)`."""
        x0, end = self.probe.x0, x
        low, high = torch.zeros(len(x), dtype=x.dtype), torch.ones(len(x), dtype=x.dtype)
        gap = columns & ~x0.isnan() & ~end.isnan()
        for _ in self.probe.steps(HALVINGS):
            middle = (low + high) / 2
            y = torch.where(gap, x0 + expand(middle, x) * (end - x0), x)
            now = self._kept(x, y)
            hit = _differ(x, now)
            x, low, high = now, torch.where(hit, low, middle), torch.where(hit, middle, high)
        return x

    def normal(self, x: Tensor, spread: Tensor, count: int) -> Tensor:
        """The boundary's direction toward the goal in the numbers, of length one: `(batch, features)`."""
        scale, width = self.region.schema.scales, x.shape[1]
        both, plain, total = torch.zeros_like(x), torch.zeros_like(x), torch.zeros(len(x), dtype=x.dtype)
        if not bool(self.numbers.any()):
            return both
        for k in self.probe.steps(math.ceil(count / TOGETHER)):
            n = min(TOGETHER, count - k * TOGETHER)
            u = torch.where(self.numbers, self.probe.draw.normal(n, width).double(), 0.0)
            u = unit(u.flatten(0, 1)).reshape(u.shape)
            dither = (self.probe.draw.uniform(n, width).double() - 0.5) * self.pool.unit
            y = x[:, None] + torch.where(self.numbers, spread[:, None, None] * u * scale + dither, 0.0)
            whose = self.probe.alive.nonzero()[:, 0].repeat_interleave(n)
            asked = self.probe.x0[:, None].repeat(1, n, 1)
            live = self.probe.alive.nonzero()[:, 0]
            asked[live] = self.pool.made(y[live].flatten(0, 1), whose).reshape(len(live), n, width)
            s = torch.where(self.probe.margins(asked) < 0, 1.0, -1.0).to(x)
            u = torch.where(self.numbers, (asked - x[:, None]) / scale, 0.0).nan_to_num(0.0)
            both, plain, total = both + (s[:, :, None] * u).sum(1), plain + u.sum(1), total + s.sum(1)
        mean = total / count
        g = torch.where((mean.abs() == 1)[:, None], both, both - mean[:, None] * plain)
        return g.sign() if self.region.limits[0][0] == "linf" else unit(g)

    def leap(self, x: Tensor, g: Tensor, length: Tensor) -> Tensor:
        """The row at the longest of length, length / 2, ... along `g` that reaches the goal; `x` where none does."""
        done, there, scale = (g == 0).all(1), x, self.region.schema.scales
        for _ in self.probe.steps(HALVINGS):
            if bool(done[self.probe.alive].all()):
                break
            y = self.made(x + torch.where(self.numbers, length[:, None] * g * scale, 0.0))
            hit = ~done & (self.probe.margin(y, only=~done) < 0)
            done, there, length = done | hit, pick(hit, y, there), torch.where(done | hit, length, length / 2)
        return there

    def flipped(self, x: Tensor, count: int) -> Tensor:
        """The row with a random column at another value that still reaches the goal; `x` where none does."""
        done, there, width = torch.zeros_like(self.probe.alive), x, x.shape[1]
        for _ in self.probe.steps(count):
            u = self.probe.draw.uniform(DRAWS, width).double()
            live = self.probe.alive.nonzero()[:, 0]
            y = put(self.probe.x0, live, self.pool.made(self.pool.mutated(x[live], live, u[live], 1.0, 0.0), live))
            hit = ~done & (self.probe.margin(y, only=~done) < 0)
            done, there = done | hit, pick(hit, y, there)
            if bool(done[self.probe.alive].all()):
                break
        return there


def _differ(x: Tensor, y: Tensor) -> Tensor:
    """Which rows are not the same: `(batch,)`."""
    return ((x != y) & ~(x.isnan() & y.isnan())).any(1)
