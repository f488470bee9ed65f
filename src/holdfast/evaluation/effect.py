"""What something made once does to a model: right answers as it is, with the thing, and with its meaningless twin."""

import dataclasses
from typing import Protocol, Self

from holdfast.core.errors import DataError, ParameterError
from holdfast.data.dataset import Dataset
from holdfast.evaluation import clusters
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.work import decided
from holdfast.models.model import Model
from holdfast.models.settle import settle


class Made(Protocol):
    """A finished universal perturbation or patch."""

    @property
    def target(self) -> int | None:
        """The class it was made to reach; None for any wrong one."""

    def apply(self, data: Dataset, seed: int = 0) -> Dataset:
        """The samples with it."""

    def control(self, seed: int = 0) -> Self:
        """Of the same size, without a purpose."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """Shares of right answers on the same samples.

    Args:
        clean: As they are.
        attacked: With the thing, over all looks; the interval draws whole samples, or groups of them.
        control: With its meaningless twin, in the same places.
        always: Right at every look.
        reached: Answers that are the target class, over all looks of samples of other classes; None without a target.
    """

    clean: Rate
    attacked: Rate
    control: Rate
    always: Rate
    reached: Rate | None

    def __str__(self) -> str:
        text = (
            f"right answers: clean {self.clean}, attacked {self.attacked}, control {self.control}, "
            f"at every look {self.always}"
        )
        return text if self.reached is None else f"{text}; target reached {self.reached}"


def effect(model: Model, made: Made, data: Dataset, *, looks: int = 4, seed: int = 0, batch: int = 256) -> Effect:
    """Put a universal perturbation or a patch on samples that it was not made on, and count.

    Cost: 1 + 2 `looks` forward passes a sample.

    Args:
        model: A wrapped model, also one that it was not made on.
        made: What `craft` returned.
        data: Samples, others than those it was made on.
        looks: Placements of a patch on each sample; a universal perturbation has one.
        seed: Of the placements.
        batch: Rows sent through the model at once.

    Raises:
        ModelError: HF240 for a model that is not wrapped.
        ParameterError: HF001 for fewer than one look.
        DataError: HF120 where there are no samples, HF102 where it does not fit them.
    """
    if looks < 1:
        raise ParameterError("HF001", "Looks are counted from one", seen=f"looks={looks}", expected="at least 1")
    if not len(data):
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    model = settle(model, data.x)
    groups = clusters.of(data)
    named = clusters.named(groups)
    labels, target = data.y.tolist(), made.target

    def said(thing: Made) -> list[list[int]]:
        return [decided(model, thing.apply(data, seed + k).x, batch).tolist() for k in range(looks)]

    def over(looks: list[list[int]]) -> Rate:
        held = [a == y for look in looks for a, y in zip(look, labels, strict=True)]
        return clusters.share(held, named * len(looks), "samples, each look")

    with_it = said(made)
    clean = [a == y for a, y in zip(decided(model, data.x, batch).tolist(), labels, strict=True)]
    every = [all(look[i] == y for look in with_it) for i, y in enumerate(labels)]
    others = [i for i, y in enumerate(labels) if y != target]
    hits = [look[i] == target for look in with_it for i in others]
    return Effect(
        clean=clusters.share(clean, groups, "samples"),
        attacked=over(with_it),
        control=over(said(made.control(seed))),
        always=clusters.share(every, groups, "samples"),
        reached=None
        if target is None or not hits
        else clusters.share(hits, [named[i] for i in others] * looks, "samples of other classes, each look"),
    )
