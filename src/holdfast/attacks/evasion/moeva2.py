"""MoEvA2, Simonetto, Dyrmishi, Ghamizi, Cordy and Le Traon, IJCAI 2022, arXiv:2112.01156."""

import dataclasses
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Positive, Range
from holdfast.geometry.niches import directions, survivors
from holdfast.threats.tables.genomes import DRAWS, Genomes
from holdfast.threats.tables.region import table

FAR = 1e30
"""What stands for an objective that is not known, so that arithmetic stays finite."""

TIED = 9
"""Decimals that count, of a margin in units of the original's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moeva2(Attack):
    """Breed rows toward three aims at once: a low margin, a short distance, few broken constraints (NSGA-III).

        children <- mutate(cross(two members))        rows <- repair(children)        margins <- ask(rows)
        members <- the best fronts of (margin, distance, repair) over both, the last one thinned by niches

    A member is free in its types and relations; the row that is asked about is the possible one that it is repaired to,
    within the limits, and what the repair had to move is how much it breaks. Crossing exchanges a stretch of columns,
    mutation moves a number by a polynomial step and takes another level of a column without order.

    Measured with at most 1,200 queries on heart disease, German credit and spambase, three classifiers each, under
    three columns, and on two of them under l1 (`benchmarks/table_attacks.py`): it broke 2 rows that `GraphSearch` of
    width 1 and 8 did not, both on spambase, and the beam alone 3, on heart disease. It has the better of it where
    several columns must change together and no single one shows anything (`tests/attacks/test_moeva2.py`).

    Cost: no gradients; `samples` * (`steps` + 1) queries of scores, or of labels where there are none.

    Deviations: constraints are mended before a row is asked about, not punished alone; niches are of evenly spread
    directions instead of aspiration points (R-NSGA-III), and are filled in rounds, one member each.

    Args:
        steps: Generations after the first.
        samples: Members, and children of each generation.
        index: Of the polynomial mutation: large ones make short steps.
        mutation: Columns that mutate in a child, on average.
    """

    needs: ClassVar = frozenset({"labels"})
    tables: ClassVar = True
    minimal: ClassVar = True

    steps: Count = 30
    samples: Annotated[int, Range(2)] = 40
    index: Positive = 5.0
    mutation: Positive = 2.0

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.samples * (self.steps + 1)

    def search(self, probe: Probe) -> None:
        """Breed for `steps` generations."""
        pool, ways = Genomes(table(probe.limit)), directions(3)
        first = probe.x0[:, None].expand(-1, self.samples, -1)
        members = self._varied(probe, pool, first)
        aims = self._asked(probe, pool, members)
        for _ in probe.steps(self.steps):
            children = self._varied(probe, pool, members)
            both = torch.cat([members, children], 1)
            aims = torch.cat([aims, self._asked(probe, pool, children)], 1)
            keep = survivors(aims, ways, self.samples, probe.draw.uniform(both.shape[1]).double())
            members = both.gather(1, keep[:, :, None].expand(-1, -1, both.shape[2]))
            aims = aims.gather(1, keep[:, :, None].expand(-1, -1, 3))

    def _varied(self, probe: Probe, pool: Genomes, members: Tensor) -> Tensor:
        """Children of members `(batch, samples, features)`: crossed, mutated, cut to the limits."""
        batch, n, width = members.shape
        pick = (probe.draw.uniform(2, n).double() * n).long().clamp(max=n - 1)
        ends = probe.draw.uniform(n, 2).double()
        u = probe.draw.uniform(n, DRAWS, width).double()
        rows = torch.arange(batch)[:, None]
        crossed = pool.crossed(members[rows, pick[:, 0]].flatten(0, 1), members[rows, pick[:, 1]].flatten(0, 1), ends)
        whose = torch.arange(batch).repeat_interleave(n)
        made = pool.mutated(crossed, whose, u.flatten(0, 1), self.index, self.mutation)
        return made.reshape(batch, n, width)

    def _asked(self, probe: Probe, pool: Genomes, members: Tensor) -> Tensor:
        """Margin, distance and what repair had to move: `(batch, samples, 3)`, low is good."""
        batch, n, width = members.shape
        whose = torch.arange(batch).repeat_interleave(n)
        flat = members.flatten(0, 1)
        rows = pool.made(flat, whose)
        clean = probe.clean.amin(1).abs().double()[:, None]
        margins = probe.margins(rows.reshape(batch, n, width)).double() / torch.where(clean > 0, clean, 1.0)
        margins = margins.round(decimals=TIED)  # the rounding of a sum must not order what is alike
        far, moved = pool.region.distance(rows, whose), pool.region.ruler.distance(rows, flat, "l1")
        found = torch.stack([margins, far.reshape(batch, n), moved.reshape(batch, n)], 2)
        return found.nan_to_num(FAR, FAR, -FAR).clamp(-FAR, FAR)
