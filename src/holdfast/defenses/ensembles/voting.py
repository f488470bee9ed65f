"""Voting, Hansen and Salamon, "Neural Network Ensembles", IEEE TPAMI 1990."""

import dataclasses

from holdfast.core.errors import ModelError
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import seed_of, voted
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.ensemble import Vote
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Voting(Learner):
    """Several learners learn from the same data, each with a seed of its own, and decide together.

    Attacks aim at the vote as a whole, with gradients through every member. Against an attacker who does, ensembles of
    weak members are not strong: He et al., WOOT 2017, arXiv:1706.04701.

    Cost: the sum of what the learners cost.

    Args:
        of: Who learns; the same learner several times makes members that differ by their seeds.
        vote: Mean of the "probabilities" or "logits", or majority of "labels", which hides the gradient.
        weights: How much each member counts; all the same unless given.
    """

    of: tuple[Learner, ...] = (Train(), Train(), Train())
    vote: Vote = "probabilities"
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.of) < 2:
            raise ModelError("HF209", "A vote needs at least two learners", seen=len(self.of), expected="2 or more")

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model of all members.

        Args:
            dataset: What each of them learns from.
            seed: Of every random number; the global random state stays as it is.
            on_event: Told what the members tell; may raise `holdfast.Stop`.

        Raises:
            ModelError: HF209 for weights that do not fit the members.
        """
        members = [one.fit(dataset, seed_of("voting", seed, i), on_event) for i, one in enumerate(self.of)]
        return voted(members, dataset, self.vote, self.weights)
