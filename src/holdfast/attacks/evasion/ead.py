"""Elastic-net attack, Chen, Sharma, Zhang, Yi and Hsieh, AAAI 2018, arXiv:1709.04114."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, NonNegative, Positive
from holdfast.geometry.rows import expand, norm

LEAST = 1e-6  # least reach, as a fraction of the box's width
MOST = 0.5  # longest step: it solves |u|^2 at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ead(Attack):
    """Minimize an elastic net plus constant times margin inside the box by FISTA, and search for the constant.

        minimize |u|_2^2 + beta |u|_1 + c * max(margin(x0 + width * u) + confidence, 0)
        u <- clip(shrink(y - rate * slope(y), rate * beta))        y <- u + i / (i + 3) * (u - u before)

    shrink moves each value toward zero by its second argument, and no further: most values do not change at all. The
    constant is found as in Carlini and Wagner's attack, by bisection, up by tens where the goal was never reached. The
    nearest success in L1 is returned (the paper's decision rule L1).

    Cost: `searches` * `steps` times a forward and backward pass and another forward pass, and one of each.

    Deviations: values are shrunk by `rate * beta`, the proximal step of that objective, where the paper shrinks by beta
    whatever the rate: its beta of 0.01 is a weight of 1 at its first rate of 0.01 and of more as the rate falls; 10
    throughout comes nearer in L1 than 1. The first constant suffices where the margin is linear (times `constant`), and
    the rate is such that the most salient value takes steps in proportion to the distance, instead of 0.001 and 0.01
    for all. y stays inside the box.

    Args:
        steps: Steps of FISTA in each search.
        searches: Constants tried.
        step: First step of the most salient value, as a fraction of the largest change on the way to the linearized
            boundary, later to the nearest success; falls along a square root to nothing.
        beta: Weight of the L1 length, lengths in widths of the box.
        constant: First constant, as a multiple of the one that suffices where the margin is linear.
        confidence: Margin to go beyond zero, in the units of the scores.
    """

    norms: ClassVar = (1.0,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 100
    searches: Count = 8
    step: Positive = 0.1
    beta: NonNegative = 10.0
    constant: Positive = 1.0
    confidence: NonNegative = 0.0

    def search(self, probe: Probe) -> None:
        """Minimize once for each constant."""
        region, x0 = probe.region, probe.x0
        width = (region.high - region.low).flatten(1).amax(1)
        g, _, margin = probe.slope(x0, minus_margin)
        short, size = (margin + self.confidence).clamp(min=0), width * norm(g, 2)
        peak = width * norm(g, torch.inf)
        linear = self.beta / torch.where(peak > 0, peak, 1.0) + 2 * short / torch.where(size > 0, size, 1.0).square()
        c = self.constant * torch.where(size > 0, linear, 1.0)
        reach = torch.where(size > 0, norm(region.crossing(x0, g, short), torch.inf) / width, 1.0)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in probe.steps(self.searches):
            push = c * torch.where(peak > 0, peak, 1.0)
            reached = self._minimize(probe, c, self.step * reach.clamp(LEAST, 1.0) / push)
            best = norm(probe.nearest - x0, torch.inf) / width
            reach = torch.where(probe.distance.isfinite(), best, 10 * reach)
            low, high = torch.where(reached, low, c), torch.where(reached, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high.nan_to_num(posinf=0.0)) / 2)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return 2 * self.searches * self.steps + 2

    def _minimize(self, probe: Probe, c: Tensor, first: Tensor) -> Tensor:
        """FISTA from the input, rates beginning with `first`; whether the goal was reached: `(batch,)`."""
        x0, x, y = probe.x0, probe.x0, probe.x0
        low, high = probe.region.low, probe.region.high
        width = expand((high - low).flatten(1).amax(1), x)
        reached = torch.zeros_like(probe.alive)
        for i in probe.steps(self.steps):
            g, _, margin = probe.slope(y, minus_margin)
            rate = expand((first * (1 - i / self.steps) ** 0.5).clamp(max=MOST), x)
            push = expand(torch.where(margin + self.confidence > 0, c, 0.0), x) * width * g
            u = (y - x0) / width
            u = u - rate * (2 * u - push)
            u = u.sign() * (u.abs() - rate * self.beta).clamp(min=0)
            before, x = x, torch.minimum(torch.maximum(x0 + width * u, low), high)
            y = torch.minimum(torch.maximum(x + i / (i + 3) * (x - before), low), high)
            reached |= probe.margin(x) + self.confidence < 0
        return reached
