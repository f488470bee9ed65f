"""Carlini and Wagner's attack in Linf, IEEE S&P 2017, arXiv:1608.04644."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Fraction, NonNegative, Positive
from holdfast.geometry.adam import Adam
from holdfast.geometry.cube import Cube
from holdfast.geometry.rows import expand, norm, pick

LEAST = 1e-6  # least reach, as a fraction of the box's width
END = 0.99  # share of the step that is gone after the last one


@dataclasses.dataclass(frozen=True, kw_only=True)
class CarliniWagnerLinf(Attack):
    """Minimize what the changes exceed a threshold by, plus constant times margin, and lower the threshold.

        minimize sum max(|x - x0| - threshold, 0) + c * max(margin(x) + confidence, 0)    by Adam over v,
        x = middle + half width * tanh(v)

    A search ends where the goal is reached within the threshold; the next one begins there, with a threshold below the
    largest change. Where a search fails the next threshold is the middle between it and the nearest success, and the
    constant doubles if the goal was not reached at all.

    Cost: at most `searches` * `steps` forward and backward passes and one more.

    Deviations: the first threshold is the box's width as in the paper, but a failed one is not the end: bisection goes
    on. The first constant is the largest that moves no value beyond the threshold where the margin is linear, instead
    of 1e-5; steps follow the distance, as in `CarliniWagner`, whose change of variables this shares.

    Args:
        steps: Forward and backward passes in each search at most.
        searches: Thresholds tried.
        step: Adam's first step, as a fraction of the distance to the linearized boundary, later of the nearest success;
            falls linearly to a hundredth.
        lower: How much lower than the nearest success the next threshold is, as a fraction.
        constant: First constant, as a multiple of the one that suffices where the margin is linear.
        confidence: Margin to go beyond zero, in the units of the scores.
    """

    norms: ClassVar = (torch.inf,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 50
    searches: Count = 16
    step: Positive = 0.1
    lower: Fraction = 0.1
    constant: Positive = 0.5
    confidence: NonNegative = 0.0

    def search(self, probe: Probe) -> None:
        """Minimize once for each threshold."""
        x0, region = probe.x0, probe.region
        cube = Cube(region.low, region.high, x0)
        g, _, margin = probe.slope(x0, minus_margin)
        peak = cube.width * norm(g, torch.inf)
        c = self.constant / torch.where(peak > 0, peak, 1.0)
        reach = norm(region.crossing(x0, g, margin.clamp(min=0)), torch.inf) / cube.width
        reach = torch.where(reach > 0, reach, 1.0)
        low, high, v = torch.zeros_like(c), torch.ones_like(c), cube.start
        threshold = high
        for _ in probe.steps(self.searches):
            v, within, reached = self._minimize(probe, cube, v, c, threshold, reach.clamp(LEAST, 1.0))
            low = torch.where(within | (threshold == 1), low, threshold)
            c = torch.where(reached, c, 2 * c)
            found = probe.distance.isfinite()
            high = torch.where(found, probe.distance.to(c) / cube.width, 1.0)
            reach = torch.where(found, high, 4 * reach)
            threshold = torch.where(found, torch.maximum((1 - self.lower) * high, (low + high) / 2), 1.0)

    def _minimize(
        self, probe: Probe, cube: Cube, start: Tensor, c: Tensor, threshold: Tensor, reach: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Adam from `start`: where a success within the threshold is, `start` elsewhere; whether one was, or any."""
        v, adam = start, Adam(start)
        going, reached = torch.ones_like(probe.alive), torch.zeros_like(probe.alive)
        for i in probe.steps(self.steps):
            x = cube.point(v)
            g, _, margin = probe.slope(x, minus_margin, only=going)
            u = (x - probe.x0) / expand(cube.width, x)
            short = margin + self.confidence
            reached |= going & (short < 0)
            going &= (short >= 0) | (norm(u, torch.inf) > threshold)
            if not going[probe.alive].any():
                break
            over = u.sign() * (u.abs() > expand(threshold, u))
            push = expand(torch.where(short >= 0, c * cube.width, 0.0), x) * g
            step = expand(self.step * reach * (1 - END * i / self.steps), x)
            v = pick(going, cube.clamp(v - step * adam.direction((over - push) * cube.rate(v))), v)
        return pick(going & reached, start, v), ~going, reached
