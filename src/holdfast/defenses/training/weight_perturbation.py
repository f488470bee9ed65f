"""Adversarial weight perturbation, Wu, Xia and Wang, NeurIPS 2020, arXiv:2004.05884."""

import dataclasses

import torch
from torch import Tensor

from holdfast.core.params import NonNegative, Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.learning.learner import Learner
from holdfast.learning.objective import At, Objective, Step
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightPerturbation(Learner):
    """Take each step of another recipe with the gradient at the worst weights nearby: robustness that generalizes.

        g <- gradient of the recipe's loss at w       v <- radius * |w| * g / |g|, layer by layer
        w <- w - rate * gradient of the loss at w + v

    Layers are the tensors with more than one dimension; norms and biases stay. The statistics of batch norms are
    those of w, not of w + v as in the authors' code, for w is what is deployed.

    Cost: one forward and backward pass a step beside those of the recipe.

    Args:
        of: The recipe whose steps are taken.
        radius: How far each layer's weights move, as a fraction of their norm; the paper's 0.01 for adversarial
            training and 0.005 for TRADES.
        warm_up: Share of the training that passes before weights are moved.
    """

    of: Recipe = AdversarialTraining()
    radius: NonNegative = 0.01
    warm_up: Share = 0.0

    def training(self, dataset: Dataset, seed: int) -> Train:
        """The recipe's training with its loss at moved weights."""
        made = self.of.training(dataset, seed)
        moved = _Moved(inner=made.objective, radius=self.radius, warm_up=self.warm_up)
        return dataclasses.replace(made, objective=moved)

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as the recipe's.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told after every epoch; may raise `holdfast.Stop`, after which the checkpoint continues.
            validation: What to choose the epoch by, where the plain training has a patience.
        """
        return self.training(dataset, seed).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Moved:
    """Another objective at the worst weights nearby, whose gradient is that in the weights themselves.

    Args:
        inner: The other objective.
        radius: How far each layer moves, as a fraction of its norm.
        warm_up: Share of the training in which nothing moves.
    """

    inner: Objective
    radius: float
    warm_up: float

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        if not self.radius or step.done < self.warm_up:
            return self.inner(step)
        own = {name: p for name, p in step.net.named_parameters() if p.requires_grad}
        layers = [name for name, p in own.items() if p.dim() > 1]
        loss = self.inner(step)  # the pass that batch norms learn from
        slopes = torch.autograd.grad(loss, [own[name] for name in layers], allow_unused=True)
        moved: dict[str, Tensor] = dict(own)
        for name, g in zip(layers, slopes, strict=True):
            if g is not None:
                moved[name] = own[name] + _away(own[name].detach(), g, self.radius)
        statistics = {name: value.clone() for name, value in step.net.named_buffers()}
        return self.inner(dataclasses.replace(step, logits=At(step.net, step.logits, moved | statistics)))


def _away(w: Tensor, g: Tensor, radius: float) -> Tensor:
    """A step along `g` of length `radius * |w|`; none where there is no slope."""
    length = g.norm()
    return radius * w.norm() / length * g if bool(length > 0) else torch.zeros_like(w)
