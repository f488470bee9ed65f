"""DeepFool, Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Natural, NonNegative
from holdfast.geometry.rows import expand, norm, pick
from holdfast.threats.regions import Region

LEAST = 1e-6  # shortest step, as a fraction of the box's width: a point on the boundary must be able to leave it


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """Step to the nearest of the linearized boundaries until the goal is reached, then bisect toward the input.

        k <- argmin f_k / |w_k|_dual        x <- x + (1 + overshoot) * (shortest step with f_k + <w_k, .> = 0)

    Where every boundary is a plane one step is exact, up to the overshoot.

    Cost: at most `steps` times one forward and `ways` backward passes, and `halvings` forward passes;
    most inputs need two or three steps.

    Deviations: the shortest step is the shortest inside the box, where the paper clips, or does not mind the box; the
    overshoot is applied at each step instead of once at the end, so that the goal is tested where it will be claimed.

    Args:
        steps: Linearizations at most.
        ways: Boundaries considered, nearest at the input first.
        overshoot: How far each step goes beyond its boundary, as a fraction of the step.
        halvings: Of the segment between the input and the first success; 0 is the paper's attack.
    """

    norms: ClassVar = (math.inf, 2.0)
    minimal: ClassVar = True

    steps: Count = 50
    ways: Count = 9
    overshoot: NonNegative = 0.02
    halvings: Natural = 8

    def search(self, probe: Probe) -> None:
        """Linearize and step until the goal is reached, then bisect."""
        region, x0, x = probe.region, probe.x0, probe.x0
        ways = probe.clean.argsort(dim=1, stable=True)[:, : self.ways]
        width = (region.high - region.low).flatten(1).amax(1)
        x, going = cross(probe, region, x, ways, probe.alive, self.steps, self.overshoot)
        probe.margin(x, only=going)
        near, far = torch.zeros_like(width), torch.ones_like(width)
        for _ in probe.steps(self.halvings):
            middle = (near + far) / 2
            reached = probe.margin(x0 + expand(middle, x) * (x - x0)) < 0
            near, far = torch.where(reached, near, middle), torch.where(reached, middle, far)


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
