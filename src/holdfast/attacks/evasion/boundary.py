"""The boundary attack, Brendel, Rauber and Bethge, ICLR 2018, arXiv:1712.04248."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect, start
from holdfast.core.params import Count, Fraction
from holdfast.geometry.rows import dot, expand, norm, pick, unit

FASTER = 1.1  # factor on a step length that worked
OFTEN, SELDOM = 0.5, 0.25  # shares of the steps around the input, and then toward it, that should work
LEAST = 1e-6  # least step length, so that a walk that is stuck may go on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Boundary(Attack):
    """Walk at random on the far side of the boundary: around the input on its sphere, then toward it.

        y <- x0 + |x - x0| unit(unit(x - x0) + around * u),    u a random unit vector, orthogonal to x - x0
        z <- y + toward * (x0 - y)        x <- z if it reaches the goal, else y if that does, else x

    Either length grows by a tenth where its step worked, and falls otherwise so that half of the steps around and a
    quarter of those toward the input work.

    Cost: queries only, no gradients: one or two a step, a few thousand in all. Set `queries` of the threat.

    Deviations: a step around the input is kept where it works though the step toward it does not, which costs no
    distance and moves the walk on; lengths adapt for each row after each step and not after a hundred; the start is
    noise mixed into the input and drawn in by bisection. A row that is out of reach of noise ends unbroken.

    Args:
        steps: Steps of the walk.
        around: First step around the input, as a fraction of the distance.
        toward: First step toward the input, as a fraction of the distance.
        tries: Random points tried for a start.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (2.0,)
    minimal: ClassVar = True

    steps: Count = 5000
    around: Fraction = 0.1
    toward: Fraction = 0.1
    tries: Count = 100

    def search(self, probe: Probe) -> None:
        """Find a start, draw it in and walk."""
        region, x0, x = probe.region, probe.x0, bisect(probe, start(probe, self.tries))
        around, toward = torch.full_like(norm(x, 2), self.around), torch.full_like(norm(x, 2), self.toward)
        for _ in probe.steps(self.steps):
            e, u = unit(x - x0), probe.draw.normal(*x.shape[1:])
            u = unit(u - expand(dot(u, e), u) * e)
            far = expand(norm(x - x0, 2), x)
            y = region.project(x0 + far * unit(e + expand(around, x) * u))
            z = region.project(y + expand(toward, x) * (x0 - y))
            here = probe.margin(y) < 0
            there = here & (probe.margin(z, only=here) < 0)
            x = pick(there, z, pick(here, y, x))
            around = adapted(around, here, OFTEN)
            toward = torch.where(here, adapted(toward, there, SELDOM), toward).clamp(max=0.5)

    def passes(self) -> int:
        """Questions a search asks for a row at most, bisection aside."""
        return self.tries + 2 * self.steps


def adapted(length: Tensor, worked: Tensor, share: float) -> Tensor:
    """A step length after one more step: it comes to rest where that share of the steps work."""
    return (length * torch.where(worked, FASTER, FASTER ** (-share / (1 - share)))).clamp(LEAST, 1.0)
