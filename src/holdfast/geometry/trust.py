"""The nearest point to the original on a plane, inside a box and near the iterate: a trust-region step, batched.

    minimize |z - x0|_p    with <g, z - x> = amount,    low <= z <= high,    |z - x|_2 <= radius

With a multiplier for the ball, and one for the plane, the problem falls apart into its coordinates:

    z = clip(pull(x + t g, s)),    pull = (1 - s) x + s x0 + t g  in L2,   shrunk toward x0 by s / (1 - s)  in L1,
                                          within e of x0  in Linf,  e = |x - x0|_inf + (1 - 2 s) radius

In Linf e begins beyond the iterate's distance: where the iterate's values are all at the edge, the way to a plane
farther out leads through a larger distance. Both are found on a line: t, on which <g, z - x> is monotone, by Newton
steps kept inside a bracket, and s in [0, 1), on which |z - x| is, by secants and bisection. A row that is done stays as
it is, so that its end does not depend on the others.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from holdfast.geometry.rows import dot, expand, norm, pick

HALVINGS = 14  # of the interval of s
FULL = 0.999  # of the radius: a step so long is not made longer
NEWTON = 12  # steps for t at each s, from where the last s left it


def toward(
    x: Tensor,
    x0: Tensor,
    g: Tensor,
    amount: Tensor,
    low: Tensor,
    high: Tensor,
    radius: Tensor,
    p: float,
    slack: Tensor | float = 1e-6,
) -> Tensor:
    """The trust-region step's end; where the plane is out of reach, `radius` of the way onto it: `(batch, ...)`.

    Args:
        x: Iterates inside the box, `(batch, ...)`.
        x0: Originals, likewise.
        g: Normals of the planes; a zero normal is no plane at all.
        amount: `<g, z - x>` on the plane, `(batch,)`.
        low: The box.
        high: The box.
        radius: Of the ball around `x`, `(batch,)`.
        p: 1, 2 or infinity.
        slack: By how much `<g, z - x>` may miss the amount.
    """
    amount = torch.where(norm(g, 2) > 0, amount, 0.0)
    pulled, t = _pull(x, x0, g, low, high, radius, p), torch.zeros_like(radius)
    least, most = torch.zeros_like(radius), torch.ones_like(radius)

    def onto(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _root(lambda t: pulled(s, t), x, g, amount, t, radius, slack)

    best, t, _ = onto(least, t)
    short = norm(best - x, 2)
    best = pick(short > radius, x + expand(radius / torch.where(short > 0, short, 1.0), x) * (best - x), best)
    long, done = torch.full_like(radius, torch.inf), short > radius
    for i in range(HALVINGS):
        share = (radius - short) / torch.where(long > short, long - short, 1.0)
        secant = (i % 3 < 2) & long.isfinite() & (share > 0) & (share < 1)
        s = least + (most - least) * torch.where(secant, share, 0.5)
        z, there, missed = onto(s, t)
        length = norm(z - x, 2)
        fits = (length <= radius) & (missed <= slack) & ~done
        t = torch.where(fits, there, t)
        least, most, best = torch.where(fits, s, least), torch.where(fits | done, most, s), pick(fits, z, best)
        short = torch.where(fits, length, short)
        long = torch.where(fits | done, long, torch.where(missed <= slack, length, torch.inf))
        done = done | (short >= FULL * radius)
        if done.all():
            break
    return best


def _pull(
    x: Tensor, x0: Tensor, g: Tensor, low: Tensor, high: Tensor, radius: Tensor, p: float
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(s, t) -> the point that belongs to both multipliers, and which of its values follow t."""
    far = norm(x - x0, math.inf)
    inner = (far - radius).clamp(min=0)  # in Linf no point of the ball is nearer, and none is farther than `outer`
    outer = torch.minimum(far + radius, torch.maximum(x0 - low, high - x0).flatten(1).amax(1))

    def pulled(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        moved, lower, upper = x + expand(t, x) * g, low, high
        free = torch.ones_like(x, dtype=torch.bool)
        if p == 2:
            moved = moved + expand(s, x) * (x0 - x)
        elif p == 1:
            size = (moved - x0).abs() - expand(s / (1 - s).clamp(min=1e-9) * far, x)
            moved, free = x0 + (moved - x0).sign() * size.clamp(min=0), size > 0
        else:
            edge = expand(outer + s * (inner - outer), x)
            lower, upper = torch.maximum(low, x0 - edge), torch.minimum(high, x0 + edge)
        return torch.minimum(torch.maximum(moved, lower), upper), free & (moved > lower) & (moved < upper)

    return pulled


def _root(
    point: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    g: Tensor,
    amount: Tensor,
    t: Tensor,
    radius: Tensor,
    slack: Tensor | float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The point on the plane among `point(t)`, its t, and by how much the plane is missed."""
    size = norm(g, 2)
    leap = radius / torch.where(size > 0, size, 1.0)
    under, over = torch.full_like(t, -torch.inf), torch.full_like(t, torch.inf)
    z, best, missed = x, t, torch.full_like(t, torch.inf)
    for i in range(NEWTON):
        there, free = point(t)
        gap = dot(g, there - x) - amount
        nearer = gap.abs() < missed
        z, best, missed = pick(nearer, there, z), torch.where(nearer, t, best), torch.where(nearer, gap.abs(), missed)
        onto = missed <= slack
        if onto.all():
            break
        under, over = torch.where(gap < 0, t, under), torch.where(gap >= 0, t, over)
        slope = (g.square() * free).flatten(1).sum(1)
        newton, middle = t - gap / torch.where(slope > 0, slope, 1.0), (under + over) / 2
        inside = (slope > 0) & (newton > under) & (newton < over) & ((i % 3 < 2) | middle.isinf())
        leapt = torch.where(gap < 0, t + leap, t - leap)
        moved = torch.where(inside, newton, torch.where(middle.isfinite(), middle, leapt))
        t, leap = torch.where(onto, t, moved), 2 * leap
    return z, best, missed
