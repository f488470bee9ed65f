"""Which codes of a table a row may take where boxes of trees are searched, what a change counts, what is left out."""

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.attacks.trees.field import Field
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.genomes import Genomes
from holdfast.threats.tables.region import TableRegion
from holdfast.threats.tables.schema import Schema

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Possible:
    """Codes that the rows of a batch may take; missing values and one-hot groups stay as they are.

    Args:
        region: Originals, limits and schema.
        low, high: How far each column may go, `(batch, features)`.
        fixed: What stays as it is, `(batch, features)`.
        flat: Which columns have no order, `(features,)`.
        grid: The columns whose values are multiples of a step, by their place.
    """

    region: TableRegion
    low: Array
    high: Array
    fixed: Array
    flat: Array
    grid: dict[int, Feature]

    @classmethod
    def of(cls, region: TableRegion, field: Field, rows: Array) -> "Possible":
        """Of rows `(batch, features)`, where an ensemble is asked."""
        genomes, features = Genomes(region), region.schema.features
        single = genomes.numbers | torch.tensor([f.kind == "categorical" for f in features])
        fixed = np.stack([field.fixed(row) for row in rows]).reshape(rows.shape)
        return cls(
            region=region,
            low=np.ascontiguousarray(genomes.low.numpy()),
            high=np.ascontiguousarray(genomes.high.numpy()),
            fixed=fixed | ~(single & genomes.movable[genomes.slot]).numpy(),
            flat=np.array([not f.ordered for f in features]),
            grid={j: f for j, f in enumerate(features) if f.step},
        )

    def regions(self, field: Field, row: Array, i: int) -> tuple[Array, ...]:
        """Every leaf's box around a row as `Field.regions` tells them, with distances in standardized units (Linf)."""
        tree_of, leaf_of, *boxes = field.within(row, self.low[i], self.high[i], self.fixed[i])
        tree_of, leaf_of, start, limit_of, lows, highs = stepped(self.grid, tree_of, leaf_of, *boxes)
        point, scale = row.astype(np.float64)[limit_of], self.region.ruler.scale[self.region.ruler.slot].numpy()
        gap = np.maximum(np.maximum(lows - point, point - highs), 0.0)
        gap = np.where(self.flat[limit_of], gap > 0, gap) / scale[limit_of]
        far = np.zeros(len(tree_of))
        np.maximum.at(far, np.repeat(np.arange(len(tree_of)), np.diff(start)), gap)
        return tree_of, leaf_of, far, start, limit_of, lows, highs


def left_out(schema: Schema, field: Field, row: Array) -> float:
    """The least change in Linf that is in no box around a row: of a one-hot group, a gap or a category; inf for none.

    Of a category in steps of 0.1 it is 0, for floats are less than 0.1 from 1.0 at 0.9.

    Args:
        schema: What the row may become.
        field: The trees.
        row: Codes `(features,)`.
    """
    ranges, unit, gone = schema.ranges, schema.ruler.unit.numpy(), np.isnan(row)
    free = ~ranges.immutable.numpy()
    gaps = free & (ranges.way == 0).numpy() & (gone | ranges.missing.numpy())
    least = 1.0 if gaps.any() else np.inf
    for columns in map(list, schema.groups):
        if free[columns[0]]:
            own = row[columns] == 1
            least = min(least, float(unit[columns][own].sum() + unit[columns][~own].min(initial=np.inf)) / 2)
    for j in np.flatnonzero(free & ~gone & field.trees.categorical):
        feature = schema.features[j]
        least = min(least, float(unit[j]) * (math.floor(feature.step or 0) if feature.ordered else 1.0))
    return least


def stepped(
    grid: dict[int, Feature], tree_of: Array, leaf_of: Array, start: Array, limit_of: Array, lows: Array, highs: Array
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Boxes that end at multiples of the steps, without those that hold none."""
    lows, highs = lows.copy(), highs.copy()
    for j, feature in grid.items():
        at = limit_of == j
        lows[at], highs[at] = inward(feature, lows[at], 1), inward(feature, highs[at], -1)
    size = np.diff(start)
    owner = np.repeat(np.arange(len(size)), size)
    there = np.bincount(owner[lows > highs], minlength=len(size)) == 0
    limits = there[owner]
    start = np.concatenate([[0], np.cumsum(size[there])])
    return tree_of[there], leaf_of[there], start, limit_of[limits], lows[limits], highs[limits]


def inward(feature: Feature, ends: Array, way: int) -> Array:
    """The multiples of the step at or beyond some ends, up (1) or down (-1).

    Found from the nearest ones: 0.07 over 0.01 is more than 7 in floats, and rounded up 8.
    """
    near = feature.stepped(torch.from_numpy(ends))
    past = feature.stepped(near + way * float(feature.step or 0))
    short = (near.numpy() - ends) * way < 0
    found: Array = np.where(short, past.numpy(), near.numpy())
    return found
