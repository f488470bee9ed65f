"""Natural evolution strategies, Ilyas, Engstrom, Athalye and Lin, ICML 2018, arXiv:1804.08598."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import TOGETHER, Probe
from holdfast.core.params import Count, Fraction, Positive, Share
from holdfast.geometry.rows import expand, unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nes(Attack):
    """Climb by a gradient that antithetic Gaussian samples around the iterate estimate from scores.

        g <- sum of (margin(x - spread * u) - margin(x + spread * u)) u over normal u
        m <- momentum * m + (1 - momentum) * g        x <- project(x + step * steepest(m))

    Cost: no gradients; `steps` * (`samples` + 1) queries of the scores, an odd `samples` rounded down.

    Deviations: the margin of the goal stands in for the probability of the target, so that a saturated model has a
    slope; samples are cut by the box, and what is left of a pair is its direction; the step does not fall on a plateau.

    Args:
        steps: Steps of the iterate.
        samples: Points asked for one estimate, two for each direction.
        step: Step length, as a fraction of the radius.
        spread: Standard deviation of the samples, as a fraction of the box's width.
        momentum: Share of the last direction kept.
    """

    needs: ClassVar = frozenset({"scores"})
    norms: ClassVar = (math.inf, 2.0)

    steps: Count = 200
    samples: Count = 50
    step: Positive = 0.1
    spread: Fraction = 0.001
    momentum: Share = 0.9

    def search(self, probe: Probe) -> None:
        """Climb from the input."""
        region, x, m = probe.region, probe.x0, torch.zeros_like(probe.x0)
        spread = self.spread * (region.high - region.low)
        for _ in probe.steps(self.steps):
            g = torch.zeros_like(x)
            for pairs in chunks(self.samples):
                g = g + climb(probe, x, spread[:, None] * probe.draw.normal(pairs, *x.shape[1:]))
            m = self.momentum * m + (1 - self.momentum) * unit(g)
            x = region.project(x + self.step * region.steepest(m, x))
            probe.margin(x)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.steps * (2 * sum(chunks(self.samples)) + 1)


def chunks(samples: int) -> list[int]:
    """Pairs asked at once, so that they make `samples` points, one pair at least."""
    pairs, most = max(samples // 2, 1), TOGETHER // 2
    return [min(most, pairs - done) for done in range(0, pairs, most)]


def climb(probe: Probe, x: Tensor, steps: Tensor) -> Tensor:
    """Sum over `steps`, `(batch, pairs, ...)`, of the fall of the margin along each, times its direction: like `x`."""
    low, high = probe.region.low[:, None], probe.region.high[:, None]
    ahead, behind = (torch.minimum(torch.maximum(x[:, None] + s, low), high) for s in (steps, -steps))
    margin = probe.margins(torch.stack([ahead, behind], 2).flatten(1, 2))
    fall = (margin[:, 1::2] - margin[:, 0::2]).nan_to_num(0.0, 0.0, 0.0)
    return (expand(fall.to(x), steps) * (ahead - behind)).sum(1)
