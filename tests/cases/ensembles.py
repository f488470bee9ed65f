"""Learners of ensembles: an instance that is cheap to fit, one that is an ordinary training where there is one."""

import dataclasses

from holdfast.defenses.ensembles.adaptive_diversity import AdaptiveDiversity
from holdfast.defenses.ensembles.bagging import Bagging
from holdfast.defenses.ensembles.boosting import Boosting
from holdfast.defenses.ensembles.stacking import Stacking
from holdfast.defenses.ensembles.voting import Voting
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train

SMALL = Train(network="mlp", width=8, epochs=1, batch=32)


@dataclasses.dataclass(frozen=True)
class Case:
    """A learner.

    Args:
        learner: With ordinary parameters, on a small network.
        off: One that gives the same model as the plain training inside, None where no parameters do that.
        why: Why there is none.
    """

    learner: Learner
    off: Learner | None = None
    why: str = ""

    def __str__(self) -> str:
        return type(self.learner).__name__


ENSEMBLES = [
    Case(AdaptiveDiversity(of=SMALL, members=2), why="an ensemble has two members at least"),
    Case(Bagging(of=SMALL, members=2), why="an ensemble has two members at least"),
    Case(Boosting(of=SMALL, members=2), why="an ensemble has two members at least"),
    Case(Stacking(of=(SMALL, SMALL), folds=2), why="an ensemble has two members at least"),
    Case(Voting(of=(SMALL,), members=2), why="an ensemble has two members at least"),
]
