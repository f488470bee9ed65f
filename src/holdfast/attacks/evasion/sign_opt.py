"""Sign-OPT, Cheng, Singh, Chen, Chen, Liu and Hsieh, ICLR 2020, arXiv:1909.10773."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import bisect, start
from holdfast.core.params import Count, Fraction
from holdfast.geometry.rows import expand, norm, pick, unit

SHORTEST = 0.8  # share of the distance to which one trial shortens it at most
HALVINGS = 5  # of what is left of it
LEAST = 1e-3  # least step


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignOpt(Attack):
    """Descend the distance to the boundary as a function of the direction, each slope told by the sign of one decision.

        g <- sum of s u over random units u,    s = +1 where x0 + r * unit(e + spread * u) reaches the goal, else -1
        e <- unit(e + step * unit(g)),    r <- the distance to the boundary along e

    The step is doubled as long as that shortens the distance; for the next round it is the one that shortened it last,
    or half the first where none did.

    Cost: queries only, no gradients: `samples` a step and up to 7 for each length tried. Set `queries` of the threat.

    Deviations: fewer directions for an estimate; the distance along a new direction is bisected between 0.8 and 1 of
    the old one, so a trial that does not help costs one query; the start is noise mixed into the input.

    Args:
        steps: Estimates.
        samples: Decisions for an estimate.
        spread: Size of the probing steps, for a direction of length 1.
        step: First step, for a direction of length 1.
        lengths: Steps tried with one estimate, each twice the one before.
        tries: Random points tried for a start.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (2.0,)
    minimal: ClassVar = True

    steps: Count = 100
    samples: Count = 50
    spread: Fraction = 0.1
    step: Fraction = 0.2
    lengths: Count = 4
    tries: Count = 100

    def search(self, probe: Probe) -> None:
        """Find a start, draw it in and descend."""
        x0, x = probe.x0, bisect(probe, start(probe, self.tries))
        e, far = unit(x - x0), norm(x - x0, 2)
        step = torch.full_like(far, self.step)
        for _ in probe.steps(self.steps):
            g, old, going = self._slope(probe, e, far), e, torch.ones_like(probe.alive)
            used = torch.zeros_like(step)
            for j in range(self.lengths):
                t = unit(old + expand(step * 2**j, e) * g)
                shorter, hit = self._distance(probe, t, far, going)
                e, far, used = pick(hit, t, e), torch.where(hit, shorter, far), torch.where(hit, step * 2**j, used)
                going = going & hit
                if not going[probe.alive].any():
                    break
            step = torch.where(used > 0, used, step / 2).clamp(LEAST, 1.0)

    def passes(self) -> int:
        """Questions a search asks for a row at most, the start's bisection aside; a step rarely tries every length."""
        return self.tries + self.steps * (self.samples + HALVINGS + self.lengths)

    def _slope(self, probe: Probe, e: Tensor, far: Tensor) -> Tensor:
        """The unit direction in which the distance along `e` falls, from decisions at that distance: `(batch, ...)`."""
        u = probe.draw.normal(self.samples, *e.shape[1:])
        u = unit(u.flatten(0, 1)).reshape(u.shape)
        t = unit((e[:, None] + self.spread * u).flatten(0, 1)).reshape(u.shape)
        low, high = probe.region.low[:, None], probe.region.high[:, None]
        y = torch.minimum(torch.maximum(probe.x0[:, None] + expand(far, t) * t, low), high)
        s = torch.where(probe.margins(y) < 0, 1.0, -1.0).to(e)
        return unit((expand(s, u) * u).sum(1))

    def _distance(self, probe: Probe, e: Tensor, far: Tensor, going: Tensor) -> tuple[Tensor, Tensor]:
        """The distance along `e` where it is less than `far`, and whether it is: `(batch,)` each."""

        def reached(length: Tensor, only: Tensor) -> Tensor:
            return only & (probe.margin(probe.region.project(probe.x0 + expand(length, e) * e), only=only) < 0)

        hit = reached(far * (1 - LEAST), going)
        low, high = SHORTEST * far, far * (1 - LEAST)
        short = reached(low, hit)
        high = torch.where(short, low, high)
        for _ in probe.steps(HALVINGS):
            middle = (low + high) / 2
            inside = reached(middle, hit & ~short)
            low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
        return high, hit
