"""What the learners of ensembles share: seeds, bags, and members fitted one after another."""

import dataclasses
from collections.abc import Iterable

import torch
from torch import Generator

from holdfast.core.errors import DataError, ModelError, ParameterError
from holdfast.core.progress import Listener
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.models.model import Model

TRIES = 1000  # bags drawn until one holds every class


def seed_of(seed: int, what: str, k: int) -> int:
    """A seed of its own for the k-th draw of a kind."""
    return int(digest(f"ensemble {seed} {what} {k}")[:8], 16)


def draw_of(seed: int, what: str, k: int) -> Generator:
    """Random numbers of its own for the k-th draw of a kind."""
    return Generator().manual_seed(seed_of(seed, what, k))


def fitted(learners: Iterable[Learner], data: Dataset, seed: int, on_event: Listener) -> list[Model]:
    """Each learner on the same data with a seed of its own."""
    return [learner.fit(data, seed_of(seed, "member", k), on_event) for k, learner in enumerate(learners)]


def bag(data: Dataset, draw: Generator, size: int, weights: torch.Tensor | None = None) -> Dataset:
    """`size` samples drawn with replacement, with these probabilities; drawn anew until every class is there.

    Copies of a sample share a group, so that a learner which holds some samples back never holds back a copy.

    Raises:
        DataError: HF109 where no bag with every class was found.
    """
    known = len(torch.unique(data.y))
    for _ in range(TRIES):
        if weights is None:
            rows = torch.randint(len(data), (size,), generator=draw)
        else:
            rows = torch.multinomial(weights, size, replacement=True, generator=draw)
        if len(torch.unique(data.y[rows])) == known:
            found = data.take(rows)
            return dataclasses.replace(found, groups=rows) if data.groups is None else found
    raise DataError("HF109", "No bag of this size holds every class", seen=f"{size} of {len(data)} samples")


def folds(data: Dataset, count: int, seed: int) -> torch.Tensor:
    """The fold of each sample `(n,)`, seeded: classes spread evenly, or, where samples come in groups, groups whole.

    Raises:
        DataError: HF109 where there are fewer samples, or groups, than folds.
    """
    names = torch.arange(len(data)) if data.groups is None else data.groups
    _, place = torch.unique(names, return_inverse=True)
    units = int(place.max()) + 1 if len(place) else 0
    if units < count:
        raise DataError("HF109", "The data cannot be divided", seen=f"{units} samples or groups", expected=f"{count}")
    order = torch.randperm(units, generator=draw_of(seed, "folds", 0))
    if data.groups is None:
        order = order[data.y[order].argsort(stable=True)]
    fold = torch.empty(units, dtype=torch.int64)
    fold[order] = torch.arange(units) % count
    return fold[place]


def several(of: object, members: int = 1) -> None:
    """Refuse what cannot become two members before anything is learned.

    Raises:
        ParameterError: HF001 where `of` is no learner or tuple of learners.
        ModelError: HF269 for fewer than two members.
    """
    learners = of if isinstance(of, tuple) else (of,)
    if not learners or not all(isinstance(one, Learner) for one in learners):
        raise ParameterError("HF001", "An ensemble is made of learners", seen=f"{of!r:.80}", expected="hf.Train(...)")
    if len(learners) * members < 2:
        raise ModelError("HF269", "An ensemble needs two members", seen=f"{len(learners) * members}", fix="members=3")
