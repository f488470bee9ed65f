"""SurFree, Maho, Furon and Le Merrer, CVPR 2021, arXiv:2011.12807."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect, start
from holdfast.core.params import Count, Natural
from holdfast.geometry.rows import dot, expand, norm, pick, unit

FIRST, WIDEST, LEAST = math.pi / 6, math.pi / 2, 1e-4  # angles: first, largest, least
SMALLER = 0.98  # factor on the angle where no point of a plane reached the goal; its inverse where one did


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurFree(Attack):
    """Turn around the input in one random plane after another as far as the goal stays reached; no normal is estimated.

        z(a) <- x0 + |x - x0| cos(a) (cos(a) e + sin(a) v),    e = unit(x - x0), v random, orthogonal to e
        x <- z(a), a = angle or -angle if that reaches the goal, enlarged to at most its double by bisection

    z runs on the circle over the segment from the input to x: where the boundary is a plane, its nearest points of all
    such planes lie there. v is also orthogonal to the last directions, so that none is tried twice.

    Cost: queries only, no gradients: at most 2 + `halvings` a step, some hundreds until it is near.

    Deviations: directions are normal in the pixels; the paper draws low frequencies for photographs. Two angles are
    tried in a plane, not six; what a plane gives is taken more coarsely and the next one is tried sooner.

    Args:
        steps: Planes.
        halvings: Bisections of the angle.
        past: Directions remembered, fewer than half the dimension; memory for that many inputs a row.
        tries: Random points tried for a start.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (2.0,)
    minimal: ClassVar = True

    steps: Count = 1000
    halvings: Natural = 2
    past: Natural = 30
    tries: Count = 100

    def search(self, probe: Probe) -> None:
        """Find a start, draw it in and turn."""
        x0, x = probe.x0, bisect(probe, start(probe, self.tries))
        widest, past = torch.full_like(norm(x, 2), FIRST), list[Tensor]()
        for i in probe.steps(self.steps):
            v = probe.draw.normal(*x.shape[1:])
            for u in (*past, unit(x - x0)):
                v = v - expand(dot(v, u), v) * u
            v = unit(v)
            if most := min(self.past, x[0].numel() // 2 - 1):
                past = [*past[-most + 1 :], v] if i and most > 1 else [v]
            x, found = self._turn(probe, x, v, widest)
            widest = (widest * torch.where(found, 1 / SMALLER, SMALLER)).clamp(LEAST, WIDEST)

    def _turn(self, probe: Probe, x: Tensor, v: Tensor, widest: Tensor) -> tuple[Tensor, Tensor]:
        """The point of the circle toward `v` or away from it, `(batch, ...)`, and whether one reached the goal."""

        def at(angle: Tensor) -> Tensor:
            return around(probe, x, v, angle)

        low = torch.where(probe.margin(at(widest)) < 0, widest, 0.0)
        back = probe.margin(at(-widest), only=low == 0) < 0
        low = torch.where((low == 0) & back, -widest, low)
        found, high = low != 0, (2 * low).clamp(-WIDEST, WIDEST)
        for _ in probe.steps(self.halvings):
            middle = (low + high) / 2
            hit = probe.margin(at(middle), only=found) < 0
            low, high = torch.where(found & hit, middle, low), torch.where(found & ~hit, middle, high)
        return pick(found, at(low), x), found

    def passes(self) -> int:
        """Questions a search asks for a row at most, the first bisection aside."""
        return self.tries + (2 + self.halvings) * self.steps


def around(probe: Probe, x: Tensor, v: Tensor, angle: Tensor) -> Tensor:
    """The point of the circle over the segment from the input to `x`, `angle` away toward `v`: `(batch, ...)`."""
    d, c, s = x - probe.x0, expand(angle.cos(), x), expand(angle.sin(), x)
    return probe.region.project(probe.x0 + c * (c * d + s * expand(norm(d, 2), x) * v))
