"""Boosting (SAMME), Zhu, Zou, Rosset and Hastie, "Multi-class AdaBoost", Statistics and Its Interface 2, 2009."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.params import Count
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import bag, draw_of, seed_of, several
from holdfast.learning.fit import Fit
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.ensemble import Vote, from_members
from holdfast.models.model import Model
from holdfast.models.settle import settle

ROUNDING = 1e-9  # a member that guesses may err a little less in floating point


@dataclasses.dataclass(frozen=True, kw_only=True)
class Boosting(Learner):
    """Fit each member on what the ones before it got wrong, and weight its vote by how seldom it errs.

        e_m <- sum of w over the samples that member m gets wrong        a_m <- log((1 - e_m) / e_m) + log(K - 1)
        w <- w * exp(a_m) on those samples, of sum one again

    A scikit-learn estimator that takes sample weights (`hf.Fit`) gets w itself; every other learner gets samples drawn
    with the probabilities w, as many as there are. Boosting fits hard samples, also mislabeled and adversarial ones; it
    was not made against attackers.

    Deviations: an error of 0 counts as half a sample of n, so that the weight stays finite; a member no better than
    guessing (e_m >= 1 - 1/K) is left out and the next starts from equal weights again; and the members' probabilities
    are averaged with the weights a_m, so that the model has a gradient. The paper's decision is `vote="labels"`.

    Cost: `members` trainings and one forward pass over the data for each; the model asks all members.

    Args:
        of: The learner of each member; weak ones gain most.
        members: Rounds.
        vote: Weighted mean of "probabilities" or "logits", or the weighted majority of "labels".
    """

    of: Learner = Train(epochs=3)
    members: Count = 5
    vote: Vote = "probabilities"

    def __post_init__(self) -> None:
        super().__post_init__()
        several(self.of, self.members)

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled ensemble.

        Raises:
            ModelError: HF269 where fewer than two members beat guessing, HF209 for members that show less than the vote
                needs; what the learner raises.
            DataError: HF109 where no sample with these weights holds every class.
        """
        n, k = len(dataset), dataset.n_classes
        w = torch.full((n,), 1 / n, dtype=torch.float64)
        found: list[Model] = []
        weights: list[float] = []
        for m in range(self.members):
            member = self._member(dataset, w, seed, m, on_event)
            missed = (member.predict(dataset.x).cpu() != dataset.y).double()
            error = float((w * missed).sum())
            if error >= 1 - 1 / k - ROUNDING:
                w = torch.full_like(w, 1 / n)
                continue
            weight = weight_of(error, n, k)
            found.append(member)
            weights.append(weight)
            w = w * torch.exp(weight * missed)
            w = w / w.sum()
        if len(found) < 2:
            raise ModelError(
                "HF269",
                "Boosting found no two members that beat guessing",
                seen=f"{len(found)} of {self.members}",
                fix="a stronger learner, or more members",
            )
        made = from_members(found, dataset.space, vote=self.vote, weights=weights, classes=k)
        return settle(made, dataset.x)

    def _member(self, data: Dataset, w: Tensor, seed: int, m: int, on_event: Listener) -> Model:
        own = seed_of(seed, "member", m)
        if isinstance(self.of, Fit) and self.of.weighable:
            return self.of.fit(data, own, on_event, weights=w)
        return self.of.fit(bag(data, draw_of(seed, "bag", m), len(data), w), own, on_event)


def weight_of(error: float, n: int, classes: int) -> float:
    """SAMME's weight of a member with this weighted error on n samples; an error of 0 counts as half a sample."""
    error = max(error, 0.5 / n)
    return math.log((1 - error) / error) + math.log(classes - 1)
