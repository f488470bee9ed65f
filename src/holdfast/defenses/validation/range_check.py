"""A schema learned from clean data, Breck et al., "Data Validation for Machine Learning", MLSys 2019."""

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.core.params import Natural, NonNegative
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Detector, Flag, Score
from holdfast.defenses.validation._schema import Schema
from holdfast.models.model import Model

SEEN = 5  # times that each level of a feature must occur: where none is rare, few are missing (Good, Biometrika 1953)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RangeCheck(Detector):
    """Reject inputs that break the rules which clean data keep, feature by feature.

    The rules: every number is finite; it lies in the clean range; it is whole where all clean values are whole; it is
    one of the clean levels where there are few and none is rare.

        out_j = max((low - x) / (high - low), (x - high) / (high - low)) - tolerance, steps off a level / 0.01
        score = sum over features of max(out_j, 0), or the largest out_j where all are negative

    What keeps every rule passes, and what breaks one a little passes too where otherwise more than `fpr` of the clean
    inputs were rejected: of many features one often leaves the range that the others' samples had. The reason of a
    rejection is the feature that is farthest out. The sum tells an attacker about all features at once, where a largest
    value would hide them behind one another. It stops what lies outside the data, never a change inside the
    ranges: attacks know the rules and ask only at points that keep them.

    Cost: a few comparisons a feature, no pass through the model.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        tolerance: How far outside its range a value may always lie, as a share of the range.
        levels: A feature with at most so many different clean values is held to them; 0 holds none.
        ranges: Where ranges come from: the clean values, or the bounds that the data set declares.
    """

    tolerance: NonNegative = 0.0
    levels: Natural = 10
    ranges: Literal["learned", "declared"] = "learned"

    def fit(self, model: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> Flag:
        """The schema as a stage.

        Raises:
            DataError: HF130 where the held-out part is too small for the stated rate, HF135 where nothing is left to
                learn from.
        """
        flag = super().fit(model, data, seed, on_event)
        return dataclasses.replace(flag, threshold=max(flag.threshold, 0.0))

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The rules that all clean samples keep."""
        if not len(data):
            raise DataError("HF135", "A schema needs clean samples", seen="0 samples", fix="a smaller held_out")
        x = data.x.flatten(1).double()
        low, high = (end[0].flatten() for end in data.space.limits(data.x.double()))
        box = high - low
        if self.ranges == "learned":
            low, high = x.amin(0), x.amax(0)
        counted = [torch.unique(column, return_counts=True) for column in x.T]
        few = [
            j
            for j, (values, counts) in enumerate(counted)
            if 2 <= len(values) <= self.levels and int(counts.min()) >= SEEN
        ]
        most = max((len(counted[j][0]) for j in few), default=1)
        table = torch.full((len(few), most), torch.inf, dtype=x.dtype)
        for row, j in enumerate(few):
            table[row, : len(counted[j][0])] = counted[j][0]
        whole = (x == x.round()).all(0) & torch.tensor([len(values) > 2 for values, _ in counted])
        return Schema(
            names=data.features or tuple(map(_place, torch.cartesian_prod(*map(torch.arange, data.x.shape[1:])))),
            low=low,
            high=high,
            width=torch.where(high > low, high - low, box),
            whole=whole,
            tolerance=self.tolerance,
            few=torch.tensor(few, dtype=torch.long),
            table=table,
        )


def _place(position: Tensor) -> str:
    """`(0, 3, 5)`: where a value stands in an input."""
    return str(tuple(position.reshape(-1).tolist()))
