"""CAPGD, Simonetto, Ghamizi and Cordy, NeurIPS 2024, arXiv:2406.00775."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.halving import Halving
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Fraction, Share
from holdfast.geometry.rows import expand
from holdfast.threats.tables.climbing import ahead
from holdfast.threats.tables.genomes import Genomes
from holdfast.threats.tables.region import table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capgd(Attack):
    """Climb along the gradient of the codes, with every point repaired to a possible row before it is asked about.

        m <- (1 - momentum) g + momentum m
        z <- x + step * (the end of each column that m points to - x), in the columns that promise most
        x <- repair(z)

    Gradients pass straight through rounding, levels and repairs. Of a one-hot group the column with the largest
    gradient is taken. Where the number of columns is limited, others are as they were; under a sum or a cost those
    that promise most are moved, fewer of them as the step falls. The step halves, and the search goes on from the best
    row, where too few steps raised the loss, as in `Apgd`. The first climb begins at the row, others at random ones.

    It needs a model that shows gradients of codes: a torch network behind a schema, or a pipeline without levels that
    has an exact twin. The gradient of a level without order says little, and that of trees nothing.

    Measured on spambase and a logistic regression (`benchmarks/table_attacks.py --models exact`): all 22 rows fall to
    two columns, with 2 queries a row, where a greedy `GraphSearch` takes 46; under an l1 of 3 it breaks 16 with 11
    queries, a greedy search 18 with 115, `Moeva2` 21 with 262.

    Cost: `steps` forward and backward passes and one more forward pass for each start.

    Deviations: as every row that is asked about keeps the constraints, the penalty for broken ones (C-PGD, Simonetto et
    al., IJCAI 2022, arXiv:2112.01156) is always zero and left out; steps are shares of what is left to go, because
    table threats are no balls.

    Args:
        steps: Forward and backward passes for each start.
        restarts: Starts.
        momentum: Share of the last direction kept.
        rising: Share of the steps between checkpoints that must raise the loss, or the step halves.
    """

    needs: ClassVar = frozenset({"module"})
    tables: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 20
    restarts: Count = 2
    momentum: Fraction = 0.25
    rising: Share = 0.75

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.restarts * (self.steps + 1)

    def search(self, probe: Probe) -> None:
        """Climb from each start."""
        region = table(probe.limit)
        pool = Genomes(region)
        for i in probe.restarts(self.restarts):
            self._climb(probe, pool, region.sample(probe.draw) if i else probe.x0)

    def _climb(self, probe: Probe, pool: Genomes, x: Tensor) -> None:
        whose, m = torch.arange(len(x)), torch.zeros_like(x)
        control = Halving(self.steps, self.rising, 1.0, x, torch.zeros(len(x), dtype=torch.float64))
        for i in probe.steps(self.steps):
            g, loss, _ = probe.slope(x)
            x, m = control.judged(i, x, g, (1 - self.momentum) * g + self.momentum * m, loss)
            x = pool.made(ahead(pool, x, m, expand(control.step, x)), whose)
        probe.margin(x)
