"""One array form for tree ensembles of every library, down to how each of them compares and adds."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError
from holdfast.models.trees.descend import descend, gather
from holdfast.models.trees.rounding import last_left

Floats = NDArray[np.float64]
Whole = NDArray[np.int32]
Precision = Literal["float32", "float64"]
Link = Literal["identity", "sigmoid", "softmax"]

RIGHT, LEFT, ZERO = 0, 1, 2
"""Where a missing value goes at a split; ZERO reads it as the number zero."""
TINY = float(np.float32(1e-35))
"""What LightGBM takes for zero, where zeros count as missing: nothing larger than this."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Trees:
    """Binary trees over rows `(batch, features)`, and how their leaves become scores.

    An inner node sends a row to the left where its value, rounded to `dtype`, stands in the relation `operator` to the
    threshold; a split on categories where the value, cut to a whole number, is one of its members. The scores are

        raw = base + sum over trees of values[leaf], one tree after another, in `precision`
        scores = link(slope * (raw / divisor * scale + shift))

    Args:
        library: Where the ensemble comes from.
        features: Numbers in a row.
        classes: Of the decision; two where there is one output.
        roots: First node of each tree, `(trees,)`.
        feature: What a node looks at, `(nodes,)`; -1 for a leaf.
        threshold: `(nodes,)`.
        left: Next node, `(nodes,)`; for a leaf the row of `values`.
        right: Next node, `(nodes,)`.
        missing: Where a missing value goes, `(nodes,)`: RIGHT, LEFT or ZERO.
        zeros: Whether a zero counts as missing, `(nodes,)`.
        members: Where the categories of a node start in `bits`, `(nodes,)`; -1 for a threshold.
        bits: Runs of 32-bit words: how many follow, then a bit for each category that goes left.
        values: `(leaves, outputs)`.
        base: Before the first tree, `(outputs,)`.
        categorical: The features whose values are names, `(features,)`: no distance is measured between them.
        fractions: Whether a category between -1 and 0 is read as 0, as a cut to whole numbers does.
        levels: Features whose values are looked up first, and these values in order of their codes; others are missing.
        operator: "<=" or "<".
        dtype: What a value is rounded to before it is compared.
        precision: What the sums are rounded to at every step.
        divisor: The sum is divided by it: the number of trees of a forest, the total weight of AdaBoost.
        scale: The sum is then multiplied by it.
        shift: And this is added, `(outputs,)`.
        slope: Multiplied before the link.
        link: What makes scores of sums.
    """

    library: str
    features: int
    classes: int
    roots: Whole
    feature: Whole
    threshold: Floats
    left: Whole
    right: Whole
    missing: NDArray[np.int8]
    zeros: NDArray[np.bool_]
    members: Whole
    bits: NDArray[np.uint32]
    values: Floats
    base: Floats
    categorical: NDArray[np.bool_]
    fractions: bool = False
    levels: Mapping[int, Floats] = dataclasses.field(default_factory=dict)
    operator: Literal["<=", "<"] = "<="
    dtype: Precision = "float64"
    precision: Precision = "float64"
    divisor: float = 1.0
    scale: float = 1.0
    shift: Floats = dataclasses.field(default_factory=lambda: np.zeros(1))
    slope: float = 1.0
    link: Link = "identity"

    def read(self, x: NDArray[np.floating]) -> Floats:
        """Rows as the nodes compare them `(batch, features)`: rounded, categories as whole codes, -1 for no such one.

        Raises:
            DataError: HF102 for rows of another length.
        """
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.features:
            raise DataError("HF102", "Rows do not fit the trees", seen=x.shape, expected=f"(batch, {self.features})")
        with np.errstate(over="ignore"):
            seen = np.ascontiguousarray(x.astype(self.dtype), dtype=np.float64)
        for feature in np.flatnonzero(self.categorical).tolist():
            column = seen[:, feature]
            if feature in self.levels:
                column = _codes(x[:, feature], self.levels[feature])
            there = (column > -1 if self.fractions else column >= 0) & (column < 2**24)
            seen[:, feature] = np.where(np.isnan(column), column, np.where(there, np.trunc(column), -1.0))
        return seen

    def leaves(self, x: NDArray[np.floating]) -> Whole:
        """The row of `values` that each tree answers with, `(batch, trees)`. Costs the depth of every tree."""
        return descend(
            self.read(x), self.operator == "<", TINY, self.roots, self.feature, self.threshold,
            self.left, self.right, self.missing, self.zeros, self.members, self.bits,
        )  # fmt: skip

    def sums(self, x: NDArray[np.floating]) -> Floats:
        """What the trees add up to, without the link: `(batch, outputs)`."""
        found = gather(self.leaves(x), self.values.astype(self.precision), self.base.astype(self.precision))
        found = found if self.divisor == 1.0 else found / found.dtype.type(self.divisor)
        plain = self.scale == 1.0 and not self.shift.any()
        return (found if plain else found * found.dtype.type(self.scale) + self.shift).astype(np.float64)

    def scores(self, x: NDArray[np.floating]) -> Floats:
        """Probabilities `(batch, classes)`; one output p is read as (1 - p, p)."""
        z = self.slope * self.sums(x)
        if self.link == "sigmoid":
            with np.errstate(over="ignore"):
                z = 1.0 / (1.0 + np.exp(-z))
        elif self.link == "softmax":
            e = np.exp(z - z.max(1, keepdims=True))
            z = e / e.sum(1, keepdims=True)
        return np.concatenate([1.0 - z, z], 1) if z.shape[1] == 1 else z

    @functools.cached_property
    def digest(self) -> bytes:
        """Of everything that decides a score."""
        made = hashlib.blake2b(digest_size=16)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            made.update(
                field.name.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
            )
        return made.digest()

    def __getstate__(self) -> dict[str, object]:
        """The fields alone: a digest that came with a file would speak for other trees."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def cuts(self, dtype: Precision) -> tuple[Floats, Floats]:
        """For inputs of a floating type: the last one left of each threshold, and the first one right, `(nodes,)` each.

        Args:
            dtype: "float32" or "float64", the type of the inputs.
        """
        last = last_left(self.threshold, self.operator == "<", self.dtype, dtype)
        kind = np.dtype(dtype).type
        with np.errstate(over="ignore"):
            return last, np.nextafter(last.astype(dtype), kind(np.inf)).astype(np.float64)

    def __str__(self) -> str:
        return f"{len(self.roots)} trees with {len(self.values)} leaves over {self.features} features ({self.library})"


def _codes(column: NDArray[np.floating], levels: Floats) -> Floats:
    """The place of each value among the levels; NaN for one that is not there."""
    order = np.argsort(levels, kind="stable")
    at = order[np.searchsorted(levels, column, sorter=order).clip(max=len(levels) - 1)]
    return np.where(levels[at] == column, at, np.nan)
