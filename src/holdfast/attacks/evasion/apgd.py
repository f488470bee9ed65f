"""Auto-PGD, Croce and Hein, ICML 2020, arXiv:2003.01690; its L1 form, Croce and Hein, ICML 2021, arXiv:2103.01208."""

import dataclasses
import functools
import itertools
import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from holdfast.attacks import losses
from holdfast.attacks.attack import Attack
from holdfast.attacks.halving import Halving
from holdfast.attacks.probe import Loss, Probe
from holdfast.attacks.side_by_side import side_by_side, starts
from holdfast.core.params import Count, Fraction, Natural, Share
from holdfast.geometry.projections import room
from holdfast.geometry.rows import expand, norm, pick, unit
from holdfast.threats.regions import L1Region, Region

WIDER = ((3, 0.3), (2, 0.3), (1, 0.4))  # L1: multiples of the radius and the share of the steps spent in each ball
SPARSER, SHRINK, SHORTEST = 1.5, 1.5, 0.1  # L1: kept coordinates and step length are divided; least step / radius
ROUNDING = 1e-6  # share of the box within which a coordinate lies at its bound


@dataclasses.dataclass(frozen=True, kw_only=True)
class Apgd(Attack):
    """Projected ascent that finds its step length row by row: it halves, and goes on from the best point, on a stall.

        z <- project(x + step * radius * unit(g))      x <- project(x + (1 - m) (z - x) + m (x - before))

    In Linf unit(g) is the sign. The first step is 2 (radii) and has no momentum m. At each checkpoint, the last of them
    at 99 % of the steps, the step of a row halves where at most `rising` of the moves since the last one raised the
    loss, or where neither the step nor the best loss changed since. In L1 a step moves the steepest coordinates alike,
    2/3 as many as the best point has changed; it shrinks by 1.5 while that number stays, the ball from 3 radii to 1.

    `loss="ce"` climbs the log-odds of the goal: cross-entropy's iterates, for they see only signs and directions, even
    where cross-entropy has no gradient left. `loss="dlr"` climbs the difference of logits ratio; with `targets` each
    way is climbed on its own. The ratio divides by the first score minus the third one, with targets minus the mean of
    the third and fourth one. Where there are fewer classes (or one logit) it divides by 1: the plain margin.

    Each start is random, as in the reference code. That code draws on the sphere; here it is the ball inside the box.
    It compares the first move with zero; here, as in the paper, with the start. The projection onto ball and box is
    exact, so that no length is lost to clipping; in L1 coordinates at a bound do not count among the steepest, and
    number and step are adapted at every step, where the reference code waits for 4 % of a ball's steps.

    Most rows that break do so from their first start toward their first target, so that one is climbed first; the
    others then share full batches (`side_by_side`), as do later starts, and a row ends at the first step at which one
    of them succeeds. The reference code climbs one after the other: the same climbs with the same result.

    Cost: `steps` forward and backward passes and one more forward pass for each start and target; a row that breaks on
    a later target or start has paid for as many steps of those beside it.

    Args:
        steps: Forward and backward passes for each start and target.
        loss: What is climbed, `ce` or `dlr`.
        targets: 0 climbs the goal as a whole; k > 0 its k ways of smallest margin at the input, each on its own.
        restarts: Starting points tried, each with all targets.
        momentum: Share of a move that repeats the last one.
        rising: Share of the moves between checkpoints that must raise the loss, or the step halves.
    """

    norms: ClassVar = (math.inf, 2.0, 1.0)
    scheduled: ClassVar = True

    steps: Count = 100
    loss: Literal["ce", "dlr"] = "ce"
    targets: Natural = 0
    restarts: Count = 1
    momentum: Fraction = 0.25
    rising: Share = 0.75

    def search(self, probe: Probe) -> None:
        """Climb each aim from each start."""
        whole, single = (losses.log_odds, losses.log_odds_of) if self.loss == "ce" else (losses.dlr, losses.dlr_of)
        sparse = probe.region.p == 1
        climb = self._climb_sparsely if sparse else self._climb
        for _, part in starts(probe, self.restarts):
            ball = self._balls(part.region)[0] if sparse else part.region
            start = functools.partial(ball.sample, part.draw)
            order = part.clean.argsort(dim=1, stable=True)[:, : self.targets]
            if not self.targets:
                climb(part, whole, start())
            for ways in (order[:, :1], order[:, 1:]):
                for clones, way, x in side_by_side(part, ways, start):
                    climb(clones, single(way), x)

    def _climb(self, probe: Probe, aim: Loss, x: Tensor) -> None:
        region, before = probe.region, x
        control = Halving(self.steps, self.rising, 2.0, x, torch.zeros_like(probe.clean[:, 0]))
        for i in probe.steps(self.steps):
            g, loss, _ = probe.slope(x, aim)
            x, g = control.judged(i, x, g, g, loss)
            way = g.sign() if region.p == math.inf else unit(g)
            z, m = region.project(x + expand(control.step * region.radius, x).to(x) * way), self.momentum if i else 0.0
            x, before = region.project(x + (1 - m) * (z - x) + m * (x - before)), x
        probe.margin(x)

    def _climb_sparsely(self, probe: Probe, aim: Loss, x: Tensor) -> None:
        balls, x0, zero = self._balls(probe.region), probe.x0, torch.zeros_like(probe.clean[:, 0])
        best = g_best = x0
        for i in probe.steps(self.steps):
            if i in balls:
                region, top, radius = balls[i], zero - math.inf, balls[i].radius.to(x0)
                x, length = region.project(best) if i else x, radius
                moved = norm(x - x0, 0)
                kept = moved / SPARSER if i else torch.full_like(moved, 0.2 * x0[0].numel())
            g, loss, _ = probe.slope(x, aim)
            better = loss > top
            best, g_best, top = pick(better, x, best), pick(better, g, g_best), torch.where(better, loss, top)
            if i not in balls:
                before, moved = moved, norm(best - x0, 0)
                kept, fewer = moved / SPARSER, moved < 0.95 * before
                length = torch.where(fewer, radius, torch.maximum(length / SHRINK, SHORTEST * radius))
                x, g = pick(fewer, best, x), pick(fewer, g_best, g)
            free = room(g, x, region.low, region.high) > ROUNDING * (region.high - region.low)
            x = region.project(x + expand(length, x) * _alike(torch.where(free, g, 0), kept))
        probe.margin(x)

    def _balls(self, region: Region) -> dict[int, Region]:
        """First step -> the ball climbed in from there."""
        starts = itertools.accumulate((int(share * self.steps) for _, share in WIDER), initial=0)
        return {
            at: L1Region(region.x0, factor * region.radius, region.low, region.high)
            for at, (factor, _) in zip(starts, WIDER, strict=False)
        }


def _alike(g: Tensor, kept: Tensor) -> Tensor:
    """Length 1 spread evenly over the `kept` steepest coordinates, at least one: `(batch, ...)`."""
    size = g.abs().flatten(1)
    last = (kept.ceil().long().clamp(1, size.shape[1]) - 1)[:, None]
    least = size.sort(1, descending=True).values.gather(1, last)
    return unit(torch.where(size >= least, g.flatten(1).sign(), 0), p=1).reshape(g.shape)
