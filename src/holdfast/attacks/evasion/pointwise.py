"""The pointwise attack, Schott, Rauber, Bethge and Brendel, ICLR 2019, arXiv:1805.09190."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.side_by_side import starts
from holdfast.core.params import Count
from holdfast.geometry.rows import pick


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pointwise(Attack):
    """Put salt and pepper on the input until the goal is reached, then take back one value after another.

        x_j <- x0_j if the goal stays reached, for all changed j in random order, again until none can be taken back

    Cost: queries only, no gradients: `tries` at most for each start and one for each changed value in each order.

    Deviations: none of the second part of the paper's attack, which shortens the changes that are left: L0 counts them.

    Args:
        restarts: Starts, each thinned out anew.
        tries: Noisy points tried for a start, the last ones noise alone.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (0.0,)
    minimal: ClassVar = True

    restarts: Count = 10
    tries: Count = 100

    def search(self, probe: Probe) -> None:
        """Find a start and take back what can be taken back."""
        for _, part in starts(probe, self.restarts):
            able = part.alive.clone()
            x, found = self._start(part)
            part.finish(~found)
            self._thin(part, x)
            part.resume(able & found)

    def _thin(self, probe: Probe, x: Tensor) -> None:
        """Take back what can be taken back, in one random order after another."""
        x0, x = probe.x0.flatten(1), x.flatten(1)
        while probe.alive.any():
            taken = torch.zeros_like(probe.alive)
            order = probe.draw.uniform(x.shape[1]).argsort(1)
            changed = (x != x0).gather(1, order)
            order = order.gather(1, changed.byte().argsort(dim=1, descending=True, stable=True))  # changed ones first
            left = changed.sum(1)
            for i in probe.steps(int(torch.where(probe.alive, left, 0).amax())):
                j = order[:, i : i + 1]
                y, only = x.scatter(1, j, x0.gather(1, j)), i < left
                hit = only & (probe.margin(y.reshape(probe.x0.shape), only=only) < 0)
                x, taken = pick(hit, y, x), taken | hit
            probe.finish(~taken)

    def _start(self, probe: Probe) -> tuple[Tensor, Tensor]:
        """The input with a growing share of its values at random bounds, and whether that reaches the goal."""
        region, shape, there = probe.region, probe.x0.shape[1:], probe.x0
        found = torch.zeros_like(probe.alive)
        for i in probe.steps(self.tries):
            noise = probe.draw.uniform(2, *shape, only=~found)
            grain = torch.where(noise[:, 0] < 0.5, region.low, region.high)
            y = torch.where(noise[:, 1] < (i + 1) / self.tries, grain, probe.x0)
            hit = ~found & (probe.margin(y, only=~found) < 0)
            found, there = found | hit, pick(hit, y, there)
            if found[probe.alive].all():
                break
        return there, found
