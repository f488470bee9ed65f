"""What these samples may become: a ball around each row, cut by a box.

A Region answers six questions, and an attack asks nothing else about geometry:

    project(x)         the nearest point of the region
    steepest(g, x)     the displacement of length `radius` that raises <g, .> most, coordinates at their bound left out
    crossing(x, w, b)  the least displacement from `x`, inside the box, with <w, .> = b
    sample(draw)       a random point
    contains(x)        whether x belongs to it, measured in float64
    distance(x)        from the original: (batch,)

`project` and `sample` return points that need no tolerance; `contains` allows what rounding does to a point that lies
exactly at the radius (`TOLERANCE`, and one unit in the last place for Linf), so that a success found elsewhere counts.
"""

import abc
import math
from typing import Self

import torch
from torch import Tensor

from holdfast.geometry import projections
from holdfast.geometry.draw import Draw
from holdfast.geometry.rows import expand, norm, unit

TOLERANCE = 1e-6  # relative, on L1 and L2 lengths
ALL = slice(None)


class Region(abc.ABC):
    """A ball around each row, cut by a box.

    Args:
        x0: The originals, `(batch, ...)`, inside the box.
        radius: One for each row, `(batch,)`; infinite where only the nearest point counts.
        low, high: The box, expanded to `x0`.
    """

    p: float

    def __init__(self, x0: Tensor, radius: Tensor, low: Tensor, high: Tensor):
        self.x0, self.radius, self.low, self.high = x0, radius.to(x0.device).double(), low, high

    @property
    def endless(self) -> bool:
        """Whether no row has a radius, so that only the nearest point counts and the box is all there is."""
        return bool(self.radius.isinf().all())

    def of(self, rows: Tensor) -> Self:
        """The region around the originals of `rows`, which may stand there more than once."""
        return type(self)(self.x0[rows], self.radius[rows], self.low[rows], self.high[rows])

    def distance(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """From the originals of `rows`: `(batch,)`, float64."""
        return norm(x.double() - self.x0[rows].double(), self.p)

    def contains(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """Whether each `x` belongs to the region of `rows`: `(batch,)`."""
        inside = self._boxed(x, rows)
        return inside if self.endless else inside & (self.distance(x, rows) <= self.radius[rows] * (1 + TOLERANCE))

    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the region: `(batch, ...)`."""
        d = x - self.x0
        cap = projections.room(d, self.x0, self.low, self.high)
        if self.endless:
            d = d.sign() * torch.minimum(d.abs(), cap)
        else:
            d = self._shrink(d.flatten(1), cap.flatten(1), self._inner()).reshape(x.shape)
        return torch.minimum(torch.maximum(self.x0 + d, self.low), self.high)

    def crossing(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        """The least displacement from `x`, inside the box, onto the hyperplane <w, .> = b: `(batch, ...)`.

        Where the box holds no such point it is the displacement that comes closest.
        """
        step = w * expand(b.sign(), w)
        cap = projections.room(step, x, self.low, self.high)
        d = self._reach(w.abs().flatten(1), cap.flatten(1), b.abs())
        return step.sign() * d.reshape(w.shape)

    def farthest(self) -> Tensor:
        """Distance from each original to the farthest corner of the box: `(batch,)`."""
        return norm(torch.maximum(self.high - self.x0, self.x0 - self.low), self.p)

    def _boxed(self, x: Tensor, rows: Tensor | slice) -> Tensor:
        return ((x >= self.low[rows]) & (x <= self.high[rows])).flatten(1).all(1)

    def _inner(self) -> Tensor:
        """The radius less what rounding `x0 + d` can add, so that a projected point needs no tolerance."""
        scale = torch.maximum(self.low.abs(), self.high.abs()).flatten(1).amax(1)
        slack = float(self.x0[0].numel() ** (1 / self.p)) * torch.finfo(self.x0.dtype).eps * scale
        return (_down(self.radius, self.x0) - slack).clamp(min=0)

    @abc.abstractmethod
    def steepest(self, g: Tensor, x: Tensor) -> Tensor:
        """The displacement of length `radius` that raises <g, .> most: `(batch, ...)`."""

    def free(self, g: Tensor, x: Tensor) -> Tensor:
        """Which coordinates can move the way `g` points without leaving the box: `(batch, ...)`."""
        return projections.room(g, x, self.low, self.high) > 0

    @abc.abstractmethod
    def sample(self, draw: Draw) -> Tensor:
        """A random point of the region: `(batch, ...)`."""

    def _shrink(self, d: Tensor, cap: Tensor, radius: Tensor) -> Tensor:
        """The nearest displacement of the ball with |d_j| <= cap_j: `(batch, n)`."""
        raise NotImplementedError("a region that is no ball has no such displacement")

    def _reach(self, weight: Tensor, cap: Tensor, amount: Tensor) -> Tensor:
        """The shortest displacement <= cap with <weight, .> = amount: `(batch, n)`, >= 0."""
        raise NotImplementedError("a region that is no ball has no such displacement")


class LinfRegion(Region):
    """Every coordinate within `radius`."""

    p = math.inf

    def __init__(self, x0: Tensor, radius: Tensor, low: Tensor, high: Tensor):
        super().__init__(x0, radius, low, high)
        r = expand(_down(self.radius, x0), x0)
        self.lower = torch.maximum(_inward(x0 - r, x0, r), low)
        self.upper = torch.minimum(_inward(x0 + r, x0, r), high)

    def contains(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """Whether each `x` belongs to the region of `rows`, one unit in the last place allowed: `(batch,)`."""
        inside = ((x >= self.lower[rows]) & (x <= self.upper[rows])).flatten(1).all(1)
        if bool(inside.all()):  # the rule, for points that were projected; the rest is measured
            return inside
        x0 = self.x0[rows]
        far = (x.double() - x0.double()).abs()
        size = torch.maximum(x.abs(), x0.abs())
        ulp = torch.nextafter(size, torch.full_like(size, torch.inf)) - size
        return self._boxed(x, rows) & (far <= expand(self.radius[rows], far) + ulp.double()).flatten(1).all(1)

    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the region: `(batch, ...)`."""
        return torch.minimum(torch.maximum(x, self.lower), self.upper)

    def steepest(self, g: Tensor, x: Tensor) -> Tensor:
        """`radius * sign(g)`."""
        return expand(self.radius.to(g), g) * g.sign()

    def free(self, g: Tensor, x: Tensor) -> Tensor:
        """Which coordinates can move the way `g` points without leaving the region: `(batch, ...)`."""
        return torch.where(g > 0, x < self.upper, x > self.lower) & (g != 0)

    def sample(self, draw: Draw) -> Tensor:
        """Uniform."""
        return self.project(self.lower + (self.upper - self.lower) * draw.uniform(*self.x0.shape[1:]))

    def _shrink(self, d: Tensor, cap: Tensor, radius: Tensor) -> Tensor:
        return d.sign() * torch.minimum(torch.minimum(d.abs(), cap), radius[:, None])

    def _reach(self, weight: Tensor, cap: Tensor, amount: Tensor) -> Tensor:
        return projections.fill(weight, torch.ones_like(weight), cap, amount)


class L2Region(Region):
    """Euclidean length at most `radius`."""

    p = 2.0

    def steepest(self, g: Tensor, x: Tensor) -> Tensor:
        """`radius * g / |g|_2` over the coordinates that have room."""
        return expand(self.radius.to(g), g) * unit(torch.where(self.free(g, x), g, 0))

    def sample(self, draw: Draw) -> Tensor:
        """Uniform in the ball, then projected onto the box."""
        n = self.x0[0].numel()
        # A power of a whole vector is rounded differently at its end than inside, so a row would depend on its company.
        share = torch.tensor([u ** (1 / n) for u in draw.uniform().tolist()], dtype=torch.float64)
        length = self.radius.to(self.x0) * share.to(self.x0)
        return self.project(self.x0 + expand(length, self.x0) * unit(draw.normal(*self.x0.shape[1:])))

    def _shrink(self, d: Tensor, cap: Tensor, radius: Tensor) -> Tensor:
        return projections.l2_ball(d, cap, radius)

    def _reach(self, weight: Tensor, cap: Tensor, amount: Tensor) -> Tensor:
        return projections.fill(weight, weight, cap, amount)


class L1Region(Region):
    """Sum of the absolute changes at most `radius`."""

    p = 1.0

    def steepest(self, g: Tensor, x: Tensor) -> Tensor:
        """The coordinates of largest |g| moved to their bound, until the length is spent."""
        cap = projections.room(g, x, self.low, self.high).flatten(1)
        order = projections.heaviest(g.abs().flatten(1), cap, self.radius.to(g))
        c = cap.gather(1, order)
        left = self.radius.to(g)[:, None] - (c.cumsum(1) - c)
        d = torch.zeros_like(cap).scatter(1, order, torch.minimum(left.clamp(min=0), c))
        return g.sign() * d.reshape(g.shape)

    def sample(self, draw: Draw) -> Tensor:
        """Uniform on the sphere of length `radius`, then projected onto the box."""
        shape = self.x0.shape[1:]
        e = unit(-torch.log1p(-draw.uniform(*shape)), p=1) * draw.signs(*shape)
        return self.project(self.x0 + expand(self.radius.to(self.x0), self.x0) * e)

    def _shrink(self, d: Tensor, cap: Tensor, radius: Tensor) -> Tensor:
        return projections.l1_ball(d, cap, radius)

    def _reach(self, weight: Tensor, cap: Tensor, amount: Tensor) -> Tensor:
        return projections.pour(weight, cap, amount)


class L0Region(Region):
    """At most `radius` coordinates changed."""

    p = 0.0

    def contains(self, x: Tensor, rows: Tensor | slice = ALL) -> Tensor:
        """Whether each `x` belongs to the region of `rows`, no tolerance: `(batch,)`."""
        return self._boxed(x, rows) & (self.distance(x, rows) <= self.radius[rows])

    def steepest(self, g: Tensor, x: Tensor) -> Tensor:
        """The `radius` coordinates with the largest gain, moved to their bound."""
        room = projections.room(g, x, self.low, self.high)
        chosen = projections.first((g.abs() * room).flatten(1), self.radius.to(g)).reshape(g.shape)
        return torch.where(chosen, g.sign() * room, 0)

    def sample(self, draw: Draw) -> Tensor:
        """`radius` random coordinates at uniform values."""
        shape = self.x0.shape[1:]
        rank = draw.uniform(*shape).flatten(1).argsort(1).argsort(1).reshape(self.x0.shape)
        noise = self.low + (self.high - self.low) * draw.uniform(*shape)
        return torch.where(rank < expand(self.radius.to(self.x0), self.x0), noise, self.x0)

    def _inner(self) -> Tensor:
        return self.radius

    def _shrink(self, d: Tensor, cap: Tensor, radius: Tensor) -> Tensor:
        return projections.l0_ball(d, cap, radius)

    def _reach(self, weight: Tensor, cap: Tensor, amount: Tensor) -> Tensor:
        return projections.pour(weight * cap, torch.ones_like(cap), amount) * cap


def _down(radius: Tensor, like: Tensor) -> Tensor:
    """The largest number of `like`'s dtype that is at most `radius`."""
    r = radius.to(like)
    return torch.where(r.double() > radius, torch.nextafter(r, torch.zeros_like(r)), r)


def _inward(x: Tensor, x0: Tensor, r: Tensor) -> Tensor:
    """`x` moved one float toward `x0` where rounding took it farther than `r`."""
    return torch.where((x.double() - x0.double()).abs() > r.double(), torch.nextafter(x, x0), x)
