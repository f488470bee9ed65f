"""What an attacker may do to a row of a table: `Table(features=3)` is the same as `table:features=3`."""

import dataclasses
import math
from typing import Self

import torch
from torch import Tensor

from holdfast.core.errors import ParameterError, ThreatError
from holdfast.core.params import Count
from holdfast.threats.space import Box
from holdfast.threats.tables.measuring import MEASURES, Measure
from holdfast.threats.tables.region import TableRegion
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.threats import Knowledge, Radius, Threat
from holdfast.threats.written import COLUMN, number

WORDS: dict[Measure, str] = {
    "features": "at most {} columns may change",
    "cost": "the changes may cost at most {}",
    "l1": "the changes may add up to at most {} standardized units",
    "l2": "the changes may have a Euclidean length of at most {} standardized units",
    "linf": "each column may move by at most {} standardized units",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(Threat):
    """Rows that the schema allows to be made from the original, within each limit that is given.

    Types, ranges, steps, immutable columns, directions, one-hot groups and relations are the schema's; distances are
    in standardized units and count a missing value as equal to another one, see `tables.measuring`. The first limit
    that is given, in this order, is the radius that curves and searches for the nearest row shrink; infinite asks for
    the nearest row in that measure. Without any, that is the number of columns.

    Args:
        knowledge: What the model shows: gradients, scores, or labels alone.
        queries: Forward passes a sample at most, None for no bound.
        features: Columns that may change; a one-hot group is one.
        cost: What the changes may cost together, by each column's `cost`.
        l1, l2, linf: Their sum, their Euclidean length, the largest of them, in standardized units.
    """

    radius: Radius = dataclasses.field(init=False, repr=False, default=math.inf)
    knowledge: Knowledge = "gradients"
    queries: Count | None = None
    features: Radius | None = None
    cost: Radius | None = None
    l1: Radius | None = None
    l2: Radius | None = None
    linf: Radius | None = None

    norm = "table"
    region = TableRegion

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.limits:
            object.__setattr__(self, "features", math.inf)
        if self.features is not None and math.isfinite(self.features) and self.features % 1:
            said = f"The 'features' parameter of Table must be a whole number. Got {self.features}"
            raise ParameterError("HF001", said)
        object.__setattr__(self, "radius", float(self.limits[0][1]))

    @property
    def limits(self) -> tuple[tuple[Measure, float], ...]:
        """Measures with their limits, the leading one first."""
        return tuple((name, getattr(self, name)) for name in MEASURES if getattr(self, name) is not None)

    @property
    def measure(self) -> str:
        """The column of a run's rows with distances to compare with the radius."""
        return COLUMN[self.limits[0][0]]

    @property
    def whole(self) -> bool:
        """Whether only whole radii differ."""
        return self.limits[0][0] == "features"

    @property
    def literal(self) -> str:
        """The threat as text, as the command line and JSON write it."""
        words = [f"{name}={number(limit)}" for name, limit in self.limits]
        words += [f"knowledge={self.knowledge}"] if self.knowledge != "gradients" else []
        words += [f"queries={self.queries}"] if self.queries is not None else []
        return "table:" + ",".join(words)

    def at(self, radius: float) -> Self:
        """The same threat with another leading limit."""
        return dataclasses.replace(self, **{self.limits[0][0]: radius})  # type: ignore[arg-type]

    def around(self, x0: Tensor, space: Box | None = None) -> TableRegion:
        """What these rows may become.

        Raises:
            ThreatError: HF308 where the space is no table.
        """
        if not isinstance(space, Tabular):
            raise no_table(self, repr(space or Box()))
        radius = torch.full((len(x0),), self.radius, dtype=torch.float64)
        return TableRegion(x0, radius, *space.limits(x0), schema=space.schema, limits=self.limits)

    def words(self, space: Box | None = None) -> str:
        """The threat in plain English, without a final period."""
        if self.bounded:
            return super().words(space)
        told = [WORDS[name].format(number(limit)) for name, limit in self.limits if limit < math.inf]
        return "; ".join([super().words(space), *told])

    def _moves(self, entry: str) -> str:
        told = [WORDS[name].format(number(limit)) for name, limit in self.limits if limit < math.inf]
        return ", ".join(told).replace("at most 1 columns", "at most 1 column") + ", to rows that the schema allows"


def no_table(threat: Table, seen: str) -> ThreatError:
    """The error for a model of something else than the rows of a schema."""
    return ThreatError(
        "HF308",
        "A table threat needs a model of a table, whose schema says what a row may be",
        seen=f"{threat.literal} on {seen}",
        expected="a model wrapped with a schema",
        fix="hf.wrap(model, schema); holdfast data inspect FILE writes one",
    )
