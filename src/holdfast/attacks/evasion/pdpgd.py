"""Primal-dual proximal gradient descent, Matyasko and Chau, 2021, arXiv:2106.01538."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Positive
from holdfast.geometry.adam import Adam
from holdfast.geometry.projections import l1_ball
from holdfast.geometry.rows import expand, norm, sigmoid, unit

COLD = 5.0  # margin of the input in the units in which log(1 + exp) is taken
START, MOST = math.log(100.0), math.log(1e6)  # log weight of the constraint over the distance: first, and its bound
KEPT = 0.9  # share of the weight kept at each step
LATE, LAST = 0.1, 0.01  # shares of the weight's rate and of the step that are left at the end
PROXIMAL, NEWTON = 5, 8  # steps to the nearest point in Adam's metric, and of Newton's method in L0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pdpgd(Attack):
    """Adam on the margin, then the proximal operator of the distance, whose weight follows whether the goal is reached.

        d <- d - step * adam(gradient of log(1 + exp(margin)))     w <- w + rate * sign(margin)
        d <- argmin exp(-w) |z|_p + (z - d)' H (z - d) / (2 step)     H: what Adam divides by

    The minimum is sought by five proximal steps, each of them closed: shrinking every value (L1), the whole change (L2)
    or its largest values (Linf). In L0 the sum of |z|^(2/3) takes the place of the count.

    Where the gradient at the input is zero the attack stays there; nothing is drawn at random.

    Cost: `steps` forward and backward passes and one more forward pass.

    Deviations: lengths are fractions of the box's width, which is 1 in the paper, and margins are taken in units where
    the input's is 5, so that a factor on the logits changes nothing.

    Args:
        steps: Forward and backward passes. The weight of the distance begins at a hundredth and moves by `rate`: with
            far fewer steps it stays too small, and the points found stay too far.
        step: Length of Adam's first step in each value, as a fraction of the box's width; falls to a hundredth.
        rate: First step of the log weight; falls to a tenth.
    """

    norms: ClassVar = (math.inf, 2.0, 1.0, 0.0)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 300
    step: Positive = 0.3
    rate: Positive = 0.1

    def search(self, probe: Probe) -> None:
        """Descend from the input for `steps` steps and look at the last point."""
        region, x0, x, adam = probe.region, probe.x0, probe.x0, Adam(probe.x0)
        width = (region.high - region.low).flatten(1).amax(1)
        low, high = (region.low - x0) / expand(width, x0), (region.high - x0) / expand(width, x0)
        clean = probe.clean.amin(1).abs()
        cold = torch.where(clean > 0, COLD / clean, 1.0).clamp(max=1e12)
        log = torch.full_like(width, START)
        share, d = sigmoid(log), torch.zeros_like(x0)
        for i in probe.steps(self.steps):
            g, _, margin = probe.slope(x, lambda margins, scores: logsigmoid(cold * minus_margin(margins, scores)))
            step = self.step * LAST ** (i / self.steps)
            d = d + step * adam.direction(expand(width, g) * g)
            d = torch.minimum(torch.maximum(d, low), high)
            d = _nearest(d, adam.root(), step * (1 - share) / share, region.p, low, high)
            x = torch.minimum(torch.maximum(x0 + expand(width, d) * d, region.low), region.high)
            rate = self.rate * (1 - (1 - LATE) * i / self.steps)
            log = (log + rate * torch.where(margin < 0, -1.0, 1.0).to(log)).clamp(-MOST, MOST)
            share = KEPT * share + (1 - KEPT) * sigmoid(log)
        probe.margin(x)


def _nearest(d: Tensor, metric: Tensor, weight: Tensor, p: float, low: Tensor, high: Tensor) -> Tensor:
    """Where weight |z|_p + (z - d)' metric (z - d) / 2 is least, by proximal steps, in the box: `(batch, ...)`."""
    peak, z = norm(metric, math.inf), d
    for _ in range(PROXIMAL):
        z = OPERATORS[p](z - metric / expand(peak, z) * (z - d), weight / peak)
        z = torch.minimum(torch.maximum(z, low), high)
    return z


def of_l0(z: Tensor, weight: Tensor) -> Tensor:
    """Proximal operator of the sum of |z|^(2/3): with s its cube root, the largest root of s^4 - |z| s + 2/3 weight."""
    size, weight = z.abs(), expand(weight, z)
    s = _cube_root(size)
    least = s * 4 ** (-1 / 3)  # where the polynomial is lowest
    for _ in range(NEWTON):
        cube = s * s * s
        slope = 4 * cube - size
        s = torch.maximum(s - (cube * s - size * s + 2 / 3 * weight) / torch.where(slope > 0, slope, 1.0), least)
    there = s * s * s
    kept = (there - size).square() / 2 + weight * s.square() < size.square() / 2
    return torch.where(kept, z.sign() * there, 0)


def _cube_root(v: Tensor) -> Tensor:
    """By square roots, 1/3 = 1/4 + 1/16 + ..., and Newton's method: a power of a vector depends on its place in it."""
    root, part = torch.ones_like(v), v
    for _ in range(4):
        part = part.sqrt().sqrt()
        root = root * part
    for _ in range(3):
        root = torch.where(root > 0, (2 * root + v / torch.where(root > 0, root * root, 1.0)) / 3, 0.0)
    return root


def of_l1(z: Tensor, weight: Tensor) -> Tensor:
    """Every value shrunk by the weight."""
    return z.sign() * (z.abs() - expand(weight, z)).clamp(min=0)


def of_l2(z: Tensor, weight: Tensor) -> Tensor:
    """The length shrunk by the weight."""
    return expand((norm(z, 2) - weight).clamp(min=0), z) * unit(z)


def of_linf(z: Tensor, weight: Tensor) -> Tensor:
    """Less the projection onto the L1 ball of that radius, by Moreau's identity."""
    flat = z.flatten(1)
    return z - l1_ball(flat, flat.abs(), weight).reshape(z.shape)


OPERATORS: dict[float, Callable[[Tensor, Tensor], Tensor]] = {0.0: of_l0, 1.0: of_l1, 2.0: of_l2, math.inf: of_linf}
