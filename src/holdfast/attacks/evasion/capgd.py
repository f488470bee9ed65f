"""CAPGD, Simonetto, Ghamizi and Cordy, NeurIPS 2024, arXiv:2406.00775."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.halving import Halving
from holdfast.attacks.probe import Probe
from holdfast.attacks.side_by_side import starts
from holdfast.core.params import Count, Fraction, Share
from holdfast.geometry.rows import expand, put
from holdfast.threats.tables.climbing import ahead
from holdfast.threats.tables.genomes import Genomes
from holdfast.threats.tables.region import table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capgd(Attack):
    """Climb along the gradient of the codes, with every point repaired to a possible row before it is asked about.

        m <- (1 - momentum) g + momentum m
        z <- x + step * (the end of each column that m points to - x), in the columns that promise most
        x <- repair(z)

    Gradients pass straight through rounding and repairs. Of a one-hot group the column with the largest gradient is
    taken, and so is the level of a column that the model encodes, where it shows a gradient for each (`Model.wide`: the
    exact twin of a pipeline with encoders). Where the number of columns is limited, others are as they were; under a
    sum or a cost those that promise most are moved, fewer of them as the step falls. The step halves, and the search
    goes on from the best row, where too few steps raised the loss, as in `Apgd`. The first climb begins at the row,
    others at random ones.

    It needs a model that shows gradients of codes: a torch network behind a schema, or a pipeline with an exact twin
    (`models/twin_tables.py`). A network that takes levels as numbers shows only the gradient of that number, which says
    little where levels have no order; trees show none.

    Measured as the first stage of `quick`, 10 steps from one start (`benchmarks/table_attacks.py --suites`): under two
    columns the suite asks 1 to 58 questions a row with it and 5 to 85 without, on four tables, a logistic regression
    and a network, and breaks the same rows; under an l1 of 2 it broke 37 of 42 rows of spambase, 34 without it.

    Cost: `steps` forward and backward passes and one more forward pass for each start.

    Deviations: as every row that is asked about keeps the constraints, the penalty for broken ones (C-PGD, Simonetto et
    al., IJCAI 2022, arXiv:2112.01156) is always zero and left out; steps are shares of what is left to go, because
    table threats are no balls.

    Args:
        steps: Forward and backward passes for each start.
        restarts: Starts, those after the first side by side.
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
        for turn, part in starts(probe, self.restarts):
            region = table(part.limit)
            self._climb(part, Genomes(region), region.sample(part.draw) if turn else part.x0)

    def _climb(self, probe: Probe, pool: Genomes, x: Tensor) -> None:
        m, spread = torch.zeros((), dtype=x.dtype), probe.spread
        control = Halving(self.steps, self.rising, 1.0, x, torch.zeros(len(x), dtype=torch.float64))
        for i in probe.steps(self.steps):
            g, loss, _ = probe.slope(x, wide=spread)
            x, m = control.judged(i, x, g, (1 - self.momentum) * g + self.momentum * m, loss)
            live = probe.alive.nonzero()[:, 0]
            x = put(x, live, pool.made(ahead(pool, x, m, expand(control.step, x), spread)[live], live))
        probe.margin(x)
