"""The training that a learner rests on, however many learners lie between."""

import dataclasses

from holdfast.learning.learner import Learner
from holdfast.learning.train import Train


def training_of(learner: Learner) -> Train | None:
    """The innermost `of` that trains a network; None where there is none."""
    found = learner
    while not isinstance(found, Train):
        inner = getattr(found, "of", None)
        if not isinstance(inner, Learner):
            return None
        found = inner
    return found


def resting_on(learner: Learner, training: Train) -> Learner:
    """The same learner with another training innermost; one that rests on none comes back as it is."""
    if isinstance(learner, Train):
        return training
    inner = getattr(learner, "of", None)
    if not isinstance(inner, Learner):
        return learner
    return dataclasses.replace(learner, **{"of": resting_on(inner, training)})
