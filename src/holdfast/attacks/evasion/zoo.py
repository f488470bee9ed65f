"""Zeroth-order optimization, Chen, Zhang, Sharma, Yi and Hsieh, AISec at ACM CCS 2017, arXiv:1708.03999."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import TOGETHER, Probe
from holdfast.core.params import Count, Fraction, NonNegative, Positive
from holdfast.geometry.rows import norm

FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8  # Adam's constants
CHECKS = 10  # looks for progress in each search
END = 0.99  # share of the step that is gone after the last one
LEAST = 1e-6  # least reach, as a fraction of the box's width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Zoo(Attack):
    """Carlini and Wagner's attack with slopes from scores: Adam on a few values at a time, by symmetric differences.

        minimize |u|^2 + c * f(x0 + width * u),    f(x) = max(margin(x) + confidence, 0)
        g_j <- 2 u_j + c * (f(x + spread * e_j) - f(x - spread * e_j)) / (2 spread)        u_j <- u_j - step * Adam(g_j)

    A value that is not asked about in a step goes on along the slope that it was last seen to have, also in the next
    search; a value never asked about stays where it is. The constant is found as in Carlini and Wagner's attack, by
    bisection, up by tens where the goal was never reached.

    Cost: no gradients; `searches` * (`steps` * (`samples` + 1) + 1) + `samples` + 1 queries of the scores at most, an
    odd `samples` rounded down; a step beyond the goal asks one, for there nothing has a slope, and a search ends early
    for a row whose least objective has not fallen over a tenth of the steps and one round of all values.

    Deviations: values come in a random order, all of them before the first comes again, those that nobody has asked
    about first, where the paper draws anew each time; all known values move in each step, the paper's only those asked
    about, because a round of all values takes most of a short search; the slope of the length is known and not asked
    for. The first constant is the one that suffices where the margin is linear (times `constant`), its slope estimated
    from `samples` points, and the step follows the distance and falls linearly to a hundredth, as in `CarliniWagner`.
    No attack-space reduction and no importance sampling.

    Args:
        steps: Sets of values moved in each search.
        samples: Points asked for one step, two for each value.
        searches: Constants tried.
        step: Adam's first step, as a fraction of the largest change that a value makes on the way to the linearized
            boundary, later to the nearest success.
        spread: Distance of the two points from the iterate, as a fraction of the box's width.
        constant: First constant, as a multiple of the one that suffices where the margin is linear.
        confidence: Margin to go beyond zero, in the units of the scores.
    """

    needs: ClassVar = frozenset({"scores"})
    norms: ClassVar = (2.0,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 200
    samples: Count = 128
    searches: Count = 5
    step: Positive = 0.1
    spread: Fraction = 0.0001
    constant: Positive = 1.0
    confidence: NonNegative = 0.0

    def search(self, probe: Probe) -> None:
        """Minimize once for each constant."""
        x0, size = probe.x0, probe.x0[0].numel()
        width = (probe.region.high - probe.region.low).flatten(1).amax(1)
        short = (probe.margin(x0) + self.confidence).clamp(min=0)
        some = probe.draw.uniform(size).argsort(1)[:, : self._values(size)]
        rise = self._rise(probe, x0, some, probe.alive)
        square = rise.square().mean(1) * size
        safe = torch.where(square > 0, square, 1.0)
        c = self.constant * torch.where(square > 0, 2 * short / safe, 1.0)
        reach = torch.where(square > 0, short * rise.abs().amax(1) / safe, 1.0)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        slope = torch.full_like(x0.flatten(1), torch.nan).scatter(1, some, rise)
        for _ in probe.steps(self.searches):
            reached, slope = self._minimize(probe, c, reach.clamp(LEAST, 1.0), slope)
            found = probe.distance.isfinite()
            reach = torch.where(found, norm(probe.nearest - x0, torch.inf) / width, 10 * reach)
            low, high = torch.where(reached, low, c), torch.where(reached, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high.nan_to_num(posinf=0.0)) / 2)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        points = 2 * max(self.samples // 2, 1)
        return self.searches * (self.steps * (points + 1) + 1) + points + 1

    def _values(self, size: int) -> int:
        """How many values one step moves."""
        return min(max(self.samples // 2, 1), size)

    def _minimize(self, probe: Probe, c: Tensor, reach: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Adam from the input, steps a fraction of `reach`; whether the goal was reached, and the slopes last seen."""
        x0 = probe.x0.flatten(1)
        low, high = probe.region.low.flatten(1), probe.region.high.flatten(1)
        width = (high - low).amax(1, keepdim=True)
        size, some = x0.shape[1], self._values(x0.shape[1])
        sets = -(-size // some)
        every = max(self.steps // CHECKS, sets)
        x, first, second, count = x0, torch.zeros_like(x0), torch.zeros_like(x0), torch.zeros_like(x0)
        going, reached = torch.ones_like(probe.alive), torch.zeros_like(probe.alive)
        best, before = torch.full_like(c, torch.inf), torch.full_like(c, torch.inf)
        order = torch.zeros(len(x0), size)
        for i in probe.steps(self.steps):
            if i % sets == 0:
                order = self._order(probe, slope)
            short = probe.margin(x.reshape(probe.x0.shape), only=going) + self.confidence
            reached |= going & (short < 0)
            u = (x - x0) / width
            best = torch.minimum(best, u.square().sum(1) + c * short.clamp(min=0))
            if i % every == 0:
                going, before = going & (best < 0.9999 * before), best
            if not going[probe.alive].any():
                break
            pressed = going & (short > 0)  # beyond the goal nothing has a slope, and nothing is asked
            j = order[:, i % sets * some : (i % sets + 1) * some]
            rise = self._rise(probe, x.reshape(probe.x0.shape), j, pressed)
            slope = torch.where(pressed[:, None], slope.scatter(1, j, rise), slope)
            known = slope.isfinite()
            g = 2 * u + torch.where(pressed[:, None] & known, c[:, None] * slope, 0.0)
            count = count + known
            first, second = FIRST * first + (1 - FIRST) * g, SECOND * second + (1 - SECOND) * g.square()
            k = count.clamp(min=1)
            adam = first / (1 - FIRST**k) / ((second / (1 - SECOND**k)).sqrt() + SMALL)
            step = (self.step * (1 - END * i / self.steps)) * reach[:, None] * width
            moved = torch.minimum(torch.maximum(x - step * adam, low), high)
            x = torch.where(going[:, None], moved, x)
        reached |= going & (probe.margin(x.reshape(probe.x0.shape), only=going) + self.confidence < 0)
        return reached, slope

    def _order(self, probe: Probe, slope: Tensor) -> Tensor:
        """All values in a random order, those first whose slope nobody has seen: `(batch, size)`."""
        return (probe.draw.uniform(slope.shape[1]) + slope.isfinite()).argsort(1)

    def _rise(self, probe: Probe, x: Tensor, values: Tensor, only: Tensor) -> Tensor:
        """Rise of the shortfall along each of `values`, `(batch, k)`, in widths of the box; 0 without room."""
        low, high, flat = probe.region.low.flatten(1), probe.region.high.flatten(1), x.flatten(1)
        width = (high - low).amax(1, keepdim=True)
        parts = []
        for j in torch.split(values, TOGETHER // 2, 1):
            here = flat.gather(1, j)
            ahead = torch.minimum(here + self.spread * width, high.gather(1, j))
            behind = torch.maximum(here - self.spread * width, low.gather(1, j))
            both = torch.cat([ahead, behind], 1)
            points = (
                flat[:, None].expand(-1, both.shape[1], -1).scatter(2, torch.cat([j, j], 1)[..., None], both[..., None])
            )
            short = (probe.margins(points.reshape(*both.shape, *x.shape[1:]), only=only) + self.confidence).clamp(min=0)
            rise = (short[:, : j.shape[1]] - short[:, j.shape[1] :]).nan_to_num(0.0, 0.0, 0.0).to(x)
            gap = (ahead - behind) / width
            parts.append(torch.where(gap > 0, rise / torch.where(gap > 0, gap, 1.0), 0.0))
        return torch.cat(parts, 1)
