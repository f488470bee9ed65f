"""Fast minimum-norm attack, Pintor, Roli, Brendel and Biggio, NeurIPS 2021, arXiv:2102.12827."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Fraction, Positive
from holdfast.geometry.rows import expand, norm, pick, unit

DUAL = {math.inf: 1.0, 2.0: 2.0, 1.0: math.inf}
LAST = 0.01  # share of the step that is left at the end
OUT = 100.0  # radii from which a point is projected onto the ball, so that it lies on the surface


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fmn(Attack):
    """Follow the gradient inside a ball that shrinks where the goal is reached and grows where it is not.

        radius <- min((1 - change) radius, nearest)                          where the goal is reached
                  (1 + change) max(|x - x0|_p + margin / |g|_dual, radius)   where it never was
                  (1 + change) radius                                        where it was before
        x <- project(x + step * g / |g|_2)                                   onto the ball of that radius and the box

    In L0 the radius is a number of values: it starts at 1 and changes by at least 1. In L2 the point is moved out to
    the ball's surface as well, as far as the box allows.

    Cost: `steps` forward and backward passes and one more forward pass.

    Deviations: `step` is a fraction of the box's width, which is 1 in the paper; the projection is the exact one onto
    ball and box, where the paper clips to the box afterwards; before the first success the radius never falls, and
    exceeds the estimated distance by `change`, because along a curved boundary, or where the box is in the way, the
    paper's may approach the boundary from inside for ever (8 of 100 digits stay unbroken in L2); where the gradient is
    zero the direction is random. The surface in L2 is not in the paper but in other implementations: a walk that may
    stay inside ends a tenth farther from the inputs on MNIST, and 5 % of them are not reached in 100 steps.

    Args:
        steps: Forward and backward passes.
        step: Length of the first step, as a fraction of the box's width; falls to a hundredth along a cosine. The
            paper chooses among 1, 5 and 10; L0 wants the last, for a short step ranks values by slope without room.
        change: Relative change of the radius at the first step; falls along the same cosine.
        last: The same at the last step.
    """

    norms: ClassVar = (math.inf, 2.0, 1.0, 0.0)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 100
    step: Positive = 1.0
    change: Fraction = 0.05
    last: Fraction = 0.001

    def search(self, probe: Probe) -> None:
        """Step and project for `steps` steps and look at the last point."""
        region, x0, x = probe.region, probe.x0, probe.x0
        width = (region.high - region.low).flatten(1).amax(1)
        radius = torch.full_like(width, 1.0 if region.p == 0 else torch.inf)
        for i in probe.steps(self.steps):
            g, _, margin = probe.slope(x, minus_margin)
            fall = (1 + math.cos(math.pi * i / self.steps)) / 2
            change = self.last + (self.change - self.last) * fall
            radius = self._resized(probe, x, g, margin, radius, change)
            flat = (g == 0).flatten(1).all(1)
            g = pick(flat, probe.draw.normal(*x.shape[1:], only=flat), g)
            step = self.step * (LAST + (1 - LAST) * fall) * width
            d = x + expand(step, x) * unit(g) - x0
            d = expand(OUT * radius, d) * unit(d) if region.p == 2 else d
            x = type(region)(x0, radius, region.low, region.high).project(x0 + d)
        probe.margin(x)

    def _resized(self, probe: Probe, x: Tensor, g: Tensor, margin: Tensor, radius: Tensor, change: float) -> Tensor:
        """The radius of the next ball: `(batch,)`."""
        reached, nearest, most = margin < 0, probe.distance.to(radius), probe.region.farthest()
        smaller, larger = (1 - change) * radius, (1 + change) * radius
        if probe.region.p == 0:
            smaller, larger = torch.minimum(smaller.floor(), radius - 1), torch.maximum(larger.floor(), radius + 1)
        else:
            size = norm(g, DUAL[probe.region.p])
            estimate = norm(x - probe.x0, probe.region.p) + margin.abs() / torch.where(size > 0, size, 1.0)
            first = torch.where(radius < most, torch.maximum(estimate, radius), estimate)  # most: none is known yet
            larger = torch.where(nearest.isfinite(), larger, torch.where(size > 0, (1 + change) * first, torch.inf))
        return torch.minimum(torch.where(reached, torch.minimum(smaller, nearest), larger).clamp(min=0), most)
