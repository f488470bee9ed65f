"""Fast adversarial training, Wong et al., ICLR 2020, arXiv:2001.03994.

N-FGSM: de Jorge et al., NeurIPS 2022, arXiv:2202.01181. GradAlign: Andriushchenko and Flammarion, NeurIPS 2020,
arXiv:2007.02617.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from holdfast.core.params import NonNegative, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe, Withstands
from holdfast.defenses.training._worst import Logits, Worst, drawn, slope
from holdfast.learning.judging import Alarm, Alert, Judged, fell, fell_easily
from holdfast.learning.objective import Objective, Step
from holdfast.learning.train import Train
from holdfast.threats.space import Box
from holdfast.threats.threats import Threat

LEFT = 0.5  # of the best share against PGD: a collapse leaves less
SMALL = 1e-10  # length of a gradient below which it has no direction worth a term
ERRORS = 2.0  # binomial standard errors that a fall exceeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class FastAdversarialTraining(Recipe):
    """Adversarial training with a single step from a random start, and an alarm for the day it stops working.

        x' <- project(x + noise in the region + step * steepest(gradient of the loss)),   step 1.25 of the radius

    *Catastrophic overfitting*: from one epoch to the next the network learns to answer the single step and nothing
    else, accuracy under PGD falls to nothing while accuracy under FGSM stays (Wong et al.; Andriushchenko and
    Flammarion, NeurIPS 2020, arXiv:2007.02617). After each epoch the validation part meets both attacks; where PGD
    leaves less than half of what it left in the best epoch and FGSM no less, beyond binomial noise, the alarm tells
    (HF261) and `collapse` decides. `noise` is the remedy of de Jorge et al.: a start in a wider ball, and no
    projection. `alignment` is that of Andriushchenko and Flammarion, for the step works while the loss is nearly linear
    in the region:

        loss <- loss + alignment * mean of (1 - cosine of its gradients over the input at x and at x + noise)

    Cost: 2 forward and backward passes for each plain one, and the validation attacks; with `alignment` two passes and
    a backward pass through their backward passes more, about three times as much.

    Args:
        of: The plain training whose batches are made harder; watched to its end where it has no patience.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack on the validation part.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
        step: Step length, as a fraction of the radius.
        noise: Start in a ball of so many radii and leave the result where it falls, inside the box (N-FGSM; the paper's
            2, with step 1); 0 to start in the region and project onto it.
        alignment: Weight of GradAlign's term; the paper takes 0.2 for 8/255 on CIFAR-10 and 2 for 16/255. 0 for none.
        collapse: "stop" to end there and keep the epoch before that withstood most, "tell" to go on to the end and
            keep it all the same unless a later one is better, "ignore" to look for none.
    """

    step: Positive = 1.25
    noise: NonNegative = 0.0
    alignment: NonNegative = 0.0
    collapse: Literal["stop", "tell", "ignore"] = "stop"

    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """Batches made harder by one step, and the loss with its term."""
        made: dict[str, Any] = {"perturb": Worst(threat=self.threat, space=dataset.space, steps=1, step=self.step)}
        if self.noise:
            made = {"perturb": _Noisy(threat=self.threat, space=dataset.space, step=self.step, noise=self.noise)}
        if not self.alignment:
            return made
        aligned = _Aligned(weight=self.alignment, threat=self.threat, space=dataset.space, of=self.of.objective)
        return made | {"objective": aligned}

    def training(self, dataset: Dataset, seed: int) -> Train:
        """The plain training with harder batches, watched."""
        made = super().training(dataset, seed)
        if self.collapse == "ignore":
            return made
        judge = Withstands(
            threat=self.threat, steps=self.validation_steps, samples=self.validation_samples, seed=seed, easy=True
        )
        alarm: Alarm = _Collapse(stop=self.collapse == "stop")
        patience = self.of.patience or self.of.epochs
        return dataclasses.replace(made, judge=judge, alarms=(*made.alarms, alarm), patience=patience)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Noisy:
    """One step from a random point of a wider ball, not projected back onto the smaller one.

    Args:
        threat: Whose steepest direction is gone.
        space: Where inputs live.
        step: Step length, as a fraction of the radius.
        noise: Radius of the wider ball, as a multiple.
    """

    threat: Threat
    space: Box
    step: float
    noise: float

    def __call__(self, logits: Logits, x0: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """Harder inputs of the same classes: `(batch, ...)`."""
        wider = self.threat.at(self.noise * self.threat.radius).around(x0, self.space)
        x = wider.sample(drawn(x0, generator))
        g = slope(logits, x, lambda scores: cross_entropy(scores, y, reduction="sum"))
        moved = x + self.step * self.threat.around(x0, self.space).steepest(g, x)
        return torch.minimum(torch.maximum(moved, wider.low), wider.high)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Aligned:
    """Another objective, and how far gradients over the input turn within the region.

    Args:
        weight: Of the second.
        threat: How far the other point may be.
        space: Where inputs live.
        of: The other objective.
    """

    weight: float
    threat: Threat
    space: Box
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar; rows whose gradient is zero, or nearly so, have no direction and do not count."""
        x = step.x.detach()
        other = self.threat.around(x, self.space).sample(drawn(x, step.draw))
        here, there = (self._slope(step, point) for point in (x, other))
        counted = (here.norm(dim=1) > SMALL) & (there.norm(dim=1) > SMALL)
        turned: Tensor = (
            1 - cosine_similarity(here[counted], there[counted], dim=1, eps=SMALL**2)
        ).sum() / counted.sum().clamp(min=1)
        loss: Tensor = self.of(step) + self.weight * turned
        return loss

    def _slope(self, step: Step, x: Tensor) -> Tensor:
        """The gradient of the cross-entropy of each row, differentiable in the weights: `(batch, values)`."""
        leaf = x.detach().requires_grad_()
        loss = cross_entropy(step.logits(leaf).float(), step.y, reduction="sum")
        (found,) = torch.autograd.grad(loss, leaf, create_graph=True)
        rows: Tensor = found.flatten(1)
        return rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Collapse:
    """Whether the last epoch withstands the single step only.

    Args:
        stop: Whether the training ends there.
    """

    stop: bool

    def __call__(self, epochs: Sequence[Judged]) -> Alert | None:
        """An alert in the first epoch that has collapsed."""
        if not _collapsed(epochs) or _collapsed(epochs[:-1]):
            return None
        best, now = max(epochs, key=lambda one: one.score), epochs[-1]
        kept = epochs.index(best) + 1
        return Alert(
            f"catastrophic overfitting in epoch {len(epochs)}: {now.score:.1%} withstand PGD after {best.score:.1%} in "
            f"epoch {kept}, {now.easy:.1%} a single step (n = {now.samples})"
            + (f"; epoch {kept} was taken" if self.stop else ""),
            "HF261",
            self.stop,
        )


def _collapsed(epochs: Sequence[Judged]) -> bool:
    if not epochs:
        return False
    best, now = max(epochs, key=lambda one: one.score), epochs[-1]
    return now.score < LEFT * best.score and fell(best, now, ERRORS) and not fell_easily(best, now, ERRORS)
