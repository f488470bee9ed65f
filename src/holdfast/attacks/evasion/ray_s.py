"""RayS, Chen and Gu, KDD 2020, arXiv:2006.12792."""

import dataclasses
import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count
from holdfast.geometry.rows import expand, pick


@dataclasses.dataclass(frozen=True, kw_only=True)
class RayS(Attack):
    """Search the corners of a cube for the one in whose direction the boundary is nearest, turning blocks of signs.

        t <- d with the signs of the next block turned
        d, radius <- t, bisect(radius) if x0 + radius * t, cut by the box, reaches the goal

    After the first corner itself the blocks are the input's halves, quarters and so on in the order of its values, down
    to single values, which are gone through until no turn helps a row any more.

    Cost: queries only, no gradients: 1 + `halvings` a step that helps, 1 for any other, and the start.

    Deviations: the radius is bisected a fixed number of times and not to a length of 0.001. Where the corner of the
    highest values, at which the paper begins, does not reach the goal, random corners are tried, because no single turn
    may reach it either.

    Args:
        steps: Blocks turned.
        halvings: Bisections of the radius after a turn that helps.
        tries: Corners of the box tried for a start.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (math.inf,)
    minimal: ClassVar = True

    steps: Count = 5000
    halvings: Count = 8
    tries: Count = 50

    def search(self, probe: Probe) -> None:
        """Turn the signs of one block after another."""
        x0, region, size = probe.x0, probe.region, probe.x0[0].numel()
        radius = (region.high - region.low).flatten(1).amax(1)
        d = self._start(probe, radius)
        idle = torch.zeros_like(radius)
        for i, block in zip(probe.steps(self.steps), blocks(size), strict=False):
            t = d.flatten(1).clone()
            t[:, block] *= -1 if i else 1
            t = t.reshape(d.shape)
            hit = probe.margin(region.project(x0 + expand(radius, x0) * t)) < 0
            shorter = self._bisect(probe, t, radius, hit)
            d, radius = pick(hit, t, d), torch.where(hit, shorter, radius)
            alone = block.stop - block.start == 1
            idle = torch.where(hit, 0, idle + alone)
            probe.finish(idle > size)

    def _start(self, probe: Probe, width: Tensor) -> Tensor:
        """Signs of a corner of the box that reaches the goal, where one is found; the highest is tried first."""
        d, found = torch.ones_like(probe.x0), torch.zeros_like(probe.alive)
        for i in probe.steps(self.tries):
            t = probe.draw.signs(*d.shape[1:], only=~found) if i else d
            hit = probe.margin(probe.region.project(probe.x0 + expand(width, d) * t), only=~found) < 0
            d, found = pick(hit & ~found, t, d), found | hit
            if found[probe.alive].all():
                break
        return d

    def _bisect(self, probe: Probe, d: Tensor, radius: Tensor, hit: Tensor) -> Tensor:
        """The least radius in the direction `d` that reaches the goal, where `radius` does: `(batch,)`."""
        low, high = torch.zeros_like(radius), radius
        for _ in probe.steps(self.halvings) if hit.any() else ():
            middle = (low + high) / 2
            inside = probe.margin(probe.region.project(probe.x0 + expand(middle, d) * d), only=hit) < 0
            low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
        return high

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.tries + self.steps * (1 + self.halvings)


def blocks(size: int) -> Iterator[slice]:
    """All values, their halves, quarters and so on, down to one by one without end."""
    level = 0
    while True:
        part = max(math.ceil(size / 2**level), 1)
        for first in range(0, size, part):
            yield slice(first, min(first + part, size))
        level = min(level + 1, size.bit_length())
