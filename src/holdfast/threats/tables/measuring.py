"""How far a row is from another: changes of single columns, and what they add up to. Missing equals missing.

A change is counted in standardized units, see `Feature.scale`: of a column with an order the difference over the scale,
of one without order 1 over the scale, whatever the levels; 1 where a value goes missing or appears. The columns of a
one-hot group are one column, whose change is half of what they change together: 1 unless their scales say otherwise.
"""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from holdfast.threats.tables.schema import Schema

Measure = Literal["features", "cost", "l1", "l2", "linf"]
MEASURES: tuple[Measure, ...] = ("features", "cost", "l1", "l2", "linf")
"""In the order in which a literal names them."""


class Ruler:
    """What one change of each slot is worth. A slot is a column, or a one-hot group.

    Args:
        schema: Of the rows.

    Attributes:
        slots: The columns of each slot.
        slot: The slot of each column, `(features,)`.
        ordered: Whether more and less mean something there, `(slots,)`; not in a group.
        scale: One standardized unit in the column's own units, `(slots,)`; 1 for a group.
        price: What one standardized unit costs an attacker, `(slots,)`; of a group its columns tell.
    """

    def __init__(self, schema: "Schema"):
        features, grouped = schema.features, {j for group in schema.groups for j in group}
        single = [j for j in range(len(features)) if j not in grouped]
        self.slots = tuple(sorted([(j,) for j in single] + list(schema.groups)))
        self.slot = torch.zeros(len(features), dtype=torch.long)
        for k, slot in enumerate(self.slots):
            self.slot[list(slot)] = k
        self.columns = torch.tensor([slot[0] for slot in self.slots])
        alone = torch.tensor([len(slot) == 1 for slot in self.slots])
        of = [features[slot[0]] for slot in self.slots]
        self.ordered = torch.tensor([feature.ordered for feature in of]) & alone
        self.scale = torch.where(alone, torch.tensor([float(f.scale or 1) for f in of], dtype=torch.float64), 1.0)
        costs = torch.tensor([float(f.cost or 0) for f in of], dtype=torch.float64)
        self.price = torch.where(alone, costs * self.scale, 1.0)
        self.of_group = tuple((k, slot) for k, slot in enumerate(self.slots) if len(slot) > 1)
        self.unit = 1 / torch.tensor([float(f.scale or 1) for f in features], dtype=torch.float64)
        self.costs = torch.tensor([float(f.cost or 0) for f in features], dtype=torch.float64)

    def changes(self, x: Tensor, x0: Tensor) -> Tensor:
        """Standardized change of each slot, `(batch, slots)` float64, >= 0; exactly 0 where nothing changed."""
        a, b = x[:, self.columns].double(), x0[:, self.columns].double()
        moved = (a - b).abs() / self.scale
        moved = torch.where(self.ordered, moved, (a != b).double() / self.scale)
        moved = torch.where(a.isnan() & b.isnan(), 0.0, torch.where(a.isnan() | b.isnan(), 1.0, moved))
        return self._switched(moved, x, x0, self.unit)

    def costs_of(self, changes: Tensor, x: Tensor, x0: Tensor) -> Tensor:
        """What each slot's change costs an attacker: `(batch, slots)`."""
        return self._switched(changes * self.price, x, x0, self.costs)

    def _switched(self, found: Tensor, x: Tensor, x0: Tensor, weight: Tensor) -> Tensor:
        """With what each one-hot group counts, the mean weight of the column that was 1 and of the one that is."""
        for k, slot in self.of_group:
            columns = list(slot)
            moved = (x[:, columns] != x0[:, columns]).double()
            found[:, k] = (moved * weight[columns]).sum(1) / 2
        return found

    def distance(self, x: Tensor, x0: Tensor, measure: Measure) -> Tensor:
        """From `x0`: `(batch,)` float64."""
        found = self.changes(x, x0)
        if measure == "features":
            return (found > 0).double().sum(1)
        if measure == "cost":
            return self.costs_of(found, x, x0).sum(1)
        if measure == "linf":
            return found.amax(1)
        return found.sum(1) if measure == "l1" else found.square().sum(1).sqrt()
