"""How far an input breaks the rules that clean data keep: the score of `RangeCheck`."""

import dataclasses

import torch
from torch import Tensor

SLACK, FINE = 1e-4, 0.01  # of a step between levels: what is rounding, and what counts as much as a whole range
SHOWN = 6  # levels named in a reason


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
        """How far out a row is: `(batch,)` of the type of `x`; infinite where a number is not finite.

        A row that keeps every rule stands clear of zero, also where a feature can only lie on its edge.
        """
        off = self.off(x)
        outside = off.relu().sum(1)
        return torch.where(outside > 0, outside, off.amax(1) - FINE).to(x.dtype)

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

    def mended(self, x: Tensor) -> Tensor:
        """The nearest values that keep every rule: in the range, whole, on a level; numbers that are none stay."""
        flat = x.flatten(1)
        low, high = (end.to(flat) for end in (self.low, self.high))
        found = torch.where(self.whole.to(flat.device), flat.round(), flat).clamp(low, high)
        if len(self.few):
            few, table = self.few.to(flat.device), self.table.to(flat)
            nearest = (found[:, few][:, :, None] - table).abs().argmin(2)
            found = found.index_copy(1, few, table[torch.arange(len(few), device=flat.device), nearest])
        return torch.where(torch.isfinite(flat), found, flat).reshape(x.shape)

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
