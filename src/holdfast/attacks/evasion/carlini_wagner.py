"""The Carlini-Wagner L2 attack, Carlini and Wagner, IEEE S&P 2017, arXiv:1608.04644."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, NonNegative, Positive
from holdfast.geometry.adam import Adam
from holdfast.geometry.cube import Cube
from holdfast.geometry.rows import expand, norm, pick

CHECKS = 5  # looks for progress in each search
END = 0.99  # share of the step that is gone after the last one
LEAST = 1e-6  # least reach, as a fraction of the box's width


@dataclasses.dataclass(frozen=True, kw_only=True)
class CarliniWagner(Attack):
    """Minimize distance plus constant times margin over an unbounded variable, and search for the constant.

        minimize |x - x0|^2 + c * max(margin(x) + confidence, 0)  by Adam over v,    x = middle + half width * tanh(v)

    The constant doubles its digits by bisection: down where the goal was reached, up by tens where it never was. The
    margin is that of the goal, on scores before any softmax; nothing is masked by a product, so neither the level nor
    the scale of the scores matters, and a saturated model has the gradient of any other.

    Cost: at most `searches` * `steps` forward and backward passes and one more; a search ends early for a row whose
    least objective has not fallen over a tenth of the steps.

    Deviations: the first constant is the one that suffices where the margin is linear (times `constant`), instead of
    0.001 for all, so that searches are not spent on finding the scale of the scores; the range of tanh is a tenth wider
    than the box and `v` stays where `x` is inside, because a value exactly on its bound, the background of a digit,
    would otherwise have slope zero and never move; the step follows the distance, instead of 0.01 for all, because
    Adam's jitter is as large as its step, and falls linearly to a hundredth, for the sake of short searches.

    Args:
        steps: Forward and backward passes in each search.
        searches: Constants tried.
        step: Adam's first step, as a fraction of the largest change that a value makes on the way to the linearized
            boundary, later to the nearest success.
        constant: First constant, as a multiple of the one that suffices where the margin is linear.
        confidence: Margin to go beyond zero, in the units of the scores. The nearest success is returned whatever its
            margin; the strongest point has the confidence asked for.
    """

    norms: ClassVar = (2.0,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 200
    searches: Count = 5
    step: Positive = 0.05
    constant: Positive = 1.0
    confidence: NonNegative = 0.0

    def search(self, probe: Probe) -> None:
        """Minimize once for each constant."""
        x0, cube = probe.x0, Cube(probe.region.low, probe.region.high, probe.x0)
        g, _, margin = probe.slope(x0, minus_margin)
        size, short = norm(g, 2).square(), (margin + self.confidence).clamp(min=0)
        step = expand(torch.where(size > 0, short / size, 0.0), g) * g  # onto the linearized boundary
        c = self.constant * torch.where(size > 0, 2 * short / (size * cube.width.square()), 1.0)
        reach = torch.where(size > 0, cube.share(step), 1.0)
        beyond = reach * self.confidence / torch.where(short > 0, short, 1.0)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in probe.steps(self.searches):
            reached = self._minimize(probe, cube, c, reach.clamp(LEAST, 1.0))
            best = torch.maximum(cube.share(probe.nearest - x0), beyond)
            reach = torch.where(probe.distance.isfinite(), best, 10 * reach)
            low, high = torch.where(reached, low, c), torch.where(reached, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high.nan_to_num(posinf=0.0)) / 2)

    def _minimize(self, probe: Probe, cube: Cube, c: Tensor, reach: Tensor) -> Tensor:
        """Adam from the input, steps a fraction of `reach`; whether the goal was reached: `(batch,)`."""
        x0, v, adam = probe.x0, cube.start, Adam(probe.x0)
        going, reached = torch.ones_like(probe.alive), torch.zeros_like(probe.alive)
        best, before = torch.full_like(c, torch.inf), torch.full_like(c, torch.inf)
        every = max(self.steps // CHECKS, 1)
        for i in probe.steps(self.steps):
            x = cube.point(v)
            g, _, margin = probe.slope(x, minus_margin, only=going)
            short = margin + self.confidence
            d = (x - x0) / expand(cube.width, x)
            reached |= going & (short < 0)
            best = torch.minimum(best, d.square().flatten(1).sum(1) + c * short.clamp(min=0))
            if i % every == 0:
                going, before = going & (best < 0.9999 * before), best
            pull = expand(torch.where(short > 0, c * cube.width, 0.0), x) * g
            step = expand(self.step * reach * (1 - END * i / self.steps), x)
            v = pick(going, cube.clamp(v - step * adam.direction((2 * d - pull) * cube.rate(v))), v)
            if not going[probe.alive].any():
                break
        return reached
