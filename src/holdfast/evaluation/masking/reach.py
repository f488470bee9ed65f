"""Descent through the whole box, after "a sanity check" of Athalye et al., ICML 2018, arXiv:1802.00420."""

import dataclasses
import math
from typing import ClassVar

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, PositiveShare


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reach(Attack):
    """Walk from the sample along the sign of the gradient, each coordinate in units of its own range.

        x <- project(x + step * (high - low) * sign(g))

    No random start: a random point of the box is another class by luck, and would hide a gradient that leads nowhere.

    Cost: `steps` forward and backward passes and one more forward pass.

    Args:
        steps: Forward and backward passes.
        step: Share of each coordinate's range.
    """

    norms: ClassVar = (math.inf,)

    steps: Count = 20
    step: PositiveShare = 0.1

    def search(self, probe: Probe) -> None:
        """Walk."""
        region, x = probe.region, probe.x0
        for _ in probe.steps(self.steps):
            x = region.project(x + self.step * (region.high - region.low) * probe.slope(x).gradient.sign())
        probe.margin(x)
