"""mixup: Beyond Empirical Risk Minimization, Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018, arXiv:1710.09412."""

import dataclasses

import torch
from torch import Tensor

from holdfast.core.params import NonNegative
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._chance import beta
from holdfast.defenses.regularization._once import blended
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Objective, Step
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixup(Learner):
    """Learn from weighted means of two samples, labeled with the same weights.

        share ~ Beta(alpha, alpha), once a batch;  j a random partner of i
        x' <- share * x[i] + (1 - share) * x[j]
        loss <- share * loss(x', y[i]) + (1 - share) * loss(x', y[j])

    Single gradient steps find less against it; its own paper measures that iterated ones still break it.

    Cost: one pass a step, as the plain training.

    Args:
        of: The plain training; its objective costs both labels, on its harder inputs where it has a perturbation.
        alpha: Of the Beta distribution: small values stay near one of the two samples, 0 mixes nothing.
    """

    of: Train = Train()
    alpha: NonNegative = 1.0

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        objective = _Mixed(alpha=self.alpha, of=self.of.objective)
        return dataclasses.replace(self.of, objective=objective).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Mixed:
    """An objective on means of pairs."""

    alpha: float
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        if not self.alpha:
            return self.of(step)
        share = beta(self.alpha, step.draw)
        partner = torch.randperm(len(step.x), generator=step.draw).to(step.y.device)
        x = share * step.x + (1 - share) * step.x[partner]
        harder = x if step.harder is step.x else share * step.harder + (1 - share) * step.harder[partner]
        return blended(self.of, step, x, harder, step.y[partner], share)
