"""Graph search, Kulynych, Hayes, Samarin and Troncoso, 2018, arXiv:1810.10939."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import TOGETHER, Probe
from holdfast.core.params import Count
from holdfast.threats.tables.moves import Candidates, Moves, places
from holdfast.threats.tables.region import TableRegion, table

TIED = 1e-9
"""Relative: guesses nearer to each other are put in a random order."""

BOLD = 8.0
"""How many times a margin is extrapolated at most to what the rest of a budget may bring."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphSearch(Attack):
    """Search rows of a table by single moves: one column at another value, repaired where a relation asks for it.

        states <- the `width` best of moves(states), by their margins        moves that helped before are asked first

    Every row that is asked about is possible and within the limits; none is asked about twice. Width 1 is greedy
    search, larger ones are beam search. Under a sum of changes or a cost, half of the states are those that promise
    most at the end of the budget, not those that are best now. Without a limit the search goes on after a success,
    among nearer rows. With labels alone it wanders at random, as all margins are equal.

    Cost: no gradients; at most `steps` * `samples` queries of scores, or of labels where there are none.

    Deviations: the paper's nodes are discretized, ours keep the column's own steps; its searches stop at the first
    adversarial node, and find the cheapest one with an admissible heuristic (A*), which a model without structure does
    not have.

    Args:
        steps: Moves one after the other.
        width: States kept after each.
        samples: Rows asked about in a step, over all states.
        values: Values tried on each side of a column that has many.
    """

    needs: ClassVar = frozenset({"labels"})
    tables: ClassVar = True
    minimal: ClassVar = True

    steps: Count = 8
    width: Count = 4
    samples: Count = 500
    values: Count = 6

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.steps * self.samples

    def search(self, probe: Probe) -> None:
        """Move up to `steps` times."""
        region = table(probe.limit)
        moves, every = Moves(region, self.values), torch.arange(len(probe.x0))
        states, whose = probe.x0, every
        margins, seen = probe.clean.amin(1).double(), moves.mark(probe.x0, every)
        gains = torch.zeros((len(probe.x0), len(moves.slots)), dtype=torch.float64)
        for _ in probe.steps(self.steps):
            near = self._near(probe, region)
            order = self._order(probe, moves, gains, margins, whose)
            found = moves.of(states, whose, *order, near)
            found = found.take(~torch.isin(found.marks, seen) & self._nearer(probe, near, found))
            found = found.take(places(found.rows) < self.samples)
            asked = self._asked(probe, found)
            seen = torch.cat([seen, found.marks])
            fell = torch.where(asked.isfinite(), asked - margins[found.parents], 0.0)
            at = found.rows * gains.shape[1] + found.slots
            gains = gains.flatten().scatter_reduce(0, at, fell, "amin").reshape(gains.shape)
            states, whose, margins = self._best(probe, near, found, asked)
            probe.finish(~torch.isin(every, whose))

    def _near(self, probe: Probe, region: TableRegion) -> TableRegion:
        """What counts now: where the nearest row is sought, only what is nearer than the best one."""
        if probe.stop or bool(torch.isfinite(region.radius).any()):
            return region
        return region.nearer(torch.minimum(region.radius, probe.distance))

    def _nearer(self, probe: Probe, near: TableRegion, found: Candidates) -> Tensor:
        """Whether each is nearer than the best one so far, where that is asked for: `(n,)`."""
        if near is probe.limit:
            return torch.ones(len(found.rows), dtype=torch.bool)
        return near.distance(found.x, found.rows) < probe.distance[found.rows] * (1 - 1e-9)

    def _order(
        self, probe: Probe, moves: Moves, gains: Tensor, margins: Tensor, whose: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What to ask first, `(states, moves)`: what is likely to be lowest, ties at random; and the jitter of values.

        What a move will bring is taken to be what a move of the same column has brought at best.
        """
        slots, most = len(moves.slots), moves.most
        drawn = probe.draw.uniform(self.width, slots + most)[whose, places(whose)]
        by_move = torch.repeat_interleave(torch.arange(slots), torch.tensor(moves.counts))
        guess = margins[:, None] + gains[whose][:, by_move]
        return guess + TIED * guess.abs() * drawn[:, slots:], drawn[:, :slots]

    def _asked(self, probe: Probe, found: Candidates) -> Tensor:
        """The margin of each candidate, inf where it was not asked about: `(n,)`."""
        out = torch.full((len(found.rows),), torch.inf, dtype=torch.float64)
        place, batch = places(found.rows), len(probe.x0)
        counts = torch.bincount(found.rows, minlength=batch)
        for start in range(0, int(counts.max()) if len(counts) else 0, TOGETHER):
            if not bool(probe.alive.any()):
                break
            here = ((place >= start) & (place < start + TOGETHER)).nonzero()[:, 0]
            rows, at = found.rows[here], place[here] - start
            x = probe.x0[:, None].repeat(1, int(at.max()) + 1, 1)
            x[rows, at] = found.x[here]
            first = (counts - start).clamp(0, x.shape[1])
            out[here] = probe.margins(x, first > 0, first)[rows, at].double()
        return out

    def _best(self, probe: Probe, near: TableRegion, found: Candidates, asked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The states to go on from, whose they are, and their margins."""
        rows, clean = found.rows, probe.clean.amin(1).double()[found.rows]
        rank = _ranked(rows, asked)
        if near.limits[0][0] in ("cost", "l1", "l2") and len(rows):
            spent = near.distance(found.x, rows)
            left = (near.radius[rows] / spent).nan_to_num(1.0, BOLD).clamp(1, BOLD)
            rank = torch.minimum(2 * rank, 2 * _ranked(rows, clean + (asked - clean) * left) + 1)
            rank = _ranked(rows, rank.double())
        keep = (rank < self.width) & asked.isfinite() & probe.alive[rows]
        chosen = keep.nonzero()[:, 0]
        chosen = chosen[rank[chosen].argsort(stable=True)]
        chosen = chosen[rows[chosen].argsort(stable=True)]
        return found.x[chosen], rows[chosen], asked[chosen]


def _ranked(rows: Tensor, value: Tensor) -> Tensor:
    """The rank of each value among those of its row, the lowest first: `(n,)`."""
    order = value.argsort(stable=True)
    order = order[rows[order].argsort(stable=True)]
    rank = torch.empty(len(rows), dtype=torch.long)
    rank[order] = places(rows[order])
    return rank
