"""Bagging, Breiman, "Bagging Predictors", Machine Learning 1996."""

import dataclasses
from typing import Annotated

from holdfast.core.params import Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import drawn, seed_of, voted
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.ensemble import Vote
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bagging(Learner):
    """Members that learn from bootstrap samples of the data, and decide together.

        member m learns from n samples drawn from the n with repetition

    Cost: `members` times what the learner costs.

    Args:
        of: Who learns.
        members: How many.
        vote: Mean of the "probabilities" or "logits", or majority of "labels", which hides the gradient.
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
        seeds = [seed_of("bagging", seed, i) for i in range(self.members)]
        return voted([self.of.fit(drawn(dataset, s), s, on_event) for s in seeds], dataset, self.vote)
