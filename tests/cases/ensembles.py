"""Ensembles: an instance of each, small enough to learn in a moment."""

import dataclasses

from holdfast.defenses.ensembles.adaptive_diversity import AdaptiveDiversity
from holdfast.defenses.ensembles.bagging import Bagging
from holdfast.defenses.ensembles.boosting import Boosting
from holdfast.defenses.ensembles.stacking import Stacking
from holdfast.defenses.ensembles.voting import Voting
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train


@dataclasses.dataclass(frozen=True)
class Case:
    """A learner of several members.

    Args:
        learner: An instance with few members.
    """

    learner: Learner

    def __str__(self) -> str:
        return type(self.learner).__name__


ONE = Train(network="mlp", width=16, epochs=6, batch=25, rate=0.05, smoothing=0.0, average=0.9)

ENSEMBLES = [
    Case(Voting(of=(ONE, ONE), weights=(2.0, 1.0))),
    Case(Bagging(of=ONE, members=2)),
    Case(Boosting(of=ONE, members=2)),
    Case(Stacking(of=(ONE, ONE), folds=2)),
    Case(AdaptiveDiversity(of=ONE, members=2)),
]
