"""Descent past a detector, Bryniarski, Hingun, Pachuca, Wang and Carlini, ICLR 2022, arXiv:2106.15023."""

import dataclasses
import math
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import log_odds, margin
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Positive, Range
from holdfast.geometry.rows import expand, unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectivePgd(Attack):
    """Leave the input, which a detector accepts, by steps that shrink, and move only the features that tell most.

        x <- project(x + step_i * d),   step_i = first * (last / first)^(i / (steps - 1))

    Attacks that begin at random and move every feature by the whole step are flagged at once, and where a detector
    counts untouched features its slope tells no way back. With `loss="margin"` each step follows the demand that is
    farthest from met, the class or the detector (after the paper's selective descent); with "odds" both, weighed by
    how far each is. Only the steepest `share` of the features that can still move counts (after Tramer and Boneh,
    NeurIPS 2019, arXiv:1904.13000, who do so in L1); they all move by the step, or with `shape="gradient"` in
    proportion.

    Cost: `steps` forward and backward passes and one more forward pass.

    Args:
        steps: Forward and backward passes.
        first: Length of the first step, as a fraction of the radius.
        last: Length of the last step.
        share: Of the features, those that move in a step.
        shape: Whether they move alike, as far as the norm knows that, or in proportion to the gradient.
        loss: What is climbed: "odds" of the whole goal, or the "margin" of the demand that is farthest from met.
    """

    norms: ClassVar = (math.inf, 2.0)
    scheduled: ClassVar = True

    steps: Count = 100
    first: Positive = 0.5
    last: Positive = 0.05
    share: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    shape: Literal["alike", "gradient"] = "alike"
    loss: Literal["odds", "margin"] = "odds"

    def search(self, probe: Probe) -> None:
        """Climb from the input for `steps` steps and look at the last point."""
        region, x = probe.region, probe.x0
        radius = expand(region.radius.to(x), x)
        loss = log_odds if self.loss == "odds" else margin
        for i in probe.steps(self.steps):
            g = probe.slope(x, loss).gradient
            g = largest(torch.where(region.free(g, x), g, 0), self.share)
            way = region.steepest(g, x) if self.shape == "alike" else radius * unit(g, p=region.p)
            x = region.project(x + self.first * (self.last / self.first) ** (i / max(1, self.steps - 1)) * way)
        probe.margin(x)


def largest(g: Tensor, share: float) -> Tensor:
    """The largest components of each row, at least one; the others are zero."""
    if share == 1.0:
        return g
    size = g.flatten(1).abs()
    edge = size.topk(max(1, math.ceil(share * size.shape[1])), dim=1).values[:, -1]
    return torch.where(g.abs() >= expand(edge, g), g, 0)
