"""SuperDeepFool, Abdollahpour, Abroshan and Moosavi-Dezfooli, 2023, arXiv:2303.12481."""

import dataclasses
from typing import ClassVar

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.deep_fool import cross
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect
from holdfast.core.params import Count, Natural, NonNegative
from holdfast.geometry.rows import dot, pick


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperDeepFool(Attack):
    """Let DeepFool find a boundary, then go to the foot of the perpendicular on the plane that touches it there.

        y <- DeepFool from x        x <- x0 + (<g, y - x0> / |g|^2) g,    g = gradient of minus the margin at y

    At the nearest point of a boundary its normal points back to the input; DeepFool stops where it meets the boundary,
    the perpendicular turns the way there until it is one. A round begins where the last one ended; a row whose foot
    reaches the goal is done, and is drawn toward the input by bisection.

    Cost: for each round at most `steps` times one forward and `ways` backward passes and two passes more, the first
    of them with a gradient; most inputs need two or three of each; `halvings` forward passes.

    Deviations: the foot is the nearest point of the plane inside the box, where the paper has no box.

    Args:
        rounds: Of DeepFool and a perpendicular, at most.
        steps: Linearizations in each round at most.
        ways: Boundaries considered, nearest at the input first.
        overshoot: How far each step goes beyond its boundary, as a fraction of the step.
        halvings: Of the segment between the input and the nearest success.
    """

    norms: ClassVar = (2.0,)
    minimal: ClassVar = True

    rounds: Count = 20
    steps: Count = 50
    ways: Count = 9
    overshoot: NonNegative = 0.02
    halvings: Natural = 10

    def search(self, probe: Probe) -> None:
        """Cross and return to the perpendicular until its foot reaches the goal, then bisect."""
        region, x0, x = probe.region, probe.x0, probe.x0
        ways = probe.clean.argsort(dim=1, stable=True)[:, : self.ways]
        going = probe.alive.clone()
        for _ in probe.steps(self.rounds):
            y, lost = cross(probe, region, x, ways, going, self.steps, self.overshoot)
            g, _, margin = probe.slope(y, minus_margin, only=going)
            going &= ~lost & (margin < 0)
            foot = region.project(x0 + region.crossing(x0, g, dot(g, y - x0)))
            x = pick(going, foot, x)
            going &= probe.margin(x, only=going) >= 0
            if not going[probe.alive].any():
                break
        probe.finish(~probe.distance.isfinite())
        bisect(probe, probe.nearest, self.halvings)
