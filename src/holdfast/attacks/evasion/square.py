"""Square attack, Andriushchenko, Croce, Flammarion and Hein, ECCV 2020, arXiv:1912.00049."""

import dataclasses
import functools
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.side_by_side import starts
from holdfast.core.params import Count, Positive, PositiveShare
from holdfast.geometry import projections
from holdfast.geometry.draw import Draw
from holdfast.geometry.rows import expand, pick, unit
from holdfast.threats.regions import Region

MARKS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # steps of 10,000 after which the window's area halves
LOOK = 100  # proposals before the first look at what is left to hope for
FAR = 1e4  # a displacement so long that projecting it fills the ball, coordinates stopped by the box aside

DUST = 1e-12  # share of the largest displacement below which one is rounding, that no factor may blow up


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square(Attack):
    """Random search over square windows of an image; a proposal stays where it lowers the margin.

        Linf: x[W] <- x0[W] +- radius, a sign for each channel; at first vertical stripes of one pixel
        L2:   d[W1] <- sqrt(|d[W1 or W2]|^2 + unused / channels) unit(eta + unit(d[W1])),  d[W2] <- 0,  x <- x0 + d
        L1:   d[W1] <- (|d[W1 or W2]| + unused / channels) unit(eta + unit(d[W1])),  d[W2] <- 0,  x <- x0 + d

    eta is a pair of pyramids of opposite sign, one in each half of the window; at first 5 x 5 of them cover the image.
    The window's area falls from `area` along the paper's schedule, stretched or shrunk to `steps`. Windows and
    directions are drawn for each sample, signs for each sample and channel. Where a window is higher or wider than the
    image it becomes a rectangle of the same area; a vector is an image of one row. In L2 and L1 a proposal is scaled
    until it has the full length inside the box, where the paper's is clipped. The loss is the margin, for a target too.
    L1 is that of Croce and Hein, ICML 2021, arXiv:2103.01208: all lengths, also those of units, are sums.

    Cost: for each start `steps` + 1 queries of the scores; with `hope`, fewer.

    Args:
        steps: Proposals for each start.
        restarts: Starting points tried, those after the first side by side.
        area: Share of the image the first windows cover.
        hope: Not in the paper. A row goes on after 100, 200, 400, ... proposals only while its margin is at most `hope`
            times what fell since the look before. Progress slows down about as the logarithm does, so this is how many
            doublings may be left. None for no such look.
    """

    needs: ClassVar = frozenset({"scores"})
    norms: ClassVar = (math.inf, 2.0, 1.0)
    scheduled: ClassVar = True

    steps: Count = 5000
    restarts: Count = 1
    area: PositiveShare = 0.8
    hope: Positive | None = None

    @property
    def thins(self) -> bool:
        """With `hope`, most rows leave at the first look."""
        return self.hope is not None

    def search(self, probe: Probe) -> None:
        """Propose from each start."""
        for _, part in starts(probe, self.restarts):
            able = part.alive.clone()
            self._propose(part)
            part.resume(able)

    def _propose(self, probe: Probe) -> None:
        region, draw, flat = probe.region, probe.draw, probe.x0.shape
        image = probe.x0.reshape(len(probe.x0), *(1,) * (4 - probe.x0.dim()), *flat[1:])
        shape, radius, corners = image.shape[1:], expand(region.radius.to(image), image), region.p == math.inf
        d = radius * stripes(draw, *shape) if corners else FAR * radius * tiles(draw, *shape)
        x = _full(region, (image + d).reshape(flat))
        best = probe.margin(x)
        before, look = probe.clean.amin(1), LOOK
        for i in probe.steps(self.steps):
            if self.hope is not None and i == look:
                probe.finish(best > self.hope * (before - best))
                before, look = best, 2 * look
            h, w = window(self.area * shrink(i, self.steps), shape[1], shape[2], least=1 if corners else 3)
            propose = _paint if corners else functools.partial(_shift, p=region.p)
            trial = _full(region, propose(draw, x.reshape(image.shape), image, radius, h, w).reshape(flat))
            margin = probe.margin(trial)
            better = margin < best
            x, best = pick(better, trial, x), torch.where(better, margin, best)


def _full(region: Region, x: Tensor) -> Tensor:
    """Shortened to the radius inside the box, by projection, but in L1, where that would be sparse, by one factor."""
    if region.p != 1:
        return region.project(x)
    d = (x - region.x0).flatten(1)
    d = torch.where(d.abs() > DUST * d.abs().amax(1, keepdim=True), d, 0)
    cap = projections.room(x - region.x0, region.x0, region.low, region.high).flatten(1)
    size = projections.fill(torch.ones_like(d), d.abs(), cap, region.radius.to(d))
    return region.project(region.x0 + (d.sign() * size).reshape(x.shape))


def _paint(draw: Draw, x: Tensor, x0: Tensor, radius: Tensor, h: int, w: int) -> Tensor:
    """A window of `x` moved to a corner of the Linf ball."""
    _, channels, height, width = x.shape
    rows, columns = place(draw, height, h), place(draw, width, w)
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(inside, x0 + radius * draw.signs(channels, 1, 1), x)


def _shift(draw: Draw, x: Tensor, x0: Tensor, radius: Tensor, h: int, w: int, p: float = 2) -> Tensor:
    """The displacement of a second window of `x` moved into a first one, on top of a new pair of pyramids."""
    n, channels, height, width = x.shape
    d = x - x0
    power = torch.square if p == 2 else torch.abs
    unused = (power(radius) - power(d).sum((1, 2, 3), keepdim=True)).clamp(min=0) / channels
    places = [(place(draw, height, h), place(draw, width, w)) for _ in range(2)]
    own, other = (rows[:, None, :, None] & columns[:, None, None, :] for rows, columns in places)
    length = (power(d) * (own | other)).sum((2, 3), keepdim=True) + unused
    length = length.sqrt() if p == 2 else length
    inner = own.expand_as(d)
    new = (pyramids(draw, 1, 1, h, w)[:, 0, 0] * draw.signs(channels, 1, 1)).reshape(n * channels, h * w)
    new = new if p == 2 else unit(new, p)
    both = new + unit(d[inner].reshape(n * channels, h * w), p)
    fresh = length * unit(pick(both.abs().amax(1) > 1e-6, both, new), p).reshape(n, channels, h, w)
    return x0 + FAR * torch.where(other, 0, d).masked_scatter(inner, fresh)


def place(draw: Draw, size: int, part: int) -> Tensor:
    """`part` neighbors of `size` places, at random: `(batch, size)`."""
    first, places = draw.integers(size - part + 1)[:, None], torch.arange(size, device=draw.like.device)
    return (places >= first) & (places < first + part)


def window(area: float, height: int, width: int, least: int = 1) -> tuple[int, int]:
    """Height and width of a window: a square (odd for L2) of that share of the image, a rectangle where none fits."""
    side = max(round(math.sqrt(area * height * width)), least)
    side += least > 1 and side % 2 == 0
    h = min(side, height)
    w = min(round(side * side / h), width)
    return min(round(side * side / w), height), w


def shrink(step: int, steps: int) -> float:
    """Factor on the window's area: halved after fixed shares of the run."""
    return 0.5 ** sum(int(step / steps * 10_000) > mark for mark in MARKS)


def stripes(draw: Draw, channels: int, height: int, width: int) -> Tensor:
    """A sign for each column and channel: `(batch, channels, 1, width)`."""
    return draw.signs(channels, 1, width)


def tiles(draw: Draw, channels: int, height: int, width: int) -> Tensor:
    """5 x 5 tiles in the middle of the image, a pair of pyramids each, of length 1 in all: `(batch, ...)`."""
    h, w = max(height // 5, 1), max(width // 5, 1)
    down, across = min(5, height), min(5, width)
    grid = pyramids(draw, down, across, h, w) * draw.signs(channels, down, across)[..., None, None]
    grid = grid.transpose(-3, -2).reshape(-1, channels, down * h, across * w)
    top, left = (height - down * h) // 2, (width - across * w) // 2
    margins = (left, width - across * w - left, top, height - down * h - top)
    return unit(torch.nn.functional.pad(grid, margins))


def pyramids(draw: Draw, down: int, across: int, h: int, w: int) -> Tensor:
    """Pairs of pyramids of opposite sign and length 1, stacked or side by side: `(batch, 1, down, across, h, w)`."""
    upright, lying = _pair(h, w).to(draw.like), _pair(w, h).T.to(draw.like)
    return torch.where(draw.uniform(1, down, across, 1, 1) < 0.5, upright, lying)


@functools.cache
def _pair(h: int, w: int) -> Tensor:
    pair = torch.cat([_pyramid(h // 2, w), -_pyramid(h - h // 2, w)])
    unit_pair: Tensor = pair / pair.norm()
    return unit_pair


def _pyramid(h: int, w: int) -> Tensor:
    """Steps of height 1 / k^2 around the middle: `(h, w)`."""
    top = max(h // 2, w // 2)
    stairs = (1 / torch.arange(1, top + 2, dtype=torch.float64).square()).flip(0).cumsum(0).flip(0)
    ring = torch.maximum((torch.arange(h) - h // 2).abs()[:, None], (torch.arange(w) - w // 2).abs())
    steps = stairs[ring]
    pyramid: Tensor = steps / steps.norm()
    return pyramid
