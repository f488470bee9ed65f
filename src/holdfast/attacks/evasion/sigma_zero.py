"""Sigma-zero, Cina et al., ICLR 2025, arXiv:2402.01879."""

import dataclasses
import math
from typing import ClassVar

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Positive, PositiveShare, Share
from holdfast.geometry.adam import Adam
from holdfast.geometry.rows import expand, unit

LAST = 0.1  # share of the step that is left at the end
LEVEL = 10.0  # margin of the input in the units in which it is weighed against the count


@dataclasses.dataclass(frozen=True, kw_only=True)
class SigmaZero(Attack):
    """Descend on margin plus a smooth count of the changed values, and undo the changes below a moving threshold.

        u <- clip(u - step * adam(g / |g|_inf)),    g = gradient of max(margin, 0) + mean u^2 / (u^2 + sigma)
        threshold <- threshold +- pace * step       up where the goal is reached, down where it is not
        u <- u where |u| >= threshold, else 0       u is the change of each value as a fraction of its range

    Cost: `steps` forward and backward passes and one more forward pass.

    Deviations: the margin is taken in units where the input's is 10, so that the scale of the scores does not matter.

    Args:
        steps: Forward and backward passes.
        step: Length of the first step, as a fraction of each value's range; falls to a tenth along a cosine.
        sigma: Smoothness of the count: the square of the change that counts half.
        threshold: First threshold, as a fraction of each value's range.
        pace: Change of the threshold, as a fraction of the step.
    """

    norms: ClassVar = (0.0,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 200
    step: Positive = 1.0
    sigma: Positive = 0.001
    threshold: Share = 0.3
    pace: PositiveShare = 0.01

    def search(self, probe: Probe) -> None:
        """Descend and filter for `steps` steps and look at the last point."""
        region, x0, x = probe.region, probe.x0, probe.x0
        width = region.high - region.low
        range_ = torch.where(width > 0, width, 1.0)
        clean = probe.clean.amin(1).abs()
        scale = LEVEL / torch.where(clean > 0, clean, LEVEL)
        u, adam = torch.zeros_like(x), Adam(x)
        threshold = torch.full_like(clean, self.threshold)
        for i in probe.steps(self.steps):
            g, _, margin = probe.slope(x, minus_margin)
            step = self.step * (LAST + (1 - LAST) * (1 + math.cos(math.pi * i / self.steps)) / 2)
            count = 2 * self.sigma * u / (u.square() + self.sigma).square() / x0[0].numel()
            g = unit(count - expand(torch.where(margin >= 0, scale, 0.0), g) * width * g, math.inf)
            u = u - step * adam.direction(g)
            x = torch.minimum(torch.maximum(x0 + width * u, region.low), region.high)
            turn = torch.where(margin < 0, 1.0, -1.0).to(threshold)
            threshold = (threshold + self.pace * step * turn).clamp(0, 1)
            u = (x - x0) / range_
            u = torch.where(u.abs() >= expand(threshold, u), u, 0.0)
            x = torch.where(u == 0, x0, x)
        probe.margin(x)
