"""The attacks that serve table threats, and a small table with every kind of column to try them on."""

import dataclasses

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.capgd import Capgd
from holdfast.attacks.evasion.carlini_wagner_table import CarliniWagnerTable
from holdfast.attacks.evasion.graph_search import GraphSearch
from holdfast.attacks.evasion.hop_skip_jump_table import HopSkipJumpTable
from holdfast.attacks.evasion.moeva2 import Moeva2
from holdfast.attacks.evasion.noise import Noise
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.tables.threat import Table

SCHEMA = Schema(
    (
        Feature("age", "integer", low=0, high=4, direction="up"),
        Feature("rate", "real", low=0, high=1, step=0.25, scale=0.5),
        Feature("grade", "ordinal", levels=("low", "mid", "high"), missing=True),
        Feature("job", "categorical", levels=("clerk", "sales", "chief")),
        Feature("owner", "binary", immutable=True),
        Feature("red", "one-hot", group="color"),
        Feature("blue", "one-hot", group="color"),
        Feature("green", "one-hot", group="color"),
    ),
    ("rate <= age / 4 or owner == 1",),
)
SPACE = Tabular(SCHEMA)
FEW = GraphSearch(steps=3, width=2, samples=40)
WALK = HopSkipJumpTable(steps=3, samples=10, flips=6, tries=100)
BRED = Moeva2(steps=10, samples=5, index=1.0)


@dataclasses.dataclass(frozen=True)
class TableCase:
    """An attack under a table threat; `control` for the noise that the others must beat with so many queries."""

    attack: Attack
    threat: Table
    control: bool = False
    queries: int = 20

    def __str__(self) -> str:
        return f"{type(self.attack).__name__}-{self.threat.measure}"


TABLES = [
    TableCase(FEW, Table(features=2)),
    TableCase(FEW, Table(cost=1.5, linf=1)),
    TableCase(BRED, Table(features=2), queries=40),
    TableCase(Capgd(steps=8), Table(features=2)),
    TableCase(Capgd(steps=8), Table(cost=1.5, linf=1)),
    TableCase(CarliniWagnerTable(steps=8, searches=2, step=0.5), Table(features=2)),
    TableCase(CarliniWagnerTable(steps=8, searches=2, step=0.5), Table(cost=1.5, linf=1)),
    TableCase(WALK, Table(features=2), queries=40),
    TableCase(WALK, Table(cost=1.5, linf=1), queries=40),
    TableCase(Noise(samples=20), Table(features=2), control=True),
]


def every_row() -> torch.Tensor:
    """All codes whose columns are possible by themselves: `(n, 8)`."""
    color = torch.eye(3, dtype=torch.float64)
    ways = [torch.arange(5.0), torch.arange(5) / 4, torch.tensor([0, 1, 2, torch.nan]), torch.arange(3.0)]
    ways += [torch.arange(2.0), torch.arange(3.0)]
    rows = torch.cartesian_prod(*(way.double() for way in ways))
    return torch.cat([rows[:, :5], color[rows[:, 5].long()]], 1)


def possible_rows() -> torch.Tensor:
    """Those of them that keep the relation."""
    rows = every_row()
    return rows[SCHEMA.validate(rows).valid]
