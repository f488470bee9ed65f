"""Jacobian-based saliency map attack, Papernot et al., IEEE EuroS&P 2016, arXiv:1511.07528."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, PositiveShare
from holdfast.geometry.projections import room


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jsma(Attack):
    """Move the most salient one or two values by a fixed step, again and again, until the goal is reached.

        saliency_j = |d log-odds / d x_j| * (how far x_j will move)        x_j <- x_j + step * width * sign

    The log-odds are those of one way of reaching the goal: the target, or the class nearest at the input. Where scores
    are softmax probabilities, their ranking is the paper's: alpha = -beta there, so the best pair are the best two.

    It always ends: a value moves on in the direction it took first, and is out of the search at its bound; a row ends
    when no value that could move has any saliency, or when more values have changed than the threat allows.

    Cost: a forward and a backward pass a step; with `step` 1 at most as many steps as there are values.

    Deviations: values may rise or fall, as the gradient says, where the paper fixes one direction for all; the saliency
    counts the room that is left, so that a value about to hit its bound does not pass for a large one.

    Args:
        steps: Moves at most.
        step: Length of a move, as a fraction of the box's width; 1 goes to the bound.
        pairs: Whether two values move at once, as in the paper.
    """

    norms: ClassVar = (0.0,)
    minimal: ClassVar = True

    steps: Count = 2000
    step: PositiveShare = 1.0
    pairs: bool = False

    def search(self, probe: Probe) -> None:
        """Move until every row has reached the goal or run out of values."""
        region, x0, x = probe.region, probe.x0, probe.x0
        way = probe.clean.argmin(1)

        def log_odds(margins: Tensor, scores: Tensor) -> Tensor:
            chosen = margins[torch.arange(len(way), device=way.device), way]
            return -torch.logsumexp(chosen, 1)

        for _ in probe.steps(self.steps):
            g, _, margin = probe.slope(x, log_odds)
            onward = (x == x0) | (g.sign() == (x - x0).sign())
            reach = torch.minimum(room(g, x, region.low, region.high), self.step * (region.high - region.low))
            gain = torch.where(onward, g.abs() * reach, 0).flatten(1)
            order = gain.argsort(dim=1, descending=True, stable=True)[:, : 2 if self.pairs else 1]
            chosen = torch.zeros_like(gain).scatter(1, order, 1.0) * (gain > 0)
            x = x + g.sign() * reach * chosen.reshape(x.shape)
            x = torch.minimum(torch.maximum(x, region.low), region.high)
            spent = region.distance(x) > probe.limit.radius
            probe.finish((margin < 0) | (chosen == 0).all(1) | spent)
        probe.margin(x)
