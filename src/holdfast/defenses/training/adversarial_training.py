"""Adversarial training, Madry et al., ICLR 2018, arXiv:1706.06083; Rice et al., ICML 2020, arXiv:2002.11569."""

import dataclasses
from typing import Any

from holdfast.core.params import Count, NonNegative, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe
from holdfast.defenses.training._worst import Worst


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialTraining(Recipe):
    """Learn from the worst inputs near each sample, and keep the epoch that withstands a validation attack best.

        x' <- x + noise in the region, then `steps` times  x' <- project(x' + step * steepest(gradient of the loss))
        weights <- weights - rate * gradient of loss(x', y)

    Robust accuracy on held-out data peaks before training ends (Rice et al.), so `of` should have a patience: after
    each epoch the validation part is attacked by PGD with `validation_steps` steps at the same threat.

    Cost: `steps` + 1 forward and backward passes for each plain one, and the validation attacks.

    Args:
        of: The plain training whose batches are made harder.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack on the validation part.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
        steps: Forward and backward passes that look for each worst input.
        step: Step length, as a fraction of the radius.
        momentum: Share of the last direction kept, as in `Pgd`.
    """

    steps: Count = 7
    step: Positive = 0.25
    momentum: NonNegative = 0.0

    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """Harder batches."""
        worst = Worst(threat=self.threat, space=dataset.space, steps=self.steps, step=self.step, momentum=self.momentum)
        return {"perturb": worst}
