"""One folder of checkpoints for all trainings inside a learner, however many and however deep."""

import dataclasses
import os
from typing import Any, TypeVar

from holdfast.learning.learner import Learner
from holdfast.learning.train import Train

T = TypeVar("T", bound=Learner)


def kept(learner: T, folder: str | os.PathLike[str]) -> T:
    """The same learner; every training in it writes its checkpoints into the folder and continues from there.

    A training has a file named by its settings, seed and data, so members, teachers and rounds never meet. Fitted again
    with the same data and seed, finished trainings are read and the unfinished one goes on: the same bits.

    Args:
        learner: Trainings that have a checkpoint of their own keep it.
        folder: Must exist.
    """
    if isinstance(learner, Train):
        return dataclasses.replace(learner, checkpoint=learner.checkpoint or os.fspath(folder))
    filled: dict[str, Any] = {}
    for field in dataclasses.fields(learner):
        value = getattr(learner, field.name)
        if isinstance(value, Learner):
            filled[field.name] = kept(value, folder)
        elif isinstance(value, tuple) and value and all(isinstance(one, Learner) for one in value):
            filled[field.name] = tuple(kept(one, folder) for one in value)
    return dataclasses.replace(learner, **filled) if filled else learner
