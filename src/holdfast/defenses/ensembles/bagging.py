"""Bagging, Breiman, "Bagging Predictors", Machine Learning 24, 1996."""

import dataclasses

from holdfast.core.params import Count, PositiveShare
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import bag, draw_of, seed_of, several
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.ensemble import Vote, from_members
from holdfast.models.model import Model
from holdfast.models.settle import settle


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bagging(Learner):
    """Fit each member on a bootstrap sample: as many samples as there are, drawn with replacement.

        rows_m <- n draws from {1, ..., n}        p(x) <- mean over m of p_m(x)

    A member sees some 63 % of the samples, its own. Bagging lowers the variance of unstable learners; it was not made
    against attackers and the vote is one model to them.

    Deviations: a bag without a sample of some class is drawn anew.

    Cost: `members` trainings; the model asks all members.

    Args:
        of: The learner of each member.
        members: How many.
        share: Size of a bag, as a share of the samples.
        vote: Mean of "probabilities" or "logits", or majority of "labels".
    """

    of: Learner = Train()
    members: Count = 5
    share: PositiveShare = 1.0
    vote: Vote = "probabilities"

    def __post_init__(self) -> None:
        super().__post_init__()
        several(self.of, self.members)

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled ensemble.

        Raises:
            ModelError: HF209 for members that show less than the vote needs; what the learner raises.
            DataError: HF109 where bags are too small to hold every class.
        """
        found = []
        for k in range(self.members):
            rows = bag(dataset, draw_of(seed, "bag", k), max(1, round(self.share * len(dataset))))
            found.append(self.of.fit(rows, seed_of(seed, "member", k), on_event))
        return settle(from_members(found, dataset.space, vote=self.vote, classes=dataset.n_classes), dataset.x)
