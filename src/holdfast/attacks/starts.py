"""Where a walk along a decision boundary begins: a random point that reaches the goal, drawn in to the boundary."""

import math

import torch
from torch import Tensor

from holdfast.attacks.probe import Probe
from holdfast.geometry.rows import expand, norm, pick


def start(probe: Probe, tries: int) -> Tensor:
    """A random point that reaches the goal, `(batch, ...)`; rows without one end.

    Noise is mixed into the input, more at each try, and is pure from the middle of the tries on.

    Args:
        probe: Asked once a try, for the rows that have none yet.
        tries: Random points at most.
    """
    region, found, there = probe.region, torch.zeros_like(probe.alive), probe.x0
    for i in probe.steps(tries):
        share = min(2 * (i + 1) / tries, 1.0)
        noise = region.low + (region.high - region.low) * probe.draw.uniform(*there.shape[1:], only=~found)
        blend = probe.x0 + share * (noise - probe.x0) if share < 1 else noise
        hit = ~found & (probe.margin(region.project(blend), only=~found) < 0)
        found, there = found | hit, pick(hit, region.project(blend), there)
        if found[probe.alive].all():
            break
    probe.finish(~found)
    return there


def between(probe: Probe, x: Tensor, share: Tensor) -> Tensor:
    """The point at a share, `(batch,)`, of the way from the input to `x`; share 1 is `x` itself.

    In Linf each coordinate goes as far as a ball around the input of that share of the distance lets it; in other norms
    the way is the segment.
    """
    d = x - probe.x0
    if probe.region.p == math.inf:
        most = expand(share * norm(d, math.inf), x)
        y = probe.x0 + torch.minimum(torch.maximum(d, -most), most)
    else:
        y = probe.x0 + expand(share, x) * d
    return pick(share < 1, probe.region.project(y), x)


def bisect(probe: Probe, x: Tensor, halvings: int | None = None) -> Tensor:
    """The point on the way from the input to `x`, which reaches the goal, that is nearest to the input and reaches it.

    Args:
        probe: Asked once a halving.
        x: `(batch, ...)`.
        halvings: Of the way; None for 1.5 log2(dimension), at least 10.
    """
    low, high = torch.zeros_like(x.flatten(1)[:, 0]), torch.ones_like(x.flatten(1)[:, 0])
    for _ in probe.steps(max(math.ceil(1.5 * math.log2(x[0].numel())), 10) if halvings is None else halvings):
        middle = (low + high) / 2
        hit = probe.margin(between(probe, x, middle)) < 0
        low, high = torch.where(hit, low, middle), torch.where(hit, middle, high)
    return between(probe, x, high)
