"""HopSkipJump, Chen et al., IEEE S&P 2020, arXiv:1904.02144."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import TOGETHER, Probe
from holdfast.attacks.starts import bisect, normal, start
from holdfast.core.params import Count
from holdfast.geometry.rows import expand, norm, pick

FIRST_SPREAD = 0.1  # of the box's width: size of the first probing steps
HALVINGS = 40  # of one leap at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class HopSkipJump(Attack):
    """Walk along the decision boundary with a direction estimated from decisions alone.

        g <- mean of (s - mean s) u over random units u, s = +-1 decision at x + spread * u
        x <- bisect(x + length * steepest(g)),    length = distance / sqrt(hop), halved until the goal is reached

    The direction is g / |g| in L2 and sign(g) in Linf; bisection runs along the segment to the input in L2 and over the
    radius of the ball around it in Linf, as in the paper.

    Cost: queries only, no gradients; hop t takes `samples` * sqrt(t) of them and about 2 log2(dimension) more for
    bisection. Between 1,000 and 5,000 a row are usual: set `queries` of the threat; the default hops more.

    Deviations: noise around the input, growing to uniform noise over the box, is tried for a start, so that the walk
    begins near where it can; a row that is not in reach of noise (a rare target, say) ends unbroken instead of failing.

    Args:
        steps: Hops.
        samples: Decisions for the first estimate; grows with the square root of the hop.
        most: Decisions for one estimate at most.
        tries: Random points tried for a start.
        chunk: Decisions asked at once, which bounds memory.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (math.inf, 2.0)
    minimal: ClassVar = True

    steps: Count = 64
    samples: Count = 100
    most: Count = 10_000
    tries: Count = 100
    chunk: Count = TOGETHER

    def search(self, probe: Probe) -> None:
        """Find a start and hop."""
        region, x0 = probe.region, probe.x0
        size = x0[0].numel()
        width = (region.high - region.low).flatten(1).amax(1)
        x = bisect(probe, start(probe, self.tries))
        for i in probe.steps(self.steps):
            far = norm(x - x0, region.p)
            spread = FIRST_SPREAD * width if i == 0 else far * (1 / size if region.p == 2 else 1 / math.sqrt(size))
            count = min(int(self.samples * math.sqrt(i + 1)), self.most)
            g = normal(probe, x, spread, count, self.chunk)
            x = bisect(probe, self._leap(probe, x, g, far / math.sqrt(i + 1)))

    def _leap(self, probe: Probe, x: Tensor, g: Tensor, length: Tensor) -> Tensor:
        """The longest of length, length / 2, ... that reaches the goal."""
        done, there = torch.zeros_like(probe.alive), x
        for _ in probe.steps(HALVINGS):
            y = probe.region.project(x + expand(length, x) * g)
            hit = ~done & (probe.margin(y, only=~done) < 0)
            done, there, length = done | hit, pick(hit, y, there), torch.where(done | hit, length, length / 2)
            if done[probe.alive].all():
                break
        return there

    def passes(self) -> int:
        """Questions a search asks for a row at most, bisection in large inputs aside."""
        return self.tries + sum(min(int(self.samples * math.sqrt(i + 1)), self.most) + 25 for i in range(self.steps))
