"""Input gradient regularization, Ross and Doshi-Velez, AAAI 2018, arXiv:1711.09404; Drucker and LeCun, 1992.

Drucker and LeCun, "Improving Generalization Performance Using Double Backpropagation", IEEE Transactions on Neural
Networks, 1992.
"""

import dataclasses

from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core.params import NonNegative
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._once import Once
from holdfast.defenses.regularization._slopes import squared
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Objective, Step
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputGradient(Learner):
    """Keep the loss from changing with the input: the squared length of its gradient is added to it.

        loss <- loss + strength * mean over the batch of |d cross-entropy / d x|^2

    Lengths are measured in widths of the box. The penalty sees the tangent at the data only, so what it buys shrinks
    with the radius of the attack. With batch norms the rows of a batch see each other, and so do their gradients.

    Cost: a backward pass through the backward pass, about three times the plain training.

    Args:
        of: The plain training; its objective is kept and added to, on its harder inputs where it has a perturbation.
        strength: Factor on the squared length.
    """

    of: Train = Train()
    strength: NonNegative = 0.1

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        objective = _Flat(strength=self.strength, space=dataset.space, of=self.of.objective)
        return dataclasses.replace(self.of, objective=objective).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Flat:
    """Another objective plus the squared input gradient of the cross-entropy."""

    strength: float
    space: Box
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        if not self.strength:
            return self.of(step)
        leaf = step.harder.detach().requires_grad_()
        x = leaf if step.x is step.harder else step.x
        step = dataclasses.replace(step, x=x, harder=leaf, logits=Once(step.logits))
        scores = step.logits(leaf).float()
        total = cross_entropy(scores, step.y, label_smoothing=step.smoothing, reduction="sum")
        return self.of(step) + self.strength * squared(total, leaf, self.space).mean()
