"""RayS, Chen and Gu, KDD 2020, arXiv:2006.12792."""

import dataclasses
import itertools
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
        d, radius <- t, bisect(radius) if x0 + radius * t, cut by the box, reaches the goal and bisecting shortens it

    The search begins at the corner of the lowest values; then the blocks are the input's halves, quarters and so on in
    the order of its values, down to single values, which are gone through until no turn helps a row any more.

    Cost: queries only, no gradients: 1 + `halvings` a step that reaches the goal, 1 for any other, and at most `tries`
    + `halvings` for the start.

    Deviations: the radius is bisected a fixed number of times and not to a length of 0.001. Where the corner of the
    lowest values, the paper's first question, does not reach the goal, random corners are tried before blocks of the
    highest one are turned, because no single turn may reach it either. A row ends where the paper goes on until its
    queries are spent, asking the same again.

    Args:
        steps: Blocks turned.
        halvings: Bisections of the radius after a turn that reaches the goal.
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
        width = (region.high - region.low).flatten(1).amax(1)
        d, found = self._start(probe, width)
        radius = torch.where(found, self._bisect(probe, d, width, found), torch.inf)
        idle = torch.zeros_like(radius)
        for _, block in zip(probe.steps(self.steps), itertools.islice(blocks(size), 1, None), strict=False):
            t = d.flatten(1).clone()
            t[:, block] *= -1
            t, far = t.reshape(d.shape), torch.minimum(radius, width)
            hit = probe.margin(region.project(x0 + expand(far, x0) * t)) < 0
            shorter = self._bisect(probe, t, far, hit)
            better = hit & (shorter < radius)
            d, radius = pick(better, t, d), torch.where(better, shorter, radius)
            idle = torch.where(better, 0, idle + (block.stop - block.start == 1))
            probe.finish(idle >= size)

    def _start(self, probe: Probe, width: Tensor) -> tuple[Tensor, Tensor]:
        """Signs of a corner of the box, and whether it reaches the goal; where none is found those of the highest."""
        d, found = torch.ones_like(probe.x0), torch.zeros_like(probe.alive)
        for i in probe.steps(self.tries):
            t = probe.draw.signs(*d.shape[1:], only=~found) if i else -d
            hit = ~found & (probe.margin(probe.region.project(probe.x0 + expand(width, d) * t), only=~found) < 0)
            d, found = pick(hit, t, d), found | hit
            if found[probe.alive].all():
                break
        return d, found

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
        return self.tries + self.halvings + self.steps * (1 + self.halvings)


def blocks(size: int) -> Iterator[slice]:
    """All values, their halves, quarters and so on, down to one by one without end."""
    level = 0
    while True:
        part = max(math.ceil(size / 2**level), 1)
        for first in range(0, size, part):
            yield slice(first, min(first + part, size))
        level = min(level + 1, size.bit_length())
