"""GeoDA, Rahmati, Moosavi-Dezfooli, Frossard and Dai, CVPR 2020, arXiv:2003.06468."""

import dataclasses
import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect, normal, start
from holdfast.core.params import Count, Fraction, Range
from holdfast.geometry.rows import expand, norm, pick

FIRST, LONGER, LENGTHS = 0.8, 1.25, 6  # points tried along the normal: first distance, factor, how many


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeoDa(Attack):
    """Estimate the normal of the boundary from decisions and go along it from the input, again from where that ends.

        g <- mean of (s - mean s) u over random units u, s = +-1 decision at x + spread * u
        x <- bisect(x0 + length * steepest(g)) if that is nearer,    length = 0.8, 1, 1.25, ... of |x - x0|

    Where the boundary is nearly flat the nearest point lies on the normal through the input. The direction is g / |g|
    in L2 and sign(g) in Linf. Each estimate takes `growth` times the decisions of the one before, as in the paper: the
    first ones need not be good.

    Cost: queries only, no gradients; estimate t takes `samples` * `growth`^t of them. Set `queries` of the threat.

    Deviations: random units are drawn in all coordinates, not in low frequencies; the ray is bracketed by growing
    lengths and then bisected.

    Args:
        steps: Estimates.
        samples: Decisions for the first estimate.
        growth: Factor on them from one estimate to the next.
        most: Decisions for one estimate at most.
        spread: Size of the probing steps, as a fraction of the box's width.
        tries: Random points tried for a start.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (math.inf, 2.0)
    minimal: ClassVar = True

    steps: Count = 12
    samples: Count = 50
    growth: Annotated[float, Range(1, 10)] = 1.6
    most: Count = 10_000
    spread: Fraction = 0.02
    tries: Count = 100

    def search(self, probe: Probe) -> None:
        """Find a start, draw it in and follow one normal after another."""
        region, x0 = probe.region, probe.x0
        spread = self.spread * (region.high - region.low).flatten(1).amax(1)
        x = bisect(probe, start(probe, self.tries))
        for i in probe.steps(self.steps):
            far = norm(x - x0, region.p)
            g = normal(probe, x, spread, self._count(i))
            y = bisect(probe, self._bracket(probe, x, far, g))
            x = pick(norm(y - x0, region.p) < far, y, x)

    def _bracket(self, probe: Probe, x: Tensor, far: Tensor, g: Tensor) -> Tensor:
        """The first point along `g` from the input that reaches the goal; `x` where none does."""
        done, there = torch.zeros_like(probe.alive), x
        for j in probe.steps(LENGTHS):
            y = probe.region.project(probe.x0 + expand(far * FIRST * LONGER**j, x) * g)
            hit = ~done & (probe.margin(y, only=~done) < 0)
            done, there = done | hit, pick(hit, y, there)
            if done[probe.alive].all():
                break
        return there

    def _count(self, step: int) -> int:
        return int(min(self.samples * self.growth**step, self.most))

    def passes(self) -> int:
        """Questions a search asks for a row at most, bisections aside."""
        return self.tries + sum(self._count(i) + LENGTHS for i in range(self.steps))
