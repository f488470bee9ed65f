"""Wasserstein robustness, Sinha, Namkoong and Duchi, "Certifying Some Distributional Robustness", ICLR 2018.

arXiv:1710.10571.
"""

import dataclasses
import math

from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from holdfast.core.params import Natural, Positive
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._worst import Logits, slope
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class WassersteinRobust(Learner):
    """Learn from inputs that move as far as the loss they gain pays for: a price instead of a radius.

        x' <- the maximum of  loss(x', y) - gamma * |x' - x|^2,   by `steps` times, t = 1, 2, ...
        x' <- clip(x' + step / (2 gamma sqrt(t)) * (gradient of the loss - 2 gamma (x' - x)))
        weights <- weights - rate * gradient of loss(x', y)

    This bounds the loss over all distributions near the data in Wasserstein distance, the farther the smaller gamma is.
    Lengths are Euclidean, in widths of the box. A loss that is linear in the input moves it by gradient / (2 gamma).
    There is one maximum where gamma exceeds half the curvature of the loss, which rectified networks do not promise.
    The paper's steps are 1 / sqrt(t), whatever gamma is. It is made against small changes in L2 and names no radius:
    audit it under those that count.

    Cost: `steps` + 1 forward and backward passes for each plain one.

    Args:
        of: The plain training whose batches are made harder.
        gamma: Loss that a squared distance of 1 costs.
        steps: Forward and backward passes that look for each input; 0 moves nothing.
        step: First step, as a share of the one that a linear loss needs.
    """

    of: Train = Train()
    gamma: Positive = 1.0
    steps: Natural = 15
    step: Positive = 1.0

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        perturb = _Priced(gamma=self.gamma, steps=self.steps, step=self.step, space=dataset.space)
        return dataclasses.replace(self.of, perturb=perturb).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Priced:
    """Inputs that raise the loss for what their distance costs.

    Args:
        gamma, steps, step: See the learner.
        space: Where inputs live.
    """

    gamma: float
    steps: int
    step: float
    space: Box

    def __call__(self, logits: Logits, x0: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """Harder inputs of the same classes: `(batch, ...)`."""
        low, high = self.space.limits(x0)
        width, x = high - low, x0
        for t in range(1, self.steps + 1):
            gain = slope(logits, x, lambda scores: cross_entropy(scores, y, reduction="sum")) * width
            price = 2 * self.gamma * (x - x0) / width
            x = x + self.step / (2 * self.gamma * math.sqrt(t)) * (gain - price) * width
            x = x.clamp(low, high)
        return x
