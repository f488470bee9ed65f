"""Seeds, bootstrap samples and votes of ensembles."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.models.ensemble import Vote, from_members
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.space import Box


def seed_of(what: str, seed: int, member: int) -> int:
    """A seed for one member, far from those of the others."""
    return int(digest(f"{what} {seed} {member}")[:15], 16)


def drawn(dataset: Dataset, seed: int, weights: Tensor | None = None) -> Dataset:
    """As many samples as there are, drawn with repetition; copies of one sample stay on one side of any division.

    Args:
        dataset: What is drawn from.
        seed: Of the draw.
        weights: `(n,)` how often each sample comes, up to a factor; all the same unless given.
    """
    odds = torch.ones(len(dataset), dtype=torch.float64) if weights is None else weights.double()
    draw = Generator().manual_seed(seed)
    at = torch.rand(len(dataset), generator=draw, dtype=torch.float64) * odds.sum()
    rows = torch.searchsorted(odds.cumsum(0), at).clamp(max=len(dataset) - 1)
    return grouped(dataset).take(rows)


def grouped(dataset: Dataset) -> Dataset:
    """With every sample in a group, its own where it had none."""
    return dataset if dataset.groups is not None else dataclasses.replace(dataset, groups=torch.arange(len(dataset)))


def voted(
    members: Sequence[Model], dataset: Dataset, vote: Vote, weights: Sequence[float] | None = None, name: str = ""
) -> Model:
    """The members as one settled model."""
    made = from_members(members, Box(dataset.bounds), vote=vote, weights=weights, name=name or None)
    return settle(made, dataset.x, dataset.n_classes)
