"""Ranges, steps and directions of all columns at once: what `Feature` says of one column, for whole rows."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from holdfast.threats.tables.feature import Feature

WAY = {"both": 0, "up": 1, "down": -1}


@dataclasses.dataclass(frozen=True, eq=False)
class Ranges:
    """Codes `(..., features)` go in and come out, each as its own column's `Feature` has it, bit for bit.

    Args:
        low, high: Least and greatest possible code, `(features,)`.
        step: Possible codes are its multiples; 0 for all numbers.
        parts: Of one, where a step is one over a whole number; else 0.
        way: 1 where an attacker may move a column only up, -1 only down, 0 both ways.
        immutable, missing: Whether a column must stay, and whether its value may be missing.
    """

    low: Tensor
    high: Tensor
    step: Tensor
    parts: Tensor
    way: Tensor
    immutable: Tensor
    missing: Tensor

    @classmethod
    def of(cls, features: Sequence[Feature]) -> Self:
        """Those of some columns."""
        low, high = torch.tensor([f.span for f in features], dtype=torch.float64).T
        step = torch.tensor([float(f.step or 0) for f in features], dtype=torch.float64)
        parts = torch.where((step > 0) & (step < 1), (1 / step).round(), 0.0)
        return cls(
            low=low,
            high=high,
            step=step,
            parts=torch.where(1 / parts == step, parts, 0.0),
            way=torch.tensor([WAY[f.direction] for f in features]),
            immutable=torch.tensor([f.immutable for f in features]),
            missing=torch.tensor([f.missing for f in features]),
        )

    def only(self, j: int) -> "Ranges":
        """Those of one column, whose codes are `(...)`."""
        return Ranges(**{field.name: getattr(self, field.name)[j] for field in dataclasses.fields(self)})

    def stepped(self, x: Tensor, way: int = 0) -> Tensor:
        """The nearest multiples of the steps, or the next ones above (`way` 1) or below (-1)."""
        rounded = {0: torch.round, 1: torch.ceil, -1: torch.floor}[way]
        parts, step = torch.where(self.parts > 0, self.parts, 1.0), torch.where(self.step > 0, self.step, 1.0)
        found = torch.where(self.parts > 0, rounded(x * parts) / parts, rounded(x / step) * step)
        return torch.where(self.step > 0, found, x)

    def snap(self, x: Tensor) -> Tensor:
        """The nearest possible codes; NaN stays."""
        return self.stepped(x.clamp(self.low, self.high)).clamp(self.low, self.high)

    def possible(self, x: Tensor) -> Tensor:
        """Which codes are possible, missing ones where they may be."""
        inside = (x >= self.low) & (x <= self.high) & (self.stepped(x) == x)
        return inside | (x.isnan() & self.missing)

    def allowed(self, x: Tensor, x0: Tensor) -> Tensor:
        """The nearest codes that each column allows by itself, where an attacker starts at `x0`."""
        made = self.snap(x)
        onward = torch.where(self.way > 0, torch.maximum(made, x0), torch.minimum(made, x0))
        made = torch.where(self.way == 0, made, onward)
        free = self.missing & (self.way == 0)
        return torch.where(self.immutable | (x.isnan() & ~free), x0, made)

    def moves(self, x: Tensor, x0: Tensor) -> Tensor:
        """Whether an attacker may have moved each column so."""
        onward = (self.way == 0) | torch.where(self.way > 0, x > x0, x < x0)
        return (x == x0) | (x.isnan() & x0.isnan()) | (~self.immutable & onward)
