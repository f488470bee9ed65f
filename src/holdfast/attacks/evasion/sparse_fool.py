"""SparseFool, Modas, Moosavi-Dezfooli and Frossard, CVPR 2019, arXiv:1811.02248."""

import dataclasses
import math
from typing import Annotated, ClassVar

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.deep_fool import cross
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect
from holdfast.core.params import Count, Natural, NonNegative, Range
from holdfast.geometry.rows import dot, pick
from holdfast.threats.regions import L2Region


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparseFool(Attack):
    """Let DeepFool find a boundary in L2, then cross the plane that touches it there with as few values as possible.

        y <- DeepFool from x        x <- x + pour(g, box, far <g, y - x>),    g = gradient of minus the margin at y

    pour takes the values of largest |g_j| to their bounds, one after the other, until the plane `far` times as far away
    as y is reached: the shortest way there in L1, inside the box.

    Cost: for each round at most `steps` times one forward and `ways` backward passes and two passes more; most inputs
    need two or three of each; `halvings` forward passes.

    Deviations: a success is drawn toward the input by bisection.

    Args:
        rounds: Of DeepFool and a sparse step, at most.
        steps: Linearizations in each round at most.
        ways: Boundaries considered, nearest at the input first.
        far: Distance of the plane, as a multiple of the boundary's: more needs fewer rounds and more values.
        overshoot: How far DeepFool's steps go beyond their boundary, as a fraction of the step.
        halvings: Of the segment between the input and the nearest success.
    """

    norms: ClassVar = (1.0,)
    minimal: ClassVar = True

    rounds: Count = 20
    steps: Count = 50
    ways: Count = 9
    far: Annotated[float, Range(1, math.inf, open_high=True)] = 1.0
    overshoot: NonNegative = 0.02
    halvings: Natural = 10

    def search(self, probe: Probe) -> None:
        """Cross and step until the goal is reached, then bisect."""
        region, x = probe.region, probe.x0
        round_ = L2Region(probe.x0, region.radius, region.low, region.high)
        ways = probe.clean.argsort(dim=1, stable=True)[:, : self.ways]
        going = probe.alive.clone()
        for _ in probe.steps(self.rounds):
            y, lost = cross(probe, round_, x, ways, going, self.steps, self.overshoot)
            g, _, margin = probe.slope(y, minus_margin, only=going)
            going &= ~lost & (margin < 0)
            x = pick(going, region.project(x + region.crossing(x, g, self.far * dot(g, y - x))), x)
            going &= probe.margin(x, only=going) >= 0
            if not going[probe.alive].any():
                break
        probe.finish(~probe.distance.isfinite())
        bisect(probe, probe.nearest, self.halvings)
