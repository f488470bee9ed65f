"""Lasso, Tibshirani, "Regression Shrinkage and Selection via the Lasso", JRSS B, 1996."""

import dataclasses

from torch import Tensor

from holdfast.core.params import NonNegative
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Objective, Step
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class L1Penalty(Learner):
    """Add the sum of the absolute weights to the loss, so that weights that do little become small.

        loss <- loss + strength * sum |w|

    Norms and biases are free, as they are for `Train.weight_decay`, which stays as it is in `of`. Gradient descent
    makes weights small, not exactly zero. No defense against attacks by itself: a baseline.

    Cost: one sum over the weights a step.

    Args:
        of: The plain training; its objective is kept and added to.
        strength: Factor on the sum.
    """

    of: Train = Train()
    strength: NonNegative = 1e-4

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        objective = _Shrinking(strength=self.strength, of=self.of.objective)
        return dataclasses.replace(self.of, objective=objective).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Shrinking:
    """Another objective plus the absolute weights."""

    strength: float
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        loss = self.of(step)
        for weight in step.net.parameters():
            if self.strength and weight.dim() > 1:
                loss = loss + self.strength * weight.abs().sum()
        return loss
