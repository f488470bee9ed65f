"""What walks along a decision boundary share: a random start, bisection toward the input, the normal from decisions."""

import math

import torch
from torch import Tensor

from holdfast.attacks.probe import TOGETHER, Probe
from holdfast.geometry.rows import expand, norm, pick, unit


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


def normal(probe: Probe, x: Tensor, spread: Tensor, count: int, chunk: int = TOGETHER) -> Tensor:
    """Monte Carlo estimate of the boundary's normal toward the goal, of unit length in the norm: `(batch, ...)`.

    Args:
        probe: Asked `count` times.
        x: Points near the boundary.
        spread: Length of the probing steps, `(batch,)`.
        count: Decisions.
        chunk: Decisions asked at once, which bounds memory.
    """
    both, plain, total = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(spread)
    low, high = probe.region.low[:, None], probe.region.high[:, None]
    for k in probe.steps(math.ceil(count / chunk)):
        n = min(chunk, count - k * chunk)
        u = probe.draw.normal(n, *x.shape[1:])
        u = unit(u.flatten(0, 1)).reshape(u.shape)
        y = torch.minimum(torch.maximum(x[:, None] + expand(spread, u) * u, low), high)
        u = (y - x[:, None]) / expand(torch.where(spread > 0, spread, 1.0), u)  # what the box left of it
        s = torch.where(probe.margins(y) < 0, 1.0, -1.0).to(x)
        both, plain, total = both + (expand(s, u) * u).sum(1), plain + u.sum(1), total + s.sum(1)
    mean = total / count
    g = torch.where(expand(mean.abs() == 1, x), both, both - expand(mean, x) * plain)
    return unit(g) if probe.region.p == 2 else g.sign()
