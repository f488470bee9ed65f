"""MART, Wang, Zou, Yi, Bailey, Ma and Gu, "Revisiting Misclassified Examples", ICLR 2020."""

import dataclasses
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from holdfast.core.params import Count, NonNegative, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe
from holdfast.defenses.training._worst import Worst
from holdfast.learning.objective import Step

FLOOR = 1e-4  # added to a probability before its logarithm is taken


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mart(Recipe):
    """Learn most from the samples that the model gets wrong even before they are attacked.

        x' <- `steps` times  project(x' + step * steepest(gradient of the cross-entropy)), from a little noise
        loss = -log p_y(x') - log(1 - max_{k != y} p_k(x')) + weight * KL(p(x) || p(x')) * (1 - p_y(x))

    The first two terms are the boosted cross-entropy, which also pushes the runner-up down.

    Cost: `steps` + 2 forward and backward passes for each plain one, and the validation attacks.

    Args:
        of: The plain training; its objective is not used.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack on the validation part.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
        weight: Of the last term; the paper's 5.
        steps: Forward and backward passes that look for each worst input.
        step: Step length, as a fraction of the radius.
        momentum: Share of the last direction kept, as in `Pgd`.
    """

    weight: NonNegative = 5.0
    steps: Count = 10
    step: Positive = 0.25
    momentum: NonNegative = 0.0

    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """Harder batches, and the loss above."""
        worst = Worst(
            threat=self.threat,
            space=dataset.space,
            steps=self.steps,
            step=self.step,
            momentum=self.momentum,
            start="near",
        )
        return {"perturb": worst, "objective": _Loss(weight=self.weight)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Loss:
    """Boosted cross-entropy of the harder inputs, and their divergence where the clean ones are in doubt.

    Args:
        weight: Of the divergence.
    """

    weight: float

    def __call__(self, step: Step) -> Tensor:
        """A scalar, the mean over the batch."""
        clean = step.logits(step.x).float().log_softmax(1)
        harder = step.logits(step.harder).float().log_softmax(1)
        others = harder.exp().scatter(1, step.y[:, None], 0.0).amax(1)
        boosted = cross_entropy(harder, step.y, label_smoothing=step.smoothing) - (1 + FLOOR - others).log().mean()
        apart = kl_div(harder, clean, reduction="none", log_target=True).sum(1)
        doubt = 1 - clean.exp().gather(1, step.y[:, None])[:, 0]
        return boosted + self.weight * (apart * doubt).mean()
