"""Carlini and Wagner's attack in L0, IEEE S&P 2017, arXiv:1608.04644."""

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class CarliniWagnerL0(Attack):
    """Reach the goal, forbid the changes that mattered least, and reach it again with the others.

        minimize |x - x0|^2 + c * max(margin(x) + confidence, 0)  over the allowed values, until the goal is reached
        forbid those of least g_j (x_j - x0_j),    g = gradient of minus the margin

    A round begins where the last one ended, forbidden values put back. Where it fails, the values are allowed again,
    half as many are forbidden, and the constant doubles; a row ends when it cannot do without a single value.

    Cost: at most `rounds` * `steps` forward and backward passes and one more; a round that succeeds ends early.

    Deviations: a share of the changed values is forbidden at once, where the paper takes one at a time. The constant
    follows the scale of the scores, and the change of variables is that of `CarliniWagner`.

    Args:
        rounds: Sets of values tried.
        steps: Forward and backward passes in each round at most.
        step: Adam's step in v; from one bound to the other it is about 3.
        share: Part of the changed values that is forbidden at once, at first.
        constant: First constant, as a multiple of the one that suffices where the margin is linear.
        confidence: Margin to go beyond zero, in the units of the scores.
    """

    norms: ClassVar = (0.0,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    rounds: Count = 32
    steps: Count = 50
    step: Positive = 0.1
    share: Fraction = 0.3
    constant: Positive = 10.0
    confidence: NonNegative = 0.0

    def search(self, probe: Probe) -> None:
        """Reach the goal with fewer and fewer values."""
        x0, cube = probe.x0, Cube(probe.region.low, probe.region.high, probe.x0)
        g, _, margin = probe.slope(x0, minus_margin)
        size, short = (cube.width * norm(g, 2)).square(), (margin + self.confidence).clamp(min=0)
        c = self.constant * torch.where(size > 0, 2 * short / torch.where(size > 0, size, 1.0), 1.0)
        held, v, worth = torch.zeros_like(probe.alive), cube.start, torch.zeros_like(x0)
        allowed = kept = torch.ones_like(x0, dtype=torch.bool)
        drop = torch.full_like(c, self.share)
        for _ in probe.steps(self.rounds):
            reached, u, g = self._reach(probe, cube, v, c, allowed)
            x = torch.where(allowed, cube.point(u), x0)
            v, kept = pick(reached, u, v), pick(reached, allowed & (x != x0), kept)
            worth = pick(reached, g * (x - x0), worth)
            left = kept.flatten(1).sum(1)
            held |= reached
            count = torch.where(reached, (self.share * left).floor().clamp(min=1), (drop / 2).floor())
            probe.finish(held & ((count == 0) | (left == 0)))
            drop, c = torch.where(held, count, 0.0), torch.where(reached, c, 2 * c)
            order = torch.where(kept, worth, torch.inf).flatten(1).argsort(dim=1, stable=True).argsort(1)
            allowed = kept & (order.reshape(x0.shape) >= expand(drop, x0))

    def _reach(self, probe: Probe, cube: Cube, v: Tensor, c: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Adam over the allowed values from `v`: whether the goal was reached, where, and the slope there."""
        x0, adam = probe.x0, Adam(v)
        v = torch.where(allowed, v, cube.start)
        going = torch.ones_like(probe.alive)
        slope = torch.zeros_like(v)
        for _ in probe.steps(self.steps):
            x = torch.where(allowed, cube.point(v), x0)
            g, _, margin = probe.slope(x, minus_margin, only=going)
            slope = pick(going, g, slope)
            going &= margin + self.confidence >= 0
            if not going[probe.alive].any():
                break
            u = (x - x0) / expand(cube.width, x)
            descent = (2 * u - expand(c * cube.width, x) * g) * cube.rate(v) * allowed
            v = pick(going, cube.clamp(v - self.step * adam.direction(descent)), v)
        return ~going, v, slope
