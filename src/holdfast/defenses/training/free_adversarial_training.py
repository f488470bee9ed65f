"""Free adversarial training, Shafahi et al., NeurIPS 2019, arXiv:1904.12843."""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core.errors import ThreatError
from holdfast.core.params import Count, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe
from holdfast.learning.objective import Step
from holdfast.threats.space import Box
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreeAdversarialTraining(Recipe):
    """Take the gradient in the weights and the one in the inputs from one backward pass, and use each batch often.

        `replays` times a batch:   gradients of loss(clip(x + d), y) in weights and d, from one pass
                                   weights <- weights - rate * their gradient,   d <- project(d + step * steepest(its))

    d is carried from step to step, also from one batch to the next, place by place. `replays` steps on a batch count as
    so many epochs: a plain training of 30 epochs becomes one of ceil(30 / replays) passes over the data.

    Cost: what the plain training costs, and the validation attacks.

    Args:
        of: The plain training, whose epochs are divided; its objective is not used.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack on the validation part.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
        replays: Steps in a row on each batch; the paper's 8.
        step: Step length, as a fraction of the radius.
    """

    replays: Count = 8
    step: Positive = 1.0

    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """Replays, fewer passes over the data, and a loss that moves the perturbation as it is differentiated.

        Raises:
            ThreatError: HF303 for a table threat: what one row may become says nothing of the next.
        """
        if isinstance(self.threat, Table):
            raise ThreatError(
                "HF303",
                "FreeAdversarialTraining carries a perturbation from row to row, and is not written for tables",
                seen=self.threat.literal,
                expected="a ball, such as linf:0.1",
                fix="AdversarialTraining",
            )
        return {
            "objective": _Carried(threat=self.threat, space=dataset.space, step=self.step),
            "perturb": None,
            "replays": self.replays,
            "epochs": math.ceil(self.of.epochs / self.replays),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Carried:
    """The cross-entropy at `x + d`; whoever differentiates it in the weights moves d too.

    Args:
        threat: How long d may be.
        space: Where inputs live.
        step: Of d, as a fraction of the radius.
    """

    threat: Threat
    space: Box
    step: float

    def __call__(self, step: Step) -> Tensor:
        """A scalar, the mean over the batch."""
        low, high = self.space.limits(step.x)
        d = step.memory.get("perturbation")
        d = torch.zeros_like(step.x) if d is None or d.shape != step.x.shape else d.to(step.x)
        d = d.requires_grad_()
        d.register_hook(lambda g: self._move(step, g, d, high - low))  # type: ignore[no-untyped-call]
        x = torch.minimum(torch.maximum(step.x + d, low), high)
        return cross_entropy(step.logits(x).float(), step.y, label_smoothing=step.smoothing)

    def _move(self, step: Step, gradient: Tensor, d: Tensor, width: Tensor) -> None:
        """One step of d, inside the ball around nothing; the box is the inputs' own affair."""
        here = d.detach()
        radius = torch.full((len(here),), self.threat.radius, dtype=torch.float64)
        ball = self.threat.region(torch.zeros_like(here), radius, -width, width)
        step.memory["perturbation"] = ball.project(here + self.step * ball.steepest(gradient, here)).detach()
