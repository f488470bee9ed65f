"""Gradients that carry over to other models: MI-FGSM and its descendants, Dong et al., CVPR 2018, arXiv:1710.06081."""

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import log_odds
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Natural, NonNegative, Positive, PositiveShare, Share
from holdfast.geometry.rows import unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferPgd(Attack):
    """Climb with directions that are less the model's own, so that what is found breaks other models too.

        g <- kernel * mean over n of T'(grad loss(T(x + lookahead + r_n)))
        m <- momentum * m + g / |g|_1        x <- project(x + step * steepest(m))

    Momentum is MI; Nesterov's lookahead is NI, Lin et al., ICLR 2020, arXiv:1908.06281; input diversity is DI, Xie et
    al., CVPR 2019, arXiv:1803.06978: T shrinks a picture a little and puts it somewhere in a black frame; a smoothed
    gradient is TI, Dong et al., CVPR 2019, arXiv:1904.02884; the mean over random neighbors x + r_n is VMI, Wang and
    He, CVPR 2021, arXiv:2103.15571. Run it with `perturb=True` and show the result to the target: `hf.transfer` does.
    On inputs that are no pictures, diversity and kernel do nothing. Several models at once are an ensemble,
    `hf.wrap([a, b], vote="logits")`.

    Cost: `steps` times 1 + `neighbors` forward and backward passes, and one more forward pass; with lookahead or
    diversity, which look beside the point, one more forward pass a step.

    Deviations: VMI adds to the gradient the difference between the neighbors' mean and the gradient of the step before,
    so that it is a mean over neighbors one step late; here it is the mean itself, over x and its neighbors.

    Args:
        steps: Steps.
        step: Step length, as a fraction of the radius.
        momentum: Share of the last direction kept.
        lookahead: Whether the gradient is taken where momentum alone would lead.
        diversity: Probability that a picture is resized before a pass.
        least: Smallest size it is resized to, as a share of its own.
        kernel: Side of the Gaussian that smooths the gradient, in pixels; 0 and 1 for none.
        neighbors: Random points around x whose gradients are averaged with its own.
        reach: How far they may lie, in radii.
    """

    norms: ClassVar = (math.inf, 2.0)

    steps: Count = 20
    step: Positive = 0.1
    momentum: NonNegative = 1.0
    lookahead: bool = False
    diversity: Share = 0.5
    least: PositiveShare = 0.85
    kernel: Natural = 0
    neighbors: Natural = 0
    reach: Positive = 1.5

    def search(self, probe: Probe) -> None:
        """Climb from the input for `steps` steps and look at the last point."""
        region, x, m = probe.region, probe.x0, torch.zeros_like(probe.x0)
        elsewhere = self.lookahead or (self.diversity > 0 and x.dim() == 4)
        for i in probe.steps(self.steps):
            if elsewhere and i:
                probe.margin(x)
            ahead = x + self.step * self.momentum * region.steepest(m, x) if self.lookahead else x
            ahead = torch.minimum(torch.maximum(ahead, region.low), region.high)
            g = self._gradient(probe, ahead)
            for _ in range(self.neighbors):
                near = ahead + self.reach * (region.sample(probe.draw) - probe.x0)
                g = g + self._gradient(probe, torch.minimum(torch.maximum(near, region.low), region.high))
            m = self.momentum * m + unit(smooth(g, self.kernel), p=1)
            x = region.project(x + self.step * region.steepest(m, x))
        probe.margin(x)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.steps * (2 + self.neighbors)

    def _gradient(self, probe: Probe, x: Tensor) -> Tensor:
        """Of the loss at a resized picture, with respect to the picture itself."""
        if not self.diversity or x.dim() != 4:
            return probe.slope(x, log_odds).gradient
        side = x.shape[2:]
        chosen, where = probe.draw.uniform(2), probe.draw.uniform(2)
        share = torch.where(chosen[:, :1] < self.diversity, self.least + (1 - self.least) * chosen[:, 1:], 1.0)
        sizes = (share * torch.tensor(side, device=x.device)).round().long().clamp(min=1)
        first = (where * (torch.tensor(side, device=x.device) - sizes + 1)).long()
        places = [_places(sizes[:, k], first[:, k], side[k]) for k in (0, 1)]
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            shown = framed(leaf, *places)
            slope = probe.slope(shown.detach(), log_odds).gradient
            (g,) = torch.autograd.grad(shown, leaf, slope)
        return g


def framed(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pictures whose pixels come from these rows and columns, `(batch, side)`; black where they are -1."""
    x = x.gather(2, rows.clamp(min=0)[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
    x = x.gather(3, columns.clamp(min=0)[:, None, None, :].expand(-1, x.shape[1], x.shape[2], -1))
    return x * ((rows >= 0)[:, None, :, None] & (columns >= 0)[:, None, None, :])


def _places(size: Tensor, first: Tensor, side: int) -> Tensor:
    """Which pixel stands where after a resize to `size` that begins at `first`; -1 outside: `(batch, side)`."""
    offset = torch.arange(side, device=size.device) - first[:, None]
    inside = (offset >= 0) & (offset < size[:, None])
    return torch.where(inside, offset * side // size[:, None], -1)


def smooth(g: Tensor, side: int) -> Tensor:
    """The gradient under a Gaussian of that side, three deviations to each edge, zero beyond the picture."""
    if side < 2 or g.dim() != 4:
        return g
    places = torch.linspace(-3, 3, side, dtype=g.dtype, device=g.device)
    window = torch.exp(-places.square() / 2)
    window = window / window.sum()
    channels = g.shape[1]
    kernel = (window[:, None] * window).expand(channels, 1, side, side)
    left = (side - 1) // 2
    padded = functional.pad(g, (left, side - 1 - left, left, side - 1 - left))
    return functional.conv2d(padded, kernel, groups=channels)
