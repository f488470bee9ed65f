"""The nearest point to the original on a plane, inside a box and near the iterate: a trust-region step, batched.

    minimize |z - x0|_p    with <g, z - x> = amount,    low <= z <= high,    |z - x|_2 <= radius

With a multiplier for the ball, and one for the plane, the problem falls apart into its coordinates:

    z = clip(pull(x + t g, s)),    pull = (1 - s) x + s x0 + t g  in L2,   shrunk toward x0 by s / (1 - s)  in L1,
                                          within e of x0  in Linf,  e = |x - x0|_inf + (1 - 2 s) radius

In Linf e begins beyond the iterate's distance: where the iterate's values are all at the edge, the way to a plane
farther out leads through a larger distance. Both are found on a line: t, on which <g, z - x> is monotone, by Newton
steps kept inside a bracket, and s in [0, 1), on which |z - x| is, by secants and bisection. A row leaves either search
when it is done, and does not begin the one for t where its plane and its edges do not meet: its end does not depend on
the others, and they do not wait for it.
"""

import dataclasses
import math
from typing import Self

import torch
from torch import Tensor

from holdfast.geometry.rows import dot, expand, norm, pick, put

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
    slack = torch.as_tensor(slack, dtype=radius.dtype, device=radius.device).expand_as(radius)
    step = whole = _Step.of(x, x0, g, low, high, amount, radius, slack, p)
    least, most, long = torch.zeros_like(radius), torch.ones_like(radius), torch.full_like(radius, torch.inf)
    line = whole.at(least)
    best, t, _ = _root(line, torch.zeros_like(radius))
    short = norm(best - x, 2)
    best = pick(short > radius, x + expand(radius / torch.where(short > 0, short, 1.0), x) * (best - x), best)
    short = torch.where(line.met(), short, torch.inf)
    for i in range(HALVINGS):
        rows = (short < FULL * radius).nonzero()[:, 0]
        if not len(rows):
            break
        if len(rows) < len(step.x0):
            step = whole.take(rows)
        share = (radius - short) / torch.where(long > short, long - short, 1.0)
        secant = (i % 3 < 2) & long.isfinite() & (share > 0) & (share < 1)
        s = least + (most - least) * torch.where(secant, share, 0.5)
        line = step.at(s[rows])
        z, there, missed = _root(line, t[rows], line.met() if p == math.inf else None)
        length, onto = norm(z - line.x, 2), missed <= line.slack
        fits = onto & (length <= line.radius)
        inside, outside = rows[fits], rows[~fits]
        least[inside], t[inside], short[inside], best[inside] = s[inside], there[fits], length[fits], z[fits]
        most[outside], long[outside] = s[outside], torch.where(onto, length, torch.inf)[~fits]
    return best


class _Rows:
    """A dataclass whose tensors have a row for each sample."""

    def take(self, rows: Tensor) -> Self:
        """The same for the chosen rows."""
        every = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        tensors = {name: value[rows] for name, value in every.items() if isinstance(value, Tensor)}
        inner = {name: value.take(rows) for name, value in every.items() if isinstance(value, _Rows)}
        return dataclasses.replace(self, **tensors, **inner)  # type: ignore[type-var]


@dataclasses.dataclass(frozen=True)
class _Step(_Rows):
    """The arguments of `toward`, of some rows, and how far from the original the points of its ball may be in Linf.

    Args:
        line: The points for s = 0 without what s does to them.
        x0, p: As there.
        far: Distance of the iterate.
        inner, outer: No point of the ball is nearer, and none is farther.
    """

    line: "_Line"
    x0: Tensor
    far: Tensor
    inner: Tensor
    outer: Tensor
    p: float

    @classmethod
    def of(
        cls,
        x: Tensor,
        x0: Tensor,
        g: Tensor,
        low: Tensor,
        high: Tensor,
        amount: Tensor,
        radius: Tensor,
        slack: Tensor,
        p: float,
    ) -> "_Step":
        """Of all rows."""
        size, far = norm(g, 2), norm(x - x0, math.inf)
        leap = radius / torch.where(size > 0, size, 1.0)
        outer = torch.minimum(far + radius, torch.maximum(x0 - low, high - x0).flatten(1).amax(1))
        line = _Line(x, g, g.square(), low, high, amount, radius, slack, leap)
        return cls(line, x0, far, (far - radius).clamp(min=0), outer, p)

    def at(self, s: Tensor) -> "_Line":
        """The points that belong to the ball's multiplier."""
        line, x0 = self.line, self.x0
        if self.p == 2:
            return dataclasses.replace(line, pull=expand(s, x0) * (x0 - line.x))
        if self.p == 1:
            return dataclasses.replace(line, x0=x0, shrink=s / (1 - s).clamp(min=1e-9) * self.far)
        edge = expand(self.outer + s * (self.inner - self.outer), x0)
        lower, upper = torch.maximum(line.lower, x0 - edge), torch.minimum(line.upper, x0 + edge)
        return dataclasses.replace(line, lower=lower, upper=upper)


@dataclasses.dataclass(frozen=True)
class _Line(_Rows):
    """The points z(t) of rows, s being what it is."""

    x: Tensor
    g: Tensor
    squares: Tensor
    lower: Tensor
    upper: Tensor
    amount: Tensor
    radius: Tensor
    slack: Tensor
    leap: Tensor
    pull: Tensor | None = None
    x0: Tensor | None = None
    shrink: Tensor | None = None

    def at(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z(t), by how much <g, z - x> is beyond the amount, and z as no edge holds it, infinite where it is shrunk."""
        moved, kept = self.x + expand(t, self.x) * self.g, None
        if self.pull is not None:
            moved = moved + self.pull
        if self.x0 is not None and self.shrink is not None:
            off = moved - self.x0
            kept = (off.abs() - expand(self.shrink, off)).clamp(min=0)
            moved = self.x0 + off.sign() * kept
        z = torch.minimum(torch.maximum(moved, self.lower), self.upper)
        moved = moved if kept is None else torch.where(kept > 0, moved, torch.inf)
        return z, dot(self.g, z - self.x) - self.amount, moved

    def slope(self, moved: Tensor) -> Tensor:
        """How fast <g, z - x> grows with t: by what neither edges nor shrinking hold."""
        return (self.squares * ((moved > self.lower) & (moved < self.upper))).flatten(1).sum(1)

    def met(self) -> Tensor:
        """Whether some point within the edges is on the plane, to the slack."""
        ends = self.g * (self.lower - self.x), self.g * (self.upper - self.x)
        least, most = (f(*ends).flatten(1).sum(1) for f in (torch.minimum, torch.maximum))
        return (least <= self.amount + self.slack) & (most >= self.amount - self.slack)


def _root(line: _Line, t: Tensor, met: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The point on the plane among z(t), its t, and by how much the plane is missed; no search but where it is met."""
    rows, leap = torch.arange(len(t), device=t.device) if met is None else met.nonzero()[:, 0], line.leap
    under, over = torch.full_like(t, -torch.inf), torch.full_like(t, torch.inf)
    ends = line.x, t, over
    if len(rows) < len(t):
        line, t, leap, under, over = line.take(rows), *(v[rows] for v in (t, leap, under, over))
    z, best, missed = line.x, t, over
    for i in range(NEWTON if len(rows) else 0):
        there, gap, moved = line.at(t)
        nearer = gap.abs() < missed
        z, best, missed = pick(nearer, there, z), torch.where(nearer, t, best), torch.where(nearer, gap.abs(), missed)
        open_ = missed > line.slack
        if not open_.any():
            break
        if 2 * int(open_.sum()) <= len(rows):
            ends = _put(ends, rows, (z, best, missed))
            keep = open_.nonzero()[:, 0]
            line, open_ = line.take(keep), open_[keep]
            rows, t, leap, under, over, gap, moved, z, best, missed = (
                v[keep] for v in (rows, t, leap, under, over, gap, moved, z, best, missed)
            )
        slope = line.slope(moved)
        under, over = torch.where(gap < 0, t, under), torch.where(gap >= 0, t, over)
        newton, middle = t - gap / torch.where(slope > 0, slope, 1.0), (under + over) / 2
        inside = (slope > 0) & (newton > under) & (newton < over) & ((i % 3 < 2) | middle.isinf())
        leapt = torch.where(gap < 0, t + leap, t - leap)
        following = torch.where(inside, newton, torch.where(middle.isfinite(), middle, leapt))
        t, leap = torch.where(open_, following, t), 2 * leap
    return _put(ends, rows, (z, best, missed))


def _put(ends: tuple[Tensor, ...], rows: Tensor, found: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    z, best, missed = (put(end, rows, of) for end, of in zip(ends, found, strict=True))
    return z, best, missed
