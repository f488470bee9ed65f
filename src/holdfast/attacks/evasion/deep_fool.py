"""DeepFool, Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import margin as minus_margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Natural, NonNegative
from holdfast.geometry.rows import dot, expand, norm, pick
from holdfast.threats.regions import Region

LEAST = 1e-6  # shortest step, as a fraction of the box's width: a point on the boundary must be able to leave it


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """Step to the nearest of the linearized boundaries until the goal is reached, bisect toward the input, return.

        k <- argmin f_k / |w_k|_dual        x <- x + (1 + overshoot) * (shortest step with f_k + <w_k, .> = 0)
        a return: the point nearest to the input on the boundary as it is linearized at x, or where the way from
        there to x meets the boundary

    Where every boundary is a plane one step is exact, up to the overshoot.

    Cost: at most `steps` times one forward and `ways` backward passes, `halvings` forward passes, and for each return
    2 + `halvings` forward and one backward passes; most inputs need two or three steps.

    Deviations: the shortest step is the shortest inside the box, where the paper clips, or does not mind the box; the
    overshoot is applied at each step instead of once at the end, so that the goal is tested where it will be claimed;
    the paper stops at the first success. That is `DeepFool(halvings=0, returns=0)`.

    Args:
        steps: Linearizations at most.
        ways: Boundaries considered, nearest at the input first.
        overshoot: How far each step goes beyond its boundary, as a fraction of the step.
        halvings: Of the segment between the input and the first success, and of that of each return.
        returns: To the boundary's nearest point.
    """

    norms: ClassVar = (math.inf, 2.0)
    minimal: ClassVar = True

    steps: Count = 50
    ways: Count = 9
    overshoot: NonNegative = 0.02
    halvings: Natural = 8
    returns: Natural = 4

    def passes(self) -> int:
        """Forward passes."""
        return self.steps + 1 + self.halvings + self.returns * (2 + self.halvings)

    def search(self, probe: Probe) -> None:
        """Linearize and step until the goal is reached, bisect, return along the boundary."""
        region, x0, x = probe.region, probe.x0, probe.x0
        ways = probe.clean.argsort(dim=1, stable=True)[:, : self.ways]
        x, going = cross(probe, region, x, ways, probe.alive, self.steps, self.overshoot)
        probe.margin(x, only=going)
        probe.finish(~probe.distance.isfinite())
        x = _met(probe, x0, probe.nearest, self.halvings)
        for _ in probe.steps(self.returns):
            g, _, _ = probe.slope(x, minus_margin)
            foot = region.project(x0 + (1 + self.overshoot) * region.crossing(x0, g, dot(g, x - x0)))
            reached = probe.margin(foot) < 0
            x = _met(probe, pick(reached, x0, foot), pick(reached, foot, x), self.halvings)


def _met(probe: Probe, start: Tensor, end: Tensor, halvings: int) -> Tensor:
    """Where the way from `start` to `end`, which reaches the goal, meets the boundary, on its far side."""
    near = torch.zeros_like(start.flatten(1)[:, 0])
    far = torch.ones_like(near)
    for _ in probe.steps(halvings):
        middle = (near + far) / 2
        reached = probe.margin(torch.lerp(start, end, expand(middle, start))) < 0
        near, far = torch.where(reached, near, middle), torch.where(reached, middle, far)
    return torch.lerp(start, end, expand(far, start))


def cross(
    probe: Probe, region: Region, x: Tensor, ways: Tensor, rows: Tensor, steps: int, overshoot: float
) -> tuple[Tensor, Tensor]:
    """DeepFool's steps from `x` until the goal is reached: the points, and the rows that did not see it reached.

    Args:
        probe: Asked for the Jacobian, once a step, of the rows under way.
        region: Whose norm decides what is near.
        x: `(batch, ...)`.
        ways: Boundaries considered, `(batch, k)` indices.
        rows: Those to move, a `(batch,)` mask; the others stay.
        steps: At most.
        overshoot: How far each step goes beyond its boundary, as a fraction of the step.
    """
    width, going = (region.high - region.low).flatten(1).amax(1), rows.clone()
    for _ in probe.steps(steps):
        w, f = probe.jacobian(x, ways, only=going)
        going &= (f >= 0).all(1)
        if not going[probe.alive].any():
            break
        w, f, size = nearest_boundary(w, f, region.p)
        f = torch.maximum(f, LEAST * width * size)
        x = pick(going, region.project(x + (1 + overshoot) * region.crossing(x, w, -f)), x)
    return x, going


def nearest_boundary(w: Tensor, f: Tensor, p: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row's linearized boundaries the one nearest in the p-norm, by the dual norm of its normal.

    Args:
        w: Normals, `(batch, ways, ...)`.
        f: Values, `(batch, ways)`.
        p: Exponent of the norm.

    Returns:
        Its normal `(batch, ...)`, its value `(batch,)`, and its normal's dual norm `(batch,)`.
    """
    dual = {math.inf: 1.0, 2.0: 2.0, 1.0: math.inf}[p]
    size = norm(w.flatten(0, 1), dual).reshape(f.shape)
    k = (f.abs() / size).nan_to_num(math.inf, math.inf).argmin(1)
    i = torch.arange(len(f), device=f.device)
    return w[i, k], f[i, k], size[i, k]
