"""Multi-class AdaBoost (SAMME), Zhu, Zou, Rosset and Hastie, Statistics and Its Interface 2009."""

import dataclasses
import math
from typing import Annotated

import torch
from torch import Tensor

from holdfast.core.params import Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import drawn, seed_of, voted
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.ensemble import Vote
from holdfast.models.model import Model

SURE = 1e-6  # the error that a member without one is given, so that its weight stays finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class Boosting(Learner):
    """Each member learns from samples drawn by weight, and what it gets wrong weighs more for the next.

        error <- share of the weight that member m gets wrong
        a_m <- log((1 - error) / error) + log(classes - 1)
        weight of what it gets wrong <- weight * exp(a_m)

    Learners here take no weights, so the weights choose the samples: boosting by resampling. A member that is no
    better than guessing counts nothing and sets the weights back. The published vote is that of labels; a vote of
    probabilities with the same weights shows its gradient.

    Cost: `members` times what the learner costs, and as many forward passes over the data.

    Args:
        of: Who learns.
        members: How many.
        vote: What is averaged by the weights a_m.
    """

    of: Learner = Train()
    members: Annotated[int, Range(2)] = 5
    vote: Vote = "probabilities"

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model of all members.

        Args:
            dataset: What samples are drawn from.
            seed: Of every random number; the global random state stays as it is.
            on_event: Told what the members tell; may raise `holdfast.Stop`.
        """
        weights = torch.ones(len(dataset), dtype=torch.float64) / len(dataset)
        members, says = [], []
        for i in range(self.members):
            own = seed_of("boosting", seed, i)
            members.append(self.of.fit(drawn(dataset, own, weights), own, on_event))
            weights, said = reweighted(weights, members[-1].predict(dataset.x) != dataset.y, dataset.n_classes)
            says.append(said)
        return voted(members, dataset, self.vote, says if any(says) else [1.0] * len(says))


def reweighted(weights: Tensor, wrong: Tensor, classes: int) -> tuple[Tensor, float]:
    """The next weights, `(n,)` that add up to 1, and what the member says in the vote, at least 0.

    Args:
        weights: Of the samples, `(n,)`.
        wrong: What the member gets wrong, `(n,)`.
        classes: Number of classes.
    """
    error = max(float(weights[wrong].sum() / weights.sum()), SURE)
    said = math.log((1 - error) / error) + math.log(classes - 1) if error < 1 else 0.0
    if said <= 0:
        return torch.ones_like(weights) / len(weights), 0.0
    risen = torch.where(wrong, weights * math.exp(said), weights)
    return risen / risen.sum(), said
