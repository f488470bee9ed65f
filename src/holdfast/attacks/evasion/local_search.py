"""Descent on the margin, then iterated local search, Lourenço, Martin and Stützle 2003, arXiv:math/0102188."""

import dataclasses
import functools
import math
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks import losses
from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.square import place
from holdfast.attacks.probe import Loss, Probe
from holdfast.attacks.side_by_side import side_by_side
from holdfast.core.params import Count, Natural, Positive
from holdfast.geometry.rows import expand

FIRST, LAST = 4.0, 0.05  # length of a descent's first and last step, in radii
AGAIN = 1.0  # first step of a descent after a disturbance
SIZES = (0.02, 0.05, 0.1, 0.2, 0.4)  # shares of the image that a disturbance covers, one after the other


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalSearch(Attack):
    """A few short descents toward the nearest ways, then disturb and descend from the best point of each row.

        x <- project(x + step * steepest(slope of minus the margin)),    step from 4 radii to 0.05 along a cosine

    The goal is descended to as a whole, then each of its ways of smallest margin at the input on its own (the targets
    of Gowal et al. 2019, arXiv:1910.09338), each time from a random point; the ways share full batches
    (`side_by_side`). Then, round after round, a random block of the row's best point, of all its descents, is thrown to
    a corner of the ball (in L2: to random signs that have the whole length, before both parts are shortened onto the
    ball; a block of the length that is its share of the image would stay below every threshold), and a short descent
    follows. The best point is the one of lowest margin.

    Work goes where it may pay: once the first `targets` ways are tried, a row goes on only while its lowest margin is
    at most `hope` times what the search has taken off the input's margin; other ways come before the rounds. So the
    cost depends on the row, and on nothing else than the row.

    Cost: `steps` forward and backward passes and one more forward pass for the goal and for each way, `short` and one
    for each round; a row that breaks on a way has paid for as many steps toward the ways beside it. The plan is this
    library's own; it was measured against AutoAttack, see the benchmarks.

    Args:
        steps: Forward and backward passes of a descent.
        targets: Ways tried on every row, those of smallest margin at the input.
        ways: Ways tried on rows with hope, the first `targets` among them.
        rounds: Disturbances.
        short: Forward and backward passes after a disturbance.
        hope: Lowest margin, as a share of what was gained, up to which a row goes on.
    """

    norms: ClassVar = (math.inf, 2.0)
    scheduled: ClassVar = True

    steps: Count = 20
    targets: Count = 3
    ways: Count = 9
    rounds: Natural = 20
    short: Count = 8
    hope: Positive = 0.5

    @property
    def thins(self) -> bool:
        """Most rows leave before the rounds."""
        return True

    def search(self, probe: Probe) -> None:
        """Descend toward the goal and its ways, then disturb and descend."""
        start = functools.partial(probe.region.sample, probe.draw)
        self._descend(probe, start(), losses.margin, self.steps, FIRST)
        order = probe.clean.argsort(dim=1, stable=True)[:, : max(self.ways, self.targets)]
        for later, ways in enumerate((order[:, : self.targets], order[:, self.targets :])):
            if later:
                probe.finish(self._hopeless(probe))
            for part, way, x in side_by_side(probe, ways, start):
                self._descend(part, x, losses.margin_of(way), self.steps, FIRST)
        for i in probe.steps(self.rounds):
            probe.finish(self._hopeless(probe))
            x = self._disturbed(probe, SIZES[i % len(SIZES)])
            self._descend(probe, x, losses.margin, self.short, AGAIN)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return (1 + max(self.ways, self.targets)) * (self.steps + 1) + self.rounds * (self.short + 1)

    def _hopeless(self, probe: Probe) -> Tensor:
        return probe.lowest > self.hope * (probe.clean.amin(1).double() - probe.lowest)

    def _descend(self, probe: Probe, x: Tensor, aim: Loss, steps: int, first: float) -> None:
        for i in probe.steps(steps):
            length = LAST + (first - LAST) * (1 + math.cos(math.pi * i / max(steps - 1, 1))) / 2
            x = probe.region.project(x + length * probe.region.steepest(probe.slope(x, aim).gradient, x))
        probe.margin(x)

    def _disturbed(self, probe: Probe, share: float) -> Tensor:
        """The best points with a block of that share of the image thrown away: `(batch, ...)`."""
        region, draw, flat = probe.region, probe.draw, probe.x0.shape
        image = probe.x0.reshape(len(probe.x0), *(1,) * (4 - probe.x0.dim()), *flat[1:])
        _, channels, height, width = image.shape
        h, w = (max(math.ceil(math.sqrt(share) * side), 1) for side in (height, width))
        inside = (place(draw, height, h)[:, None, :, None] & place(draw, width, w)[:, None, None, :]).expand_as(image)
        signs = draw.signs(*image.shape[1:])
        even = (draw.uniform() < 0.5)[:, None, None, None]  # one sign for each channel, or one for each value
        signs = torch.where(even, draw.signs(channels, 1, 1), signs)
        d = probe.strongest.reshape(image.shape) - image
        size = expand(region.radius.to(d), d)
        if region.p == 2:
            size = size / math.sqrt(channels * h * w)
        return region.project((image + torch.where(inside, size * signs, d)).reshape(flat))
