"""NewtonFool, Jang, Wu and Jha, ACSAC 2017."""

import dataclasses
from typing import ClassVar

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import log_odds
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect
from holdfast.core.params import Count, Natural, Positive
from holdfast.geometry.rows import expand, norm, sigmoid, unit

LOWER = 0.99  # of the guess: with two classes it lies on the boundary, and Newton steps only ever come close


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewtonFool(Attack):
    """Newton steps that bring the probability of not reaching the goal down to that of a guess.

        x <- x - min(step * size, (p - 1 / classes) / |g|) g / |g|,    g = gradient of p

    p is the softmax probability of the true class, or of all classes but the target, for which a guess is one half. A
    row ends at its first success, which is then drawn toward the input by bisection.

    Cost: at most `steps` forward and backward passes, one more forward pass, and `halvings` forward passes.

    Deviations: the longest step is a fraction of the distance to the farthest corner of the box, where the paper has
    the length of the input, which a shift of the values would change; the gradient is that of the log-odds times
    p (1 - p), the same without vanishing on the way; bisection is not in the paper.

    Args:
        steps: Forward and backward passes.
        step: Longest step, as a fraction of the distance to the farthest corner of the box.
        halvings: Of the segment between the input and the nearest success; 0 is the paper's attack.
    """

    norms: ClassVar = (2.0,)
    minimal: ClassVar = True

    steps: Count = 100
    step: Positive = 0.01
    halvings: Natural = 10

    def search(self, probe: Probe) -> None:
        """Step until the goal is reached, then bisect."""
        region, x = probe.region, probe.x0
        longest, guess = self.step * region.farthest(), LOWER / (1 + probe.clean.shape[1])
        going = probe.alive.clone()
        for _ in probe.steps(self.steps):
            g, loss, margin = probe.slope(x, log_odds, only=going)
            going &= margin >= 0
            if not going[probe.alive].any():
                break
            p = sigmoid(-loss)
            size = p * (1 - p) * norm(g, 2)
            newton = torch.where(size > 0, (p - guess).clamp(min=0) / torch.where(size > 0, size, 1.0), torch.inf)
            length = torch.where(going, torch.minimum(longest, newton), 0.0)
            x = region.project(x + expand(length, x) * unit(g))
        probe.margin(x, only=going)
        probe.finish(~probe.distance.isfinite())
        bisect(probe, probe.nearest, self.halvings)
