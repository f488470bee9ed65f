"""Carlini and Wagner's margin loss and distance under a table threat, IEEE S&P 2017, arXiv:1608.04644."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, NonNegative, Positive
from holdfast.geometry.rows import expand, put
from holdfast.threats.tables.genomes import Genomes
from holdfast.threats.tables.region import table
from holdfast.threats.tables.relaxing import HALF, Relaxed

EAGER = 0.05
"""Share of a switch from which on every other question tries it, the largest shares first, as far as limits go."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CarliniWagnerTable(Attack):
    """Minimize distance plus constant times margin over relaxed changes of a row, and search for the constant.

        minimize D(s) + c * max(margin(x) + confidence, 0),    x = repair(codes(s)),    s within the limits
        s <- keep(shrink(s + rate * c * dmargin/ds))

    `s` holds a number for each column, in the units of the threat, and for each other level of a column or group the
    share of a switch to it, which happens at a half; gradients pass straight through steps, switches and repair. D is
    the sum of the changes (its shrinkage leaves most of them zero), their squares under `l2` and `linf`; the limits are
    kept exactly before the repair. The constant goes down by bisection where the goal was reached, up by tens where it
    never was.

    Measured at 100 passes a row beside `Capgd` (`benchmarks/table_attacks.py --threats table:l1=2 table:l2=1`): of 42
    rows of spambase it broke 37 under an l1 of 2 and 33 under an l2 of 1, `Capgd` 33 and 6, on a logistic regression;
    on heart disease 15 of 45 under an l1 of 2, `Capgd` 13. Under a number of columns `Capgd` asks less and breaks as
    many. What it broke a beam of `GraphSearch` broke too, with 10 to 50 times the questions.

    Cost: at most `searches` * `steps` forward and backward passes and one more.

    Deviations: proximal steps as in `Ead` instead of Adam, which moves all columns alike and so changes all of them; a
    step is a share of the way to the linearized boundary, within the limits.

    Args:
        steps: Forward and backward passes in each search.
        searches: Constants tried.
        step: Length of the first step, as a share of that way.
        constant: First constant, as a multiple of the one from which on the best column moves at all.
        confidence: Margin to go beyond zero, in the units of the scores.
    """

    needs: ClassVar = frozenset({"module"})
    tables: ClassVar = True
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 20
    searches: Count = 5
    step: Positive = 0.2
    constant: Positive = 2.0
    confidence: NonNegative = 0.0

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.searches * self.steps + 1

    def search(self, probe: Probe) -> None:
        """Minimize once for each constant."""
        pool = Genomes(table(probe.limit))
        way = Relaxed(pool, probe.spread)
        g, _, margin = probe.slope(probe.x0, minus_margin, wide=probe.spread)
        short, lift = (margin + self.confidence).clamp(min=0).double(), way.lifted(g)
        peak = _peak(way, lift, 0.0 * way.high)
        c = self.constant / torch.where(peak > 0, peak, 1.0)
        most = torch.minimum(pool.region.radius, way.high.sub(way.low).amax(1).clamp(min=1))
        reach = torch.where(peak > 0, short / torch.where(peak > 0, peak, 1.0), 1.0)
        reach = torch.maximum(reach, way.least.gather(1, lift.abs().argmax(1, keepdim=True))[:, 0])
        low, high = torch.zeros_like(c), torch.full_like(c, math.inf)
        for _ in probe.steps(self.searches):
            reached = self._minimize(probe, way, c, torch.minimum(reach, most), (lift, margin))
            reach = torch.where(probe.distance.isfinite(), probe.distance, 3 * reach)
            low, high = torch.where(reached, low, c), torch.where(reached, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high.nan_to_num(posinf=0.0)) / 2)

    def _minimize(self, probe: Probe, way: Relaxed, c: Tensor, reach: Tensor, first: tuple[Tensor, Tensor]) -> Tensor:
        """Proximal steps from the original and the slope there; whether the goal was reached: `(batch,)`."""
        s, reached, (lift, margin) = torch.zeros_like(way.high), torch.zeros_like(probe.alive), first
        square = way.region.limits[0][0] in ("l2", "linf")
        for i in probe.steps(self.steps):
            peak = c * _peak(way, lift, s)
            rate = expand(self.step * reach * math.sqrt(1 - i / self.steps) / torch.where(peak > 0, peak, 1.0), s)
            s = s + rate * torch.where(expand(margin + self.confidence > 0, s), expand(c, s) * lift, 0.0)
            s = way.kept(s / (1 + 2 * rate) if square else s.sign() * (s.abs() - rate).clamp(min=0))
            live, rows = probe.alive.nonzero()[:, 0], way.codes(way.rounded(s, EAGER if i % 2 else HALF))
            x = put(probe.x0, live, way.pool.made(rows[live], live))
            g, _, margin = probe.slope(x, minus_margin, wide=probe.spread)
            lift, reached = way.lifted(g), reached | (margin + self.confidence < 0)
        return reached


def _peak(way: Relaxed, lift: Tensor, s: Tensor) -> Tensor:
    """The largest gradient of a displacement that can still follow it: `(batch,)`."""
    room = torch.where(lift > 0, way.high - s, s - way.low) > 0
    return torch.where(room, lift.abs(), 0.0).amax(1)
