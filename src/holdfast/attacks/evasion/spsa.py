"""Simultaneous perturbation, Uesato, O'Donoghue, van den Oord and Kohli, ICML 2018, arXiv:1802.05666."""

import dataclasses
import math
from typing import ClassVar

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.nes import chunks, climb
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Fraction, Positive
from holdfast.geometry.adam import Adam
from holdfast.geometry.rows import expand, unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spsa(Attack):
    """Adam on a gradient that random signs on all coordinates at once estimate from scores.

        g <- sum of (margin(x - spread * v) - margin(x + spread * v)) v over random signs v
        x <- project(x + length * m / sqrt(s)),    m, s: Adam's averages of g and its square

    `length` is `step` times the radius in Linf, and in L2 that over the root of the dimension: a step that moves all
    coordinates alike is as long.

    Cost: no gradients; `steps` * (`samples` + 1) queries of the scores, an odd `samples` rounded down.

    Deviations: pairs are cut by the box, and what is left of a pair is its direction; the estimates have length 1
    before Adam averages them, so that a factor on the scores changes nothing.

    Args:
        steps: Steps of Adam.
        samples: Points asked for one estimate, two for each direction.
        step: Step length, as a fraction of the radius.
        spread: Distance of the samples in every coordinate, as a fraction of the box's width.
    """

    needs: ClassVar = frozenset({"scores"})
    norms: ClassVar = (math.inf, 2.0)

    steps: Count = 100
    samples: Count = 64
    step: Positive = 0.2
    spread: Fraction = 0.01

    def search(self, probe: Probe) -> None:
        """Climb from the input."""
        region, x = probe.region, probe.x0
        adam = Adam(x)
        spread = self.spread * (region.high - region.low)
        length = self.step * region.radius * (1 if region.p == math.inf else x[0].numel() ** -0.5)
        for _ in probe.steps(self.steps):
            g = torch.zeros_like(x)
            for pairs in chunks(self.samples):
                g = g + climb(probe, x, spread[:, None] * probe.draw.signs(pairs, *x.shape[1:]))
            x = region.project(x + expand(length.to(x), x) * adam.direction(unit(g)))
            probe.margin(x)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.steps * (2 * sum(chunks(self.samples)) + 1)
