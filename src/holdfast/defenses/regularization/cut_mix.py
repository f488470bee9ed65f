"""CutMix, Yun et al., "Regularization Strategy to Train Strong Classifiers", ICCV 2019, arXiv:1905.04899."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.core.params import Positive, Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._chance import beta, pictures, uniform
from holdfast.defenses.regularization._once import blended
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Objective, Step
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutMix(Learner):
    """Paste a rectangle of another picture into each, and share the label by area.

        share ~ Beta(alpha, alpha), once a batch;  a rectangle of (1 - share) of the area around a random pixel, cut
        off at the border;  j a random partner of i
        x' <- x[i] outside of it, x[j] inside;  share <- area outside / area
        loss <- share * loss(x', y[i]) + (1 - share) * loss(x', y[j])

    Its paper reports gains under single gradient steps only; iterated attacks break it.

    Cost: one pass a step, as the plain training.

    Args:
        of: The plain training; its objective costs both labels, on its harder inputs where it has a perturbation.
        alpha: Of the Beta distribution; 1 draws the share evenly.
        chance: Probability that a batch is cut at all; 0 cuts none.
    """

    of: Train = Train()
    alpha: Positive = 1.0
    chance: Share = 0.5

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Raises:
            ModelError: HF264 where the inputs are no pictures.
        """
        pictures(dataset.x, type(self).__name__)
        objective = _Cut(alpha=self.alpha, chance=self.chance, of=self.of.objective)
        return dataclasses.replace(self.of, objective=objective).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Cut:
    """An objective on pictures with a rectangle of another one."""

    alpha: float
    chance: float
    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        if not self.chance or uniform(step.draw) >= self.chance:
            return self.of(step)
        inside = self.rectangle(step)
        share = 1 - float(inside.double().mean())
        partner = torch.randperm(len(step.x), generator=step.draw).to(step.y.device)
        x = torch.where(inside, step.x[partner], step.x)
        harder = x if step.harder is step.x else torch.where(inside, step.harder[partner], step.harder)
        return blended(self.of, step, x, harder, step.y[partner], share)

    def rectangle(self, step: Step) -> Tensor:
        """Which pixels are pasted over, `(height, width)`; the same of the whole batch."""
        side = math.sqrt(1 - beta(self.alpha, step.draw))
        spans = []
        for size in step.x.shape[2:]:
            center, half = int(uniform(step.draw) * size), int(size * side) // 2
            places = torch.arange(size, device=step.x.device)
            spans.append((places >= center - half) & (places < center + half))
        return spans[0][:, None] & spans[1][None]
