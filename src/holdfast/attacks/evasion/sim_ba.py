"""Simple black-box attack, Guo, Gardner, You, Wilson and Weinberger, ICML 2019, arXiv:1905.07121."""

import dataclasses
import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Positive, PositiveShare
from holdfast.geometry.rows import pick


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimBa(Attack):
    """Step along one direction of an orthonormal basis after another, forward or else back, where it lowers the margin.

        q <- the next direction of a random order        x <- project(x + length * q), else project(x - length * q)

    `pixel` directions are single values; `dct` directions are cosines over a channel of the image, the lowest
    frequencies only, which natural images fall to sooner. A basis that is used up begins anew in another order. A
    vector is an image of one row.

    Cost: at most 2 queries of the scores a step and one more.

    Deviations: the length is a fraction of the radius, and a point that leaves the ball is projected onto it, where the
    paper's search is over once its steps have used up the radius; the margin of the goal stands in for the probability.

    Args:
        steps: Directions tried.
        step: Length of a step, as a fraction of the radius.
        basis: `pixel` or `dct`.
        share: Part of the frequencies of each side that `dct` uses, the lowest.
    """

    needs: ClassVar = frozenset({"scores"})
    norms: ClassVar = (2.0,)

    steps: Count = 2000
    step: Positive = 0.1
    basis: Literal["pixel", "dct"] = "pixel"
    share: PositiveShare = 1.0

    def search(self, probe: Probe) -> None:
        """Try the directions in a random order."""
        region, x = probe.region, probe.x0
        image = x.reshape(len(x), *(1,) * (4 - x.dim()), *x.shape[1:])
        channels, height, width = image.shape[1:]
        down, across = self._waves(height).to(x), self._waves(width).to(x)
        length = self.step * region.radius.to(x)
        order, count = torch.zeros(len(x), 1), channels * len(down) * len(across)
        best = probe.margin(x)
        for i in probe.steps(self.steps):
            if i % count == 0:
                order = probe.draw.uniform(count).argsort(1)
            place = order[:, i % count]
            c, row, column = place // (len(down) * len(across)), place // len(across) % len(down), place % len(across)
            wave = down[row][:, :, None] * across[column][:, None, :] * length[:, None, None]
            d = torch.zeros_like(image)
            d[torch.arange(len(x)), c] = wave
            done = torch.zeros_like(probe.alive)
            for sign in (1, -1):
                y = region.project(x + sign * d.reshape(x.shape))
                margin = probe.margin(y, only=~done)
                better = ~done & (margin < best)
                x, best, done = pick(better, y, x), torch.where(better, margin, best), done | better

    def _waves(self, size: int) -> Tensor:
        """Orthonormal rows: single places, or cosines of rising frequency, `(directions, size)`."""
        if self.basis == "pixel":
            return torch.eye(size, dtype=torch.float64)
        k = torch.arange(max(round(self.share * size), 1), dtype=torch.float64)[:, None]
        waves: Tensor = torch.cos(math.pi * k * (torch.arange(size) + 0.5) / size) * math.sqrt(2 / size)
        waves[0] /= math.sqrt(2)
        return waves

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return 2 * self.steps + 1
