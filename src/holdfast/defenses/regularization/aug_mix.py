"""AugMix, Hendrycks, Mu, Cubuk, Zoph, Gilmer and Lakshminarayanan, ICLR 2020, arXiv:1912.02781."""

import dataclasses
import math
from typing import Annotated

import torch
from torch import Generator, Tensor

from holdfast.core.params import Count, NonNegative, Positive, Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._augmentations import chained
from holdfast.defenses.regularization._chance import dirichlet, pictures
from holdfast.defenses.regularization._once import Once
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Objective, Step
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugMix(Learner):
    """Ask for the same answer to a picture and to two random mixtures of its augmentations.

        x' <- m x + (1 - m) sum over `width` chains of w * chain(x),   m ~ Beta(alpha, alpha), w ~ Dirichlet(alpha)
        loss <- loss(x, y) + strength * JS(p(x), p(x'), p(x''))

    A chain is 1 to `depth` of: autocontrast, equalize, posterize, solarize, rotate, shear and translate. As in the
    paper what the common corruptions do (noise, blur, contrast, brightness, ...) is not among them. JS is the
    Jensen-Shannon divergence of the three answers. Made for corruptions; it is no defense against attacks.

    Cost: three passes of the network a step, and the augmentations.

    Args:
        of: The plain training; its objective is kept and added to, on its harder inputs where it has a perturbation.
        strength: Factor on the divergence; 0 augments nothing.
        severity: Highest strength of an operation, of 10.
        width: Chains in a mixture.
        depth: Longest chain.
        alpha: Of the Beta and the Dirichlet distribution.
    """

    of: Train = Train()
    strength: NonNegative = 12.0
    severity: Annotated[float, Range(0, 10)] = 3.0
    width: Count = 3
    depth: Count = 3
    alpha: Positive = 1.0

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Raises:
            ModelError: HF264 where the inputs are no pictures.
        """
        pictures(dataset.x, type(self).__name__)
        mixture = _Mixture(self.severity, self.width, self.depth, self.alpha, dataset.space)
        objective = _Consistent(strength=self.strength, mixture=mixture, of=self.of.objective)
        return dataclasses.replace(self.of, objective=objective).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Mixture:
    """Random mixtures of augmentations."""

    severity: float
    width: int
    depth: int
    alpha: float
    space: Box

    def __call__(self, x: Tensor, draw: Generator) -> Tensor:
        """Pictures in the box, of the same shape and type."""
        low, high = self.space.limits(x)
        shown = (x - low) / (high - low)
        weights = dirichlet(self.alpha, len(x), self.width, draw).to(x)
        keep = dirichlet(self.alpha, len(x), 2, draw)[:, 0].to(x).reshape(-1, 1, 1, 1)
        chains = chained(shown.repeat(self.width, 1, 1, 1), self.depth, self.severity, draw)
        mixed = (chains.reshape(self.width, *x.shape) * weights.T[..., None, None, None]).sum(0)
        made = low + (high - low) * (keep * shown + (1 - keep) * mixed)
        return torch.minimum(torch.maximum(made, low), high)


@dataclasses.dataclass(frozen=True)
class _Consistent:
    """Another objective plus the divergence of three answers."""

    strength: float
    mixture: _Mixture
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar; the three batches go through the network together."""
        if not self.strength:
            return self.of(step)
        with torch.no_grad():
            mixtures = self.mixture(step.harder.repeat(2, 1, 1, 1), step.draw)
        scores = step.logits(torch.cat([step.harder, mixtures])).float().chunk(3)
        clean = dataclasses.replace(step, logits=Once(step.logits, [(step.harder, scores[0])]))
        return self.of(clean) + self.strength * _jensen_shannon(scores)


def _jensen_shannon(scores: tuple[Tensor, ...]) -> Tensor:
    """Of several answers `(batch, classes)`: the mean divergence from their mean, a scalar."""
    logs = torch.stack([one.log_softmax(1) for one in scores])
    mean = logs.logsumexp(0) - math.log(len(logs))
    return (logs.exp() * (logs - mean)).sum(2).mean()
