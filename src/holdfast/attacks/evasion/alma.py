"""Augmented Lagrangian attack, Rony, Granger, Pedersoli and Ben Ayed, ICCV 2021, arXiv:2011.11857."""

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
from holdfast.threats.regions import Region

SMALL = 1e-8
INSIDE = 1e-4  # share of the input's margin by which the constraint asks for more than a tie
LOWEST, HIGHEST = 1e-6, 1e12  # bounds of the multiplier
CHECKS, BETTER, GROWTH = 10, 0.95, 1.2  # steps between looks at the penalty, progress that keeps it, its growth
LAST = 0.01  # share of the rate that is left at the end
DOUBLINGS, HALVINGS = 30, 20  # of the search for the first rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alma(Attack):
    """Minimize distance plus a penalty on the margin whose multiplier follows the violation.

        minimize |x - x0|_p + P(y),    y = margin / margin of the input, below 0 where the goal is reached
        P(y) = mu y + mu rho y^2 + rho^2 y^3 / 6  where y >= 0,    mu y / (1 - rho y)  elsewhere
        mu <- smoothing mu + (1 - smoothing) P'(y)    rho <- 1.2 rho  every ten steps without success or 5 % progress
        x <- clip(x - rate * m),    m, s: momentum and mean square of the gradient, m <- smoothing m + g / sqrt(s)

    The first rate makes a step along the first gradient, clipped to the box, `step` long, or half as long as the box
    allows where that is less; from the first success on it falls to a hundredth.

    Cost: `steps` forward and backward passes and one more forward pass.

    Deviations: lengths are fractions of the box's width, which is 1 in the paper. y is the paper's ratio of logits with
    the input's margin below the line instead of the gap to the third score: two classes have no third, and a target
    that is third no slope. In L2 that ends 1 % farther on digits and 4 % nearer on MNIST, in L1 nearer on both. The
    first step is measured in L2 for L1 too, so that one length will do for 64 values and for 784. The paper smooths by
    0.9, which wants its 1,000 steps.

    Args:
        steps: Forward and backward passes.
        step: L2 length of the first step, as a fraction of the box's width.
        smoothing: Share of the multiplier, of the mean square and of the momentum that is kept at each step.
    """

    norms: ClassVar = (2.0, 1.0)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 100
    step: Positive = 0.7
    smoothing: Fraction = 0.5

    def search(self, probe: Probe) -> None:
        """Descend from the input for `steps` steps and look at the last point."""
        region, x0, x, kept = probe.region, probe.x0, probe.x0, self.smoothing
        width = (region.high - region.low).flatten(1).amax(1)
        mu = rho = rate = torch.ones_like(width)
        before = torch.full_like(width, torch.inf)
        found = torch.full_like(width, torch.inf)
        square, moved = torch.ones_like(x0), torch.zeros_like(x0)
        clean = probe.clean.amin(1).abs()
        scale = 1 / torch.where(clean > 0, clean, 1.0)
        for i in probe.steps(self.steps):
            g, value, _ = probe.slope(x, lambda margins, scores: scale * minus_margin(margins, scores))
            y = INSIDE - value.nan_to_num(0.0, 0.0, 0.0)
            found = torch.where((y < 0) & found.isinf(), float(i), found)
            if i % CHECKS == 0:
                rho = torch.where(found.isinf() & (y >= BETTER * before), GROWTH * rho, rho)
                before = y
            mu = (kept * mu + (1 - kept) * penalty_slope(y, rho, mu)).clamp(LOWEST, HIGHEST) if i else mu
            d = _pull(x - x0, region.p) - expand(penalty_slope(y, rho, mu) * width, x) * g
            if i == 0:
                flat = norm(d, 2) == 0
                d = pick(flat, unit(probe.draw.normal(*x.shape[1:], only=flat)), d)
                rate = _rate(region, expand(width, d) * d, self.step * width)
            late = torch.where(found.isfinite(), (i - found) / (self.steps - found), 0.0)
            square = kept * square + (1 - kept) * d.square()
            moved = kept * moved + d / (square.sqrt() + SMALL)
            x = x - expand(rate * torch.exp(late * math.log(LAST)) * width, x) * moved
            x = torch.minimum(torch.maximum(x, region.low), region.high)
        probe.margin(x)


def penalty_slope(y: Tensor, rho: Tensor, mu: Tensor) -> Tensor:
    """Derivative of the penalty: `(batch,)`."""
    inside = mu / (1 - rho * y.clamp(max=0)).square()
    return torch.where(y >= 0, mu + 2 * mu * rho * y + rho.square() * y.square() / 2, inside)


def _pull(d: Tensor, p: float) -> Tensor:
    """Gradient of the distance; zero at the input."""
    return d.sign() if p == 1 else unit(d)


def _rate(region: Region, d: Tensor, length: Tensor) -> Tensor:
    """The multiple of a step against `d`, clipped to the box, that is `length` or half its reach long: `(batch,)`."""

    def clipped(rate: Tensor) -> Tensor:
        x = torch.minimum(torch.maximum(region.x0 - expand(rate, d) * d, region.low), region.high)
        return norm(x - region.x0, 2)

    low, high = torch.zeros_like(length), length / norm(d, 2)
    reach = clipped(2**DOUBLINGS * high)
    length = torch.minimum(length, reach / 2)
    for _ in range(DOUBLINGS):
        more = clipped(high) < length
        low, high = torch.where(more, high, low), torch.where(more, 2 * high, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        more = clipped(middle) < length
        low, high = torch.where(more, middle, low), torch.where(more, high, middle)
    return (low + high) / 2
