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
from holdfast.geometry.rows import expand, unit
from holdfast.threats.regions import Region


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
    so that it is a mean over neighbors one step late; here it is the mean itself, over x and its neighbors. What lies
    beside the point stays in the box. Lookahead is as long as momentum in Linf, as Lin et al. take it, and a step in
    L2. Diversity shrinks where Xie et al. enlarge, because a network may take no larger pictures.

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
        ball = type(region)(torch.zeros_like(x), region.radius, region.low - region.high, region.high - region.low)
        for i in probe.steps(self.steps):
            if elsewhere and i:
                probe.margin(x)
            ahead = x + self.step * self.momentum * _lead(region, m, x) if self.lookahead else x
            ahead = torch.minimum(torch.maximum(ahead, region.low), region.high)
            g = self._gradient(probe, ahead)
            for _ in range(self.neighbors):
                near = ahead + self.reach * ball.sample(probe.draw)
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
        side = torch.tensor(x.shape[2:], device=x.device)
        chosen, where = probe.draw.uniform(2), probe.draw.uniform(2)
        share = torch.where(chosen[:, :1] < self.diversity, self.least + (1 - self.least) * chosen[:, 1:], 1.0)
        sizes = (share * side).round().long().clamp(min=1)
        first = (where * (side - sizes + 1)).long()
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            shown = framed(leaf, sizes, first)
            slope = probe.slope(shown.detach(), log_odds).gradient
            (g,) = torch.autograd.grad(shown, leaf, slope)
        return g


def framed(x: Tensor, sizes: Tensor, first: Tensor) -> Tensor:
    """Pictures resized to `sizes` from row and column `first` on, `(batch, 2)` each; bilinear, black around them."""
    for axis in (2, 3):
        x = _resized(x, axis, sizes[:, axis - 2, None], first[:, axis - 2, None])
    return x


def _resized(x: Tensor, axis: int, size: Tensor, first: Tensor) -> Tensor:
    """The same along one axis, `(batch, 1)` each."""
    side = x.shape[axis]
    offset = torch.arange(side, device=x.device) - first
    place = ((offset + 0.5).double() * side / size - 0.5).clamp(0, side - 1)
    low = place.floor().long()

    def along(values: Tensor) -> Tensor:
        return values[:, None, :, None] if axis == 2 else values[:, None, None, :]

    def at(places: Tensor) -> Tensor:
        return x.gather(axis, along(places).expand(x.shape))

    share = along((place - low).to(x))
    inside = along((offset >= 0) & (offset < size))
    return (at(low) * (1 - share) + at((low + 1).clamp(max=side - 1)) * share) * inside


def _lead(region: Region, m: Tensor, x: Tensor) -> Tensor:
    """Where momentum leads in one step of the radius: in Linf in proportion to it, its first mean size being 1."""
    if region.p == math.inf:
        return expand(region.radius.to(m), m) * m[0].numel() * m
    return region.steepest(m, x)


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
