"""What all rows of a batch share where the structure of a tree ensemble is searched."""

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.attacks.trees.regions import Boxes, distances, regions
from holdfast.core.errors import DataError, ModelError
from holdfast.models.model import Model
from holdfast.models.trees.cutting import strictly
from holdfast.models.trees.form import TINY, Trees
from holdfast.models.trees.rounding import last_left

AGREE = 1e-6  # of the largest sum: how far a decision may be from the arrays' own before nothing is searched
ROOM = 2**27  # bytes of boxes that are kept
EXACT = {"float32": 2.0**24, "float64": 2.0**53}
"""Whole numbers up to here have no rounding."""

ROUNDING = 8  # times the rounding error of a sum, what a check by leaves allows where classes share their trees


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """What all rows share: the arrays, and where they are cut in the type of the inputs."""

    trees: Trees
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    cuts: NDArray[np.float64]
    above: NDArray[np.float64]
    rim: float
    edge: float
    narrow: bool
    values: NDArray[np.float64]
    sums: tuple[NDArray[np.float64], NDArray[np.float64]]
    shares: NDArray[np.bool_]
    largest: NDArray[np.float64]
    kept: dict[bytes, Boxes] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, x: Tensor) -> "Field":
        """Of a model, for inputs like `x`, `(batch, ...)`.

        Raises:
            ModelError: HF271 for a model without trees.
            DataError: HF104 for inputs outside the bounds.
        """
        if model.trees is None:
            raise ModelError(
                "HF271",
                "Exact distances and leaf tuples need a tree ensemble",
                seen=repr(model),
                expected="hf.wrap of a forest or of boosted trees, without a stage in front",
            )
        trees = model.trees()
        low, high = (end.cpu().double().numpy().reshape(-1) for end in model.space.limits(x[0]))
        rows = x.cpu().double().numpy().reshape(len(x), -1)
        if bool(((rows < low) | (rows > high)).any()):
            raise DataError(
                "HF104", "Inputs lie outside the bounds", seen=model.space, fix="wrap(..., bounds=(low, high))"
            )
        narrow = x.dtype == torch.float32
        cuts, above = trees.cuts("float32" if narrow else "float64")
        kind = np.dtype("float32" if narrow else "float64").type
        rim = float(last_left(np.array([TINY]), False, trees.dtype, "float32" if narrow else "float64")[0])
        own, shift = trees.precision, np.broadcast_to(trees.shift, trees.base.shape)
        single, scaling = float(own == "float32"), np.array([trees.divisor, trees.scale], own)
        largest = np.stack([np.abs(v).max(0) for v in np.split(trees.values, _bounds(trees))])
        touched = largest > 0
        return cls(
            trees=trees,
            low=np.ascontiguousarray(low),
            high=np.ascontiguousarray(high),
            cuts=cuts,
            above=above,
            rim=rim,
            edge=float(np.nextafter(kind(rim), kind(np.inf))),
            narrow=narrow,
            values=trees.values.astype(own).astype(np.float64),
            sums=(trees.base.astype(own).astype(np.float64), np.concatenate([[single], scaling, shift])),
            shares=np.any(touched[:, :, None] & touched[:, None, :], axis=0),
            largest=largest.sum(0) + np.abs(trees.base),
        )

    def strict(self, model: Model) -> "Field":
        """The same, with sums within rounding of the model's threshold counted against its class."""
        if model.threshold is None:
            return self
        trees = strictly(self.trees, model.threshold)
        base, factors = self.sums
        shift = np.broadcast_to(trees.shift, trees.base.shape)
        return dataclasses.replace(self, trees=trees, sums=(base, np.concatenate([factors[: -len(shift)], shift])))

    def agree(self, x: Tensor, may: NDArray[np.bool_]) -> None:
        """See that the arrays decide as the model does, rounding aside.

        Args:
            x: Inputs `(batch, ...)`.
            may: The decisions that the model may have made, `(batch, classes)`.

        Raises:
            ModelError: HF272 where they do not.
        """
        sums = self.sums_of(x.cpu().numpy().reshape(len(x), -1))
        short = sums.max(1) - np.where(may, sums, -np.inf).max(1)
        apart = short > AGREE * np.abs(sums).max(initial=1.0)
        if apart.any():
            raise ModelError(
                "HF272",
                "The arrays of this ensemble do not answer as the model does",
                seen=f"{int(apart.sum())} of {len(x)} decisions differ, by up to {short.max():.2g}",
                fix="report it with the versions of the libraries",
            )

    def sums_of(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """What the trees add up to for each class, `(batch, classes)`; 0 for the first where there is one output."""
        found = self.trees.sums(rows)
        return np.concatenate([np.zeros_like(found), found], 1) if found.shape[1] == 1 else found

    @functools.cached_property
    def whole(self) -> bool:
        """Whether leaves and bases are whole numbers, and their sums small enough to be exact."""
        values, base = self.sums[0], self.values
        parts = all(bool((part == np.round(part)).all()) for part in (values, base, self.trees.values, self.trees.base))
        return parts and not self.trees.shift.any() and float(self.largest.max()) < EXACT[self.trees.precision]

    @functools.cached_property
    def told(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least and the greatest value that some tree tells from others, inside the bounds, `(features,)` each.

        Both are finite where there are some; else the first is infinite and the second its negative.
        """
        trees, least, greatest = self.trees, np.full(len(self.low), np.inf), np.full(len(self.low), -np.inf)
        cut, zero = (trees.feature >= 0) & (trees.members < 0), (trees.feature >= 0) & trees.zeros
        edge = np.full(int(zero.sum()), self.edge)
        f = np.concatenate([trees.feature[cut], trees.feature[cut], trees.feature[zero], trees.feature[zero]])
        end = np.concatenate([self.cuts[cut], self.above[cut], edge, -edge])
        there = np.isfinite(end)
        np.minimum.at(least, f[there], end[there])
        np.maximum.at(greatest, f[there], end[there])
        return np.maximum(least, self.low), np.minimum(greatest, self.high)

    def fixed(self, row: NDArray[Any]) -> NDArray[np.bool_]:
        """What no search moves: missing values and categories, `(features,)`."""
        found: NDArray[np.bool_] = np.isnan(row) | self.trees.categorical
        return found

    def regions(self, row: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Every leaf's box around a row, inside the bounds: tree, leaf, distance in Linf, limits as in `Boxes`."""
        tree_of, leaf_of, *boxes = self.within(row, self.low, self.high, self.fixed(row))
        return tree_of, leaf_of, distances(row.astype(np.float64), *boxes), *boxes

    def within(self, row: NDArray[Any], low: NDArray[Any], high: NDArray[Any], fixed: NDArray[Any]) -> Boxes:
        """Every leaf's box between two ends, `(features,)`; the features that are fixed stay as they are in the row.

        Kept, as most rows of a batch share theirs.
        """
        key = fixed.tobytes() + row[fixed].tobytes() + low.tobytes() + high.tobytes()
        if key not in self.kept:
            if sum(one.nbytes for boxes in self.kept.values() for one in boxes) > ROOM:
                self.kept.clear()
            seen = self.trees.read(row[None])[0]
            self.kept[key] = regions(self.trees, seen, low, high, fixed, self.rim, self.edge, self.cuts, self.above)
        return self.kept[key]


def decisive(model: Model, x: Tensor) -> None:
    """See that the arrays of a tree ensemble decide about samples as the model does; those outside the bounds aside.

    Args:
        model: Settled, with trees.
        x: Samples `(n, ...)`.

    Raises:
        ModelError: HF270 where the trees cannot be read, HF272 where they decide otherwise.
    """
    inside = x[model.space.validate(x)]
    if len(inside):
        said = np.eye(model.classes or 2, dtype=bool)[model.predict(inside).cpu().numpy()]
        Field.of(model, inside).agree(inside, said)


def _bounds(trees: Trees) -> NDArray[np.int64]:
    """Where the leaves of each tree but the first start among all leaves."""
    leaves: NDArray[np.int64] = np.cumsum(trees.feature < 0)
    return leaves[trees.roots[1:] - 1]


def gains_of(
    field: Field, leaf_of: NDArray[Any], label: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What each region adds to the lead of each other class, the lead before, and how far sums may be off."""
    trees, size = field.trees, len(field.trees.roots) + 4
    values, base, shift = trees.values[leaf_of], trees.base, trees.shift * trees.divisor / trees.scale
    error, exact = float(np.finfo(trees.precision).eps) * size, float(np.finfo(np.float64).eps) * size
    if values.shape[1] == 1:
        sign = np.array([[-1.0], [1.0]])
        total = np.abs(field.largest + np.abs(shift)).repeat(2)
        slack = np.stack([2 * total * (error + exact), np.zeros(2)])
        return sign * values.T, sign[:, 0] * (base + shift), slack
    gains = (values - values[:, label : label + 1]).T
    total = field.largest + np.abs(shift) + field.largest[label] + abs(shift[label])
    checks = np.where(field.shares[label], ROUNDING * total * error, 0.0)
    return (
        np.ascontiguousarray(gains),
        base - base[label] + shift - shift[label],
        np.stack([2 * total * (error + exact) + checks, checks]),
    )


def least(field: Field, gains: NDArray[Any], offset: float, slack: float, tied: bool) -> float:
    """What the regions have to add up to at least; between the sums, where they are whole and so without rounding.

    Leads may be whole where the sums are not: equal bases of 0.1 leave nothing of their difference, and round apart.
    """
    whole = field.whole and bool((gains == np.round(gains)).all()) and offset == round(offset)
    return -offset + (0.5 if tied else -0.5) if whole else -offset - slack
