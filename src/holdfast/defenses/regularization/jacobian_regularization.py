"""Robust Learning with Jacobian Regularization, Hoffman, Roberts and Yaida, 2019, arXiv:1908.02729."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from holdfast.core.params import Count, NonNegative
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
class JacobianRegularization(Learner):
    """Keep all logits from changing with the input: the squared Frobenius norm of their Jacobian, along random lines.

        v ~ the unit sphere in the space of logits, per sample and projection
        loss <- loss + strength / 2 * mean over the batch of  classes / projections * sum of |d (v . logits) / d x|^2

    The factor makes the estimate unbiased; with as many projections as classes the axes are taken and it is exact.
    Lengths are measured in widths of the box. With batch norms the rows of a batch see each other, and so do their
    gradients.

    Cost: a backward pass through the backward pass for each projection; one costs about three times the plain training.

    Args:
        of: The plain training; its objective is kept and added to, on its harder inputs where it has a perturbation.
        strength: Factor on half the squared norm.
        projections: Random lines.
    """

    of: Train = Train()
    strength: NonNegative = 0.01
    projections: Count = 1

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        objective = _Stiff(self.strength, self.projections, dataset.space, self.of.objective)
        return dataclasses.replace(self.of, objective=objective).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Stiff:
    """Another objective plus the squared norm of the Jacobian."""

    strength: float
    projections: int
    space: Box
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        if not self.strength:
            return self.of(step)
        leaf = step.harder.detach().requires_grad_()
        x = leaf if step.x is step.harder else step.x
        step = dataclasses.replace(step, x=x, harder=leaf, logits=Once(step.logits))
        return self.of(step) + self.strength / 2 * self.norm(step.logits(leaf).float(), leaf, step.draw).mean()

    def norm(self, scores: Tensor, leaf: Tensor, draw: Generator) -> Tensor:
        """Of each row's Jacobian, squared, estimated or exact: `(batch,)`."""
        lines = list(_lines(scores, self.projections, draw))
        found = torch.stack([squared((scores * line).sum(), leaf, self.space) for line in lines])
        return found.sum(0) * scores.shape[1] / len(lines)


def _lines(scores: Tensor, projections: int, draw: Generator) -> Iterator[Tensor]:
    """Unit vectors, `(batch, classes)` each; the axes where they are no more than the projections."""
    classes = scores.shape[1]
    if projections >= classes:
        yield from torch.eye(classes).to(scores)
        return
    for _ in range(projections):
        line = torch.randn(scores.shape, generator=draw).to(scores)
        yield line / line.norm(dim=1, keepdim=True)
