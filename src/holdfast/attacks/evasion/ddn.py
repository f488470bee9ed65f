"""Decoupled direction and norm, Rony et al., CVPR 2019, arXiv:1811.09600."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import log_odds
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Fraction, Positive
from holdfast.geometry.rows import expand, pick, unit

COLD = 10.0  # mean margin of the input's ways at first, then its least, in the units in which log-odds are taken


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ddn(Attack):
    """Follow the gradient on a sphere that shrinks where the goal is reached and grows where it is not.

        d <- d + rate * g / |g|        norm <- norm * (1 -+ change)        x <- project(x0 + norm * d / |d|)

    Cost: `steps` forward and backward passes and one more forward pass.

    Deviations: lengths are fractions of the box's width, which is 1 in the paper, so that any bounds will do; the
    points are not rounded to 8 bits, which is a question of the threat. The loss is the log-odds of the goal in units
    where the input's margins to all classes are 10 on average, the gradient of a cross-entropy that is not saturated
    and lets several classes pull; over the first half these units shrink until its margin to the nearest class is 10,
    and one class pulls. Neither depends on the scale of the scores. The change of the radius falls over the second
    half, where the paper's stays at 0.05 and ends no finer than that. As there, a point outside the box is clamped
    onto it.

    Args:
        steps: Forward and backward passes.
        norm: First radius, as a fraction of the box's width.
        change: Relative change of the radius at each step; falls to a fiftieth over the second half.
        rate: Length of the first step, as a fraction of the box's width; falls to a hundredth along a cosine.
    """

    norms: ClassVar = (2.0,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 100
    norm: Positive = 1.0
    change: Fraction = 0.1
    rate: Positive = 1.0

    def search(self, probe: Probe) -> None:
        """Walk on the sphere for `steps` steps and look at the last point."""
        region, x0, x = probe.region, probe.x0, probe.x0
        width = (region.high - region.low).flatten(1).amax(1)
        radius, most = self.norm * width, region.farthest()
        warm = _over(probe.clean.abs().mean(1), torch.ones_like(radius))
        cooling = (_over(probe.clean.amin(1).abs(), warm) / warm).log()  # torch's own power would see a row's place

        for i in probe.steps(self.steps):
            scale = warm * torch.exp(min(1.0, 2 * i / self.steps) * cooling)
            g, _, margin = probe.slope(x, _odds(scale))
            flat = (g == 0).flatten(1).all(1)
            g = pick(flat, probe.draw.normal(*x.shape[1:], only=flat), g)
            fall = 0.01 + 0.99 * (1 + math.cos(math.pi * i / self.steps)) / 2
            change = self.change * min(1.0, 2.02 - 2 * i / self.steps)
            d = x - x0 + expand(self.rate * fall * width, x) * unit(g)
            turn = torch.where(margin < 0, -1.0, 1.0).to(radius)
            radius = torch.minimum((1 + change * turn) * radius, most)
            x = region.project(x0 + expand(radius, x) * unit(d))
        probe.margin(x)


def _over(margin: Tensor, otherwise: Tensor) -> Tensor:
    """The factor that makes a margin `COLD`; another where it is zero."""
    return torch.where(margin > 0, COLD / margin, otherwise.to(margin)).clamp(max=1e12)


def _odds(scale: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Log-odds of the goal of margins times a factor for each row."""

    def loss(margins: Tensor, scores: Tensor) -> Tensor:
        return log_odds(scale[:, None, None] * margins, scores)

    return loss
