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
from holdfast.models.model import Model

SEEN = 5  # times that each level of a feature must occur: where none is rare, few are missing (Good, Biometrika 1953)
SLACK, FINE = 1e-4, 0.01  # of a step between levels: what is rounding, and what counts as much as a whole range
SHOWN = 6  # levels named in a reason


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
    ranges; an attacker who rounds passes the rules of whole numbers and levels, so judge those with attacks that move
    in whole steps.

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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Schema:
    """The score of `RangeCheck`.

    Args:
        names: Of the features.
        low, high: The range of each, `(d,)` float64.
        width: What a distance from it is measured in, `(d,)`.
        tolerance: How far outside a value may lie, in widths.
        whole: Which features are whole numbers, `(d,)`.
        few: Positions of the features with few levels, `(k,)`.
        table: Their levels, ascending, infinite where there are fewer, `(k, levels)`.
    """

    names: tuple[str, ...]
    low: Tensor
    high: Tensor
    width: Tensor
    tolerance: float
    whole: Tensor
    few: Tensor
    table: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """How far out a row is: `(batch,)` of the type of `x`; infinite where a number is not finite."""
        off = self.off(x)
        outside = off.relu().sum(1)
        return torch.where(outside > 0, outside, off.amax(1)).to(x.dtype)

    def off(self, x: Tensor) -> Tensor:
        """How far out every feature is, negative inside: `(batch, d)` float64."""
        flat = x.flatten(1).double()
        finite = torch.isfinite(flat)
        value = torch.where(finite, flat, 0.0)
        low, high, width = (end.to(value.device) for end in (self.low, self.high, self.width))
        found = torch.maximum(low - value, value - high) / width - self.tolerance
        steps = ((value - value.detach().round()).abs() - SLACK) / FINE
        found = torch.where(self.whole.to(value.device), torch.maximum(found, steps), found)
        if len(self.few):
            few = self.few.to(value.device)
            found = found.index_copy(1, few, torch.maximum(found[:, few], self._from_levels(value[:, few])))
        return torch.where(finite, found, torch.inf)

    def _from_levels(self, value: Tensor) -> Tensor:
        """Steps to the nearest level, `(batch, k)`, in units of the narrowest gap between two."""
        table = self.table.to(value.device)
        gap = (table[:, 1:] - table[:, :-1]).nan_to_num(torch.inf, torch.inf).amin(1)
        away = (value[:, :, None] - table).abs().amin(2)
        return (away / gap - SLACK) / FINE

    def told(self, x: Tensor) -> list[str]:
        """The feature that is farthest out and the rule it breaks, for each row."""
        with torch.no_grad():
            worst = self.off(x).argmax(1).tolist()
        flat = x.detach().flatten(1).double().cpu()
        return [self._rule(j, float(flat[i, j])) for i, j in enumerate(worst)]

    def _rule(self, j: int, value: float) -> str:
        named = f"'{self.names[j]}' is {value:.6g}"
        if value != value or value in (float("inf"), float("-inf")):
            return f"{named}, which is no finite number"
        low, high = float(self.low[j]), float(self.high[j])
        if not low <= value <= high:
            return f"{named}, usually {low:.6g} to {high:.6g}"
        rows = (self.few == j).nonzero()[:, 0].tolist()
        if rows:
            levels = [f"{v:.6g}" for v in self.table[rows[0]].tolist() if v != float("inf")]
            return f"{named}, usually one of {', '.join(levels[:SHOWN])}{', ...' if len(levels) > SHOWN else ''}"
        return f"{named}, usually a whole number" if self.whole[j] else f"{named}, usually {low:.6g} to {high:.6g}"


def _place(position: Tensor) -> str:
    """`(0, 3, 5)`: where a value stands in an input."""
    return str(tuple(position.reshape(-1).tolist()))
