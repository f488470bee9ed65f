"""Brendel and Bethge's attack, Brendel, Rauber, Kuemmerer, Ustyuzhaninov and Bethge, NeurIPS 2019, arXiv:1907.01003."""

import dataclasses
import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect, start
from holdfast.core.params import Count, Positive, Range
from holdfast.geometry.rows import expand, norm, pick, unit
from holdfast.geometry.trust import toward

LEAST = 1e-5  # of the box's width: how far beyond the boundary a step goes at least, where rounding cannot undo it
LAST = 1e-3  # share of the trust radius that is left at the end
CLIMBS, LEAP = 20, 0.1  # steps toward a start where noise finds none, as fractions of the distance to the far corner


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrendelBethge(Attack):
    """Walk along the decision boundary from a far success toward the input, each step the best one in a trust region.

        x <- argmin |z - x0|_p    with <g, z - x> = k margin,    low <= z <= high,    |z - x|_2 <= radius

    g is the gradient of minus the margin: the plane is the boundary, linearized at the iterate. k is `overshoot` where
    the goal is not reached, so that it will be, and 2 - `overshoot` where it is; a hair more, so that rounding does not
    decide, and at least as far beyond as the last step fell short of where its plane was to lead. The problem is solved
    for the whole batch at once, see `geometry.trust`.

    Cost: at most `tries` + max(10, 1.5 log2(dimension)) forward passes for the start, sometimes 20 with a gradient,
    `steps` forward and backward passes, and one more forward pass.

    Deviations: the start is a random point mixed into the input as HopSkipJump's, or found by 20 long steps along the
    gradient where noise does not reach the goal (a rare target, say); the paper takes another sample. The trust radius
    is a fraction of the start's distance instead of 0.001 times the number of values, and falls geometrically instead
    of in 20 halvings; the planes of different steps are not averaged. A step goes as far beyond as the last one fell
    short, because a boundary that bends away from its planes would else be followed on the wrong side to the end.

    Args:
        steps: Steps along the boundary.
        step: First trust radius, as a fraction of the L2 distance of the start; falls to a thousandth.
        overshoot: How far a step goes beyond the linearized boundary, as a multiple of the way to it.
        tries: Random points tried for a start.
    """

    norms: ClassVar = (math.inf, 2.0, 1.0)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 200
    step: Positive = 0.5
    overshoot: Annotated[float, Range(1, 2)] = 1.1
    tries: Count = 100

    def search(self, probe: Probe) -> None:
        """Find a start, draw it in to the boundary, and walk."""
        region, x0 = probe.region, probe.x0
        x = bisect(probe, self._start(probe))
        width = (region.high - region.low).flatten(1).amax(1)
        first, hoped = self.step * norm(x - x0, 2), torch.full_like(width, torch.inf)
        for i in probe.steps(self.steps):
            g, _, margin = probe.slope(x, minus_margin)
            reached, flat = margin < 0, norm(g, 2) == 0
            least = (self.overshoot - 1) * margin.abs() + LEAST * width * norm(g, 2)
            beyond = torch.maximum(least, margin - hoped)
            radius, hoped = first * LAST ** (i / self.steps), -beyond
            z = toward(x, x0, g, margin + beyond, region.low, region.high, radius, region.p, slack=least / 2)
            x = pick(flat & ~reached, probe.nearest, z)
        probe.margin(x)

    def _start(self, probe: Probe) -> Tensor:
        """A random point that reaches the goal; where there is none, one that steps along the gradient lead to."""
        before = probe.alive.clone()
        x = start(probe, self.tries)
        lost = before & ~probe.alive
        probe.resume(lost)
        climbed, y, leap = lost, probe.x0, probe.region.farthest() * LEAP
        for _ in probe.steps(CLIMBS):
            g, _, margin = probe.slope(y, minus_margin, only=lost)
            lost = lost & (margin >= 0)
            if not lost[probe.alive].any():
                break
            y = pick(lost, probe.region.project(y + expand(leap, y) * unit(g)), y)
        probe.finish(lost)
        return pick(climbed, y, x)
