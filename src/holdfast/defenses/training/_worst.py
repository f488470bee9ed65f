"""The inner attack of a training: a few steps of projected gradient ascent on a loss, in any region."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, kl_div

from holdfast.core.params import Natural, NonNegative, Positive, check
from holdfast.geometry.draw import Draw
from holdfast.geometry.rows import unit
from holdfast.threats.regions import Region
from holdfast.threats.space import Box
from holdfast.threats.threats import Threat

Logits = Callable[[Tensor], Tensor]
NEAR = 1e-3  # of the box's width: the deviation of the noise that a start nearby has


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worst:
    """The worst inputs that a few steps of ascent find, all rows taken to the end.

        m <- momentum * m + g / |g|_1        x <- project(x + step * steepest(m))

    The driver is not used here: it verifies, counts and ends rows, and training wants the last point, not the
    strongest, at the price of the passes alone.

    Args:
        threat: How far inputs may go.
        space: Where inputs live.
        steps: Forward and backward passes.
        step: Step length, as a fraction of the radius.
        momentum: Share of the last direction kept.
        loss: Climb the cross-entropy of the labels, or the divergence from the scores of the clean inputs.
        start: Anywhere in the region, or near the input: the divergence has no slope at the input itself.
    """

    threat: Threat
    space: Box
    steps: Natural
    step: Positive
    momentum: NonNegative = 0.0
    loss: Literal["cross-entropy", "divergence"] = "cross-entropy"
    start: Literal["anywhere", "near"] = "anywhere"

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, logits: Logits, x0: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """Harder inputs of the same classes: `(batch, ...)`."""
        region, rise = self.threat.around(x0, self.space), self._rise(logits, x0, y)
        draw = drawn(x0, generator)
        x, m = region.sample(draw) if self.start == "anywhere" else self._near(region, draw), torch.zeros_like(x0)
        for _ in range(self.steps):
            g = slope(logits, x, rise)
            m = self.momentum * m + unit(g, p=1) if self.momentum else g
            x = region.project(x + self.step * region.steepest(m, x))
        return x

    def _rise(self, logits: Logits, x0: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        if self.loss == "cross-entropy":
            return lambda scores: cross_entropy(scores, y, reduction="sum")
        with torch.no_grad():
            clean = logits(x0).detach().float().log_softmax(1)
        return lambda scores: kl_div(scores.log_softmax(1), clean, reduction="sum", log_target=True)

    def _near(self, region: Region, draw: Draw) -> Tensor:
        noise = draw.normal(*region.x0.shape[1:])
        return region.project(region.x0 + NEAR * (region.high - region.low) * noise)


def drawn(x0: Tensor, generator: Generator) -> Draw:
    """The random numbers of a batch in training, `(batch, ...)` at a time."""
    seed = int(torch.randint(2**40, (1,), generator=generator))
    return Draw(seed, "train", range(len(x0)), x0)


def slope(logits: Logits, x: Tensor, rise: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of `rise(logits(x))`, a sum over rows, in `x`: `(batch, ...)`."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        loss = rise(logits(leaf).float())
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient
