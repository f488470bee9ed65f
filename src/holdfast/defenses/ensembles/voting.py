"""Voting, Hansen and Salamon, IEEE TPAMI 1990; deep ensembles, Lakshminarayanan et al., NIPS 2017, arXiv:1612.01474."""

import dataclasses

from holdfast.core.params import Count, Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import fitted, several
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.ensemble import Vote, from_members
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.weights import fit_weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Voting(Learner):
    """Fit each learner several times, each time with another seed, and let all of them vote.

        p(x) <- sum over members of w_m p_m(x)

    Members that start from other random numbers make other mistakes (deep ensembles, Lakshminarayanan et al.). As a
    defense it was broken by attacks on the vote itself: He et al., "Adversarial Example Defenses: Ensembles of Weak
    Defenses are not Strong", WOOT 2017, arXiv:1706.04701. The model is attacked through all members at once; a vote of
    "labels" shows no gradient and is attacked through its twin, `holdfast.models.ensemble.soft`.

    Cost: `members` trainings of each learner; the model asks all of them.

    Args:
        of: The learners, one or several.
        members: Times each of them is fitted.
        vote: Mean of "probabilities" or "logits", or majority of "labels".
        weights: One for each member, the first learner's members first; equal where empty.
        holdout: Share of the data that weights are fitted on, by the cross-entropy of the vote; 0 for given ones.
    """

    of: tuple[Learner, ...] = (Train(),)
    members: Count = 3
    vote: Vote = "probabilities"
    weights: tuple[float, ...] = ()
    holdout: Share = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        several(self.of, self.members)

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled ensemble.

        Raises:
            ModelError: HF209 for members that show less than the vote needs, HF267 for weights that do not fit; what
                the learners raise.
            DataError: HF109 where nothing can be held out.
        """
        learned, held = dataset.divide(1 - self.holdout, seed) if self.holdout else (dataset, None)
        learners = [one for one in self.of for _ in range(self.members)]
        found = fitted(learners, learned, seed, on_event)
        weights = self.weights or None
        made = from_members(found, dataset.space, vote=self.vote, weights=weights, classes=dataset.n_classes)
        made = settle(made, dataset.x)
        return made if held is None else fit_weights(made, held.x, held.y)
