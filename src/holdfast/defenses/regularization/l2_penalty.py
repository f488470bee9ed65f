"""Ridge, Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", Technometrics, 1970."""

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
class L2Penalty(Learner):
    """Add half the sum of the squared weights to the loss.

        loss <- loss + strength / 2 * sum w^2

    Norms and biases are free. Under stochastic gradient descent this is `WeightDecay` but for rounding; here the term
    is part of the loss, on top of the decay that `of` has. No defense against attacks by itself: a baseline.

    Cost: one sum over the weights a step.

    Args:
        of: The plain training; its objective is kept and added to.
        strength: Factor on half the sum.
    """

    of: Train = Train()
    strength: NonNegative = 1e-3

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        objective = _Ridge(strength=self.strength, of=self.of.objective)
        return dataclasses.replace(self.of, objective=objective).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Ridge:
    """Another objective plus the squared weights."""

    strength: float
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        loss = self.of(step)
        for weight in step.net.parameters():
            if self.strength and weight.dim() > 1:
                loss = loss + self.strength / 2 * weight.square().sum()
        return loss
