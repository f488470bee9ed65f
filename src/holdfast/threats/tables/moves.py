"""Single moves in a table: a row with one column, or one one-hot group, at another value, repaired where that needs it.

A column with few possible values tries them all; another one its ends, the original value, and values at distances
that grow evenly on a logarithmic scale, so that both 3 -> 4 and 3 -> 3,000 are tried.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from holdfast.threats.tables.feature import NEAR, Feature
from holdfast.threats.tables.region import ROUNDING, TableRegion

FINEST = 0.01
"""The shortest move of a column without steps, in standardized units."""


class Candidates(NamedTuple):
    """Rows that may be asked about, those of one original together and in the order in which to ask.

    Args:
        rows: Whose each is, `(n,)` ascending.
        x: Codes, `(n, features)`, possible and within the limits.
        slots: What was moved, `(n,)`.
        parents: The state that it was moved from, `(n,)`.
        marks: Equal where row and codes are, `(n,)` int64.
    """

    rows: Tensor
    x: Tensor
    slots: Tensor
    parents: Tensor
    marks: Tensor

    def take(self, chosen: Tensor) -> "Candidates":
        """Those of a mask or of indices."""
        return Candidates(*(part[chosen] for part in self))


def places(rows: Tensor) -> Tensor:
    """The place of each entry among the ones equal to it, `(n,)`; equal entries stand together."""
    n = torch.arange(len(rows))
    fresh = torch.ones(len(rows), dtype=torch.bool)
    fresh[1:] = rows[1:] != rows[:-1]
    return n - torch.cummax(torch.where(fresh, n, 0), 0).values if len(rows) else n


class Moves:
    """The moves of a table.

    Args:
        region: Originals, limits and schema.
        values: Values tried on each side of a column that has many.
    """

    def __init__(self, region: TableRegion, values: int):
        self.region, self.values = region, values
        self.slots = region.ruler.slots
        draw = torch.Generator().manual_seed(0)
        odd = torch.randint(-(2**62), 2**62, (region.x0.shape[1] + 1,), generator=draw)
        self.odd = 2 * odd + 1
        self.counts = [self._count(k) for k in range(len(self.slots))]

    @property
    def most(self) -> int:
        """Moves of a state at most."""
        return sum(self.counts)

    def mark(self, x: Tensor, rows: Tensor) -> Tensor:
        """A number that is equal where row and codes are: `(n,)` int64."""
        bits = torch.where(x.isnan(), torch.inf, x + 0.0).contiguous().view(torch.int64)
        mixed = (bits ^ (bits >> 29)) * self.odd[:-1]
        return ((mixed ^ (mixed >> 31)) * self.odd[1:]).sum(1) + rows * self.odd[-1]

    def of(self, states: Tensor, rows: Tensor, order: Tensor, jitter: Tensor, near: TableRegion) -> Candidates:
        """All moves of some states, without repetitions.

        Args:
            states: Codes `(n, features)`, those of one row together.
            rows: Whose they are, `(n,)`.
            order: What comes first, `(n, moves)`, low values.
            jitter: Where between two distances a value lies, `(n, slots)` in [0, 1).
            near: The region with the radius that counts now.
        """
        values, allowed = self._values(states, rows, jitter, near)
        state, move = allowed.nonzero(as_tuple=True)
        x = self._moved(states[state], move, values[state, move])
        slots = torch.repeat_interleave(torch.arange(len(self.slots)), torch.tensor(self.counts))[move]
        first = order[state, move]
        found = Candidates(rows[state], x, slots, state, self.mark(x, rows[state]))
        return self._possible(found, first, near)

    def _possible(self, found: Candidates, first: Tensor, near: TableRegion) -> Candidates:
        """In order, repaired, inside, each once."""
        schema, x0 = self.region.schema, self.region.x0[found.rows]
        valid = schema.validate(found.x, x0).valid
        bad = (~valid).nonzero()[:, 0]
        if len(bad):
            x = found.x.index_put((bad,), schema.repair(found.x[bad], x0[bad]).rows)
            valid = valid.index_put((bad,), schema.validate(x[bad], x0[bad]).valid)
            found = found._replace(x=x, marks=self.mark(x, found.rows))
        keep = (valid & near.within(found.x, found.rows)).nonzero()[:, 0]
        keep = keep[first[keep].argsort(stable=True)]
        keep = keep[found.rows[keep].argsort(stable=True)]
        found = found.take(keep)
        by_mark = found.marks.argsort(stable=True)
        again = torch.zeros(len(by_mark), dtype=torch.bool)
        again[by_mark[1:]] = found.marks[by_mark[1:]] == found.marks[by_mark[:-1]]
        return found.take(~again)

    def _count(self, k: int) -> int:
        slot, feature = self.slots[k], self.region.schema.features[self.slots[k][0]]
        if len(slot) > 1:
            return len(slot)
        return (len(levels) if (levels := self._levels(feature)) is not None else 2 * self.values + 3) + feature.missing

    def _levels(self, feature: Feature) -> Tensor | None:
        """All possible numbers of a column, where they are few or have no order."""
        low, high = feature.span
        step = float(feature.step or 0)
        count = (high - low) / step + 1 if step else math.inf
        if feature.ordered and not feature.levels and count > 2 * self.values + 3:
            return None
        return feature.snap(low + step * torch.arange(round(count), dtype=torch.float64))

    def _values(self, x: Tensor, rows: Tensor, jitter: Tensor, near: TableRegion) -> tuple[Tensor, Tensor]:
        """The value of each move, and whether it may be tried: `(n, moves)` each."""
        room, x0 = near.room(x, rows) * (1 + ROUNDING), self.region.x0[rows]
        parts = [self._of_slot(k, x, x0, room[:, k], jitter[:, k]) for k in range(len(self.slots)) if self.counts[k]]
        return tuple(torch.cat([part[i] for part in parts], 1) for i in (0, 1))  # type: ignore[return-value]

    def _of_slot(self, k: int, x: Tensor, x0: Tensor, room: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
        slot, n = self.slots[k], len(x)
        feature = self.region.schema.features[slot[0]]
        if len(slot) > 1:
            return torch.ones((n, len(slot))), (x[:, list(slot)] != 1) & (room > 0)[:, None]
        now, start = x[:, slot[0]], x0[:, slot[0]]
        levels = self._levels(feature)
        if levels is None:
            values = torch.stack(list(self._spread(feature, now, start, room, jitter)), 1)
        else:
            values = levels.expand(n, -1)
        if feature.missing:
            values = torch.cat([values, torch.full((n, 1), torch.nan, dtype=torch.float64)], 1)
        scale = self.region.ruler.scale[k]
        far = (values - start[:, None]).abs() / scale if feature.ordered else (values != start[:, None]) / scale
        gone = values.isnan() | start.isnan()[:, None]
        same = (values.isnan() & start.isnan()[:, None]) | (values == start[:, None])
        far = torch.where(same, 0.0, torch.where(gone, 1.0, far))
        fresh = (values != now[:, None]) & ~(values.isnan() & now.isnan()[:, None])
        onward = torch.ones_like(fresh)
        if feature.direction != "both":
            onward = values >= start[:, None] if feature.direction == "up" else values <= start[:, None]
        return values, fresh & onward & (far <= room[:, None]) & (not feature.immutable)

    def _spread(self, feature: Feature, now: Tensor, start: Tensor, room: Tensor, jitter: Tensor) -> Iterator[Tensor]:
        """The original value, both ends, and values between them at distances on a logarithmic scale."""
        low, high = feature.span
        reach = room * float(feature.scale or 1)
        least = inward(feature, torch.where(start.isnan(), low, (start - reach).clamp(min=low)), 1)
        most = inward(feature, torch.where(start.isnan(), high, (start + reach).clamp(max=high)), -1)
        yield from (start, least, most)
        now = torch.where(now.isnan(), least, now)
        short = float(feature.step or 0) or FINEST * float(feature.scale or 1)
        for way, end in ((1, most), (-1, least)):
            far = ((end - now) * way).clamp(min=short)
            for i in range(self.values):
                length = short * (far / short) ** ((i + jitter) / self.values)
                yield torch.minimum(torch.maximum(feature.snap(now + way * length), least), most)

    def _moved(self, x: Tensor, move: Tensor, value: Tensor) -> Tensor:
        """The states with one slot at another value: `(n, features)`."""
        column, group = self._columns
        x = x.clone()
        for g, columns in enumerate(map(list, self.region.schema.groups)):
            mine = (group[move] == g).nonzero()[:, 0]
            x[mine[:, None], torch.tensor(columns)] = 0.0
        x[torch.arange(len(x)), column[move]] = value
        return x

    @functools.cached_property
    def _columns(self) -> tuple[Tensor, Tensor]:
        """The column that each move sets, and its one-hot group, -1 for none: `(moves,)` each."""
        place = {group: g for g, group in enumerate(self.region.schema.groups)}
        column, group = list[int](), list[int]()
        for slot, count in zip(self.slots, self.counts, strict=True):
            column += list(slot) if len(slot) > 1 else [slot[0]] * count
            group += [place.get(slot, -1)] * count
        return torch.tensor(column), torch.tensor(group)


def inward(feature: Feature, x: Tensor, way: int) -> Tensor:
    """Numbers on the steps: the nearest one where it is meant, else the next one up (`way` 1) or down: `(n,)`."""
    near = feature.stepped(x)
    meant = (near - x).abs() <= NEAR * float(feature.step or 0) + ROUNDING * x.abs()
    return torch.where(meant, near, feature.stepped(x, way))
