"""TRADES, Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan, ICML 2019, arXiv:1901.08573."""

import dataclasses
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from holdfast.core.params import Count, NonNegative, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe
from holdfast.defenses.training._worst import Worst
from holdfast.learning.objective import Step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trades(Recipe):
    """Trade accuracy against robustness: learn clean inputs, and to answer the same at the worst point nearby.

        x' <- `steps` times  project(x' + step * steepest(gradient of KL(p(x) || p(x')))), from a little noise
        loss = cross-entropy(x, y) + beta * KL(p(x) || p(x'))

    The inner attack seeks the answer that differs most from the clean one, not a wrong one.

    Cost: `steps` + 2 forward and backward passes for each plain one, and the validation attacks; `beta` 0 costs what
    the plain training does.

    Args:
        of: The plain training that the second term is added to; its own objective is not used.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack on the validation part.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
        beta: Weight of the second term; the paper's 6.
        steps: Forward and backward passes that look for each worst input.
        step: Step length, as a fraction of the radius.
        momentum: Share of the last direction kept, as in `Pgd`.
    """

    beta: NonNegative = 6.0
    steps: Count = 10
    step: Positive = 0.25
    momentum: NonNegative = 0.0

    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """Batches that answer differently, and the loss of two terms."""
        worst = Worst(
            threat=self.threat,
            space=dataset.space,
            steps=self.steps,
            step=self.step,
            momentum=self.momentum,
            loss="divergence",
            start="near",
        )
        return {"perturb": worst if self.beta else None, "objective": _Loss(beta=self.beta)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Loss:
    """Cross-entropy of the clean inputs, and how far the answers at the harder ones are from theirs.

    Args:
        beta: Weight of the second.
    """

    beta: float

    def __call__(self, step: Step) -> Tensor:
        """A scalar, the mean over the batch."""
        clean = step.logits(step.x).float()
        natural = cross_entropy(clean, step.y, label_smoothing=step.smoothing)
        if not self.beta:
            return natural
        harder = step.logits(step.harder).float().log_softmax(1)
        return natural + self.beta * kl_div(harder, clean.log_softmax(1), reduction="batchmean", log_target=True)
