"""Fast adaptive boundary, targeted, Croce and Hein, ICML 2020, arXiv:1907.02044."""

import dataclasses
import functools
import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from holdfast.attacks import losses
from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.side_by_side import Start, side_by_side, starts
from holdfast.core.params import Count, Fraction, Natural, Positive, PositiveShare, Range
from holdfast.geometry.rows import dot, expand, norm, pick, unit

SHORT = 0.99  # share of the way to the estimated boundary, so that a correct estimate still counts as reached
WORTH = 1e-4  # share of the distance that an estimate must promise to save: closer to a boundary only rounding decides


@dataclasses.dataclass(frozen=True, kw_only=True)
class FabT(Attack):
    """Step onto a linearized boundary from the iterate and from the input, and go to a mix that favors the input.

        x <- project((1 - a) (x + extra * d) + a (x0 + extra * d0)),    a = min(|d| / (|d| + |d0|), bias)

    d and d0 are the shortest displacements inside the box that bring x and x0 onto the hyperplane where the margin's
    linearization at x is zero. Each way is taken on its own, as in AutoAttack; so a step needs one gradient, not one
    for each class. The way of smallest margin at the input comes first, the others then share full batches
    (`side_by_side`). An iterate that reached the goal is pulled back toward the input and linearized there. The first
    start is the input; the others go side by side (`starts`) and lie halfway to the radius, or to the nearest success
    if that is nearer: what the first start found, and for all ways but the first what this start has found since.
    After each start the nearest success is drawn toward the input by false position; the paper does so too, AutoAttack
    does not.

    Cost: for each start and target, `steps` forward and backward passes and `steps` + 1 forward passes, from the input
    one less; for each start `secants` + 1 forward passes. A row that breaks on a later target has paid for as many
    steps toward all others but the first, and from the starts beside it.

    Args:
        steps: Linearizations for each start and target.
        targets: Ways taken, those of smallest margin at the input.
        restarts: Starting points tried, each with all targets.
        bias: Largest weight a of the step from the input.
        extra: Length of a step, in units of the displacement to the hyperplane.
        back: Share of the distance to the input kept when a reached iterate is pulled back.
        secants: Estimates of the boundary between the nearest success and the input.
        hope: Not in the paper. A row goes on to its next way only while its nearest success is at most so many radii
            away, or there is none yet. None takes every way.
    """

    norms: ClassVar = (math.inf, 2.0, 1.0)
    minimal: ClassVar = True

    steps: Count = 100
    targets: Count = 9
    restarts: Count = 1
    bias: PositiveShare = 0.1
    extra: Annotated[float, Range(1, 2)] = 1.05
    back: Fraction = 0.9
    secants: Natural = 3
    hope: Positive | None = None

    @property
    def thins(self) -> bool:
        """With `hope`, rows that lie far from every boundary leave after their first way."""
        return self.hope is not None

    def search(self, probe: Probe) -> None:
        """From each start toward each way, then from the nearest success toward the input."""
        for turn, part in starts(probe, self.restarts):
            order = part.clean.argsort(dim=1, stable=True)[:, : self.targets]
            start = functools.partial(self._start, part) if turn else None
            self._toward(part, order[:, :1], start)
            if self.hope is None:
                self._toward(part, order[:, 1:], start)
            else:
                self._with_hope(part, order[:, 1:], start, self.hope)
            self._draw_in(part)

    def _toward(self, probe: Probe, ways: Tensor, start: Start | None) -> None:
        for part, way, x in side_by_side(probe, ways, start):
            self._approach(part, way, x)

    def _with_hope(self, probe: Probe, ways: Tensor, start: Start | None, hope: float) -> None:
        """A row that has come near takes all ways that are left, one that has found nothing yet one at a time."""
        near = torch.zeros_like(probe.alive)
        for k in range(ways.shape[1]):
            found = torch.isfinite(probe.distance)
            probe.finish(found & (probe.distance > hope * probe.limit.radius))
            waiting, near = probe.alive & ~found, near | (probe.alive & found)
            probe.finish(waiting)
            self._toward(probe, ways[:, k:], start)
            probe.finish(near)
            probe.resume(waiting)
            self._toward(probe, ways[:, k : k + 1], start)
        probe.resume(near)

    def _approach(self, probe: Probe, way: Tensor, x: Tensor) -> None:
        region, x0, loss = probe.region, probe.x0, losses.margin_of(way)
        for i in probe.steps(self.steps):
            if i or x is not x0:
                x = pick(probe.margin(x) < 0, x0 + self.back * (x - x0), x)
            g, f, _ = probe.slope(x, loss)
            d, d0 = region.crossing(x, g, -f), region.crossing(x0, g, dot(g, x - x0) - f)
            near, far = norm(d, region.p).clamp(min=1e-8), norm(d0, region.p).clamp(min=1e-8)
            a = expand((near / (near + far)).clamp(max=self.bias), x)
            x = region.project((1 - a) * (x + self.extra * d) + a * (x0 + self.extra * d0))
        probe.margin(x)

    def _start(self, probe: Probe) -> Tensor:
        """A random point of length min(nearest success, radius) / 2, inside the box."""
        shape, region = probe.x0.shape[1:], probe.region
        noise = 2 * probe.draw.uniform(*shape) - 1 if region.p == math.inf else probe.draw.normal(*shape)
        reach = torch.minimum(torch.minimum(probe.distance, probe.limit.radius), region.farthest().double()) / 2
        return region.project(probe.x0 + expand(reach, noise).to(noise) * unit(noise, region.p))

    def _draw_in(self, probe: Probe) -> None:
        x0, move, found = probe.x0, probe.nearest - probe.x0, torch.isfinite(probe.distance)
        low, high = torch.zeros_like(probe.clean[:, 0]), torch.ones_like(probe.clean[:, 0])
        f_low, f_high = probe.clean.amin(1), probe.margin(probe.nearest, only=found)
        for _ in probe.steps(self.secants):
            share = (f_high / (f_high - f_low)).nan_to_num(0).clamp(0, 1)
            worth = found & (share > WORTH)
            t = high - SHORT * (high - low) * share
            f = torch.where(worth, probe.margin(x0 + expand(t, x0).to(x0) * move, only=worth), f_high)
            low, f_low = torch.where(worth & (f >= 0), t, low), torch.where(f < 0, f_low, f)
            high, f_high = torch.where(worth & (f < 0), t, high), torch.where(f < 0, f, f_high)
