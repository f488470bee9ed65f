"""From a row to a leaf of every tree, and from leaves to sums: compiled, or in numpy to the same bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.compiled import COMPILES, compiled

Array = NDArray[Any]
MANY = 2**15
"""Leaves to find from which on compiling the loop pays."""


def descend(seen: Array, strict: bool, tiny: float, *form: Array) -> Array:
    """The leaf of every tree, `(batch, trees)` int32.

    Args:
        seen: Rows as the nodes compare them, `(batch, features)` float64.
        strict: Whether the comparison is `<`.
        tiny: What counts as zero where zeros are missing.
        form: Roots, feature, threshold, left, right, missing, zeros, members and bits of the ensemble.
    """
    pays = COMPILES and len(seen) * len(form[0]) >= MANY
    return (_loops if pays else _steps)(seen, strict, tiny, *form)


def gather(leaves: Array, values: Array, base: Array) -> Array:
    """The base and then the leaves of one tree after another, `(batch, outputs)` in the type of `values`.

    Args:
        leaves: `(batch, trees)`.
        values: `(leaves, outputs)`.
        base: `(outputs,)`.
    """
    if COMPILES and leaves.size >= MANY:
        return _add(leaves, values, base)
    found = np.repeat(base[None], len(leaves), 0)
    for tree in range(leaves.shape[1]):
        found += values[leaves[:, tree]]
    return found


@compiled
def left_of(
    value: float, strict: bool, tiny: float, threshold: float, missing: int, zero: bool, member: int, bits: Array
) -> bool:
    """Whether a value goes left at a node."""
    if value != value:
        if missing != 2:
            return bool(missing == 1)
        value = 0.0
    if zero and -tiny <= value <= tiny:
        return bool(missing == 1)
    if member >= 0:
        if value < 0:
            return False
        code = int(value)
        return code < 32 * int(bits[member]) and bool((int(bits[member + 1 + code // 32]) >> (code % 32)) & 1)
    return value < threshold if strict else value <= threshold


@compiled
def _loops(
    seen: Array, strict: bool, tiny: float, roots: Array, feature: Array, threshold: Array, left: Array, right: Array,
    missing: Array, zeros: Array, members: Array, bits: Array,
) -> Array:  # fmt: skip
    found = np.empty((len(seen), len(roots)), np.int32)
    for tree in range(len(roots)):
        for row in range(len(seen)):
            node = roots[tree]
            while feature[node] >= 0:
                goes = left_of(
                    seen[row, feature[node]], strict, tiny, threshold[node], missing[node], zeros[node], members[node],
                    bits,
                )  # fmt: skip
                node = left[node] if goes else right[node]
            found[row, tree] = left[node]
    return found


@compiled
def _add(leaves: Array, values: Array, base: Array) -> Array:
    found = np.empty((len(leaves), len(base)), values.dtype)
    for row in range(len(leaves)):
        for output in range(len(base)):
            total = base[output]
            for tree in range(leaves.shape[1]):
                total += values[leaves[row, tree], output]
            found[row, output] = total
    return found


def _steps(
    seen: Array, strict: bool, tiny: float, roots: Array, feature: Array, threshold: Array, left: Array, right: Array,
    missing: Array, zeros: Array, members: Array, bits: Array,
) -> Array:  # fmt: skip
    """All rows of a tree one step at a time."""
    found = np.empty((len(seen), len(roots)), np.int32)
    for tree, root in enumerate(roots):
        at = np.full(len(seen), root, np.int32)
        while len(live := np.flatnonzero(feature[at] >= 0)):
            node = at[live]
            goes = lefts(
                seen[live, feature[node]], strict, tiny, threshold[node], missing[node], zeros[node], members[node],
                bits,
            )  # fmt: skip
            at[live] = np.where(goes, left[node], right[node])
        found[:, tree] = left[at]
    return found


def lefts(
    value: Array, strict: bool, tiny: float, threshold: Array, missing: Array, zeros: Array, members: Array, bits: Array
) -> Array:
    """Whether each value goes left at its node, all `(n,)`."""
    lost = np.isnan(value)
    value = np.where(lost & (missing == 2), 0.0, value)
    goes = value < threshold if strict else value <= threshold
    goes = np.where(members >= 0, _held(value, members, bits), goes)
    away = (lost & (missing != 2)) | (zeros & (np.abs(value) <= tiny))
    found: Array = np.where(away, missing == 1, goes)
    return found


def _held(value: Array, member: Array, bits: Array) -> Array:
    """Whether each code is in the set of its node; nowhere at thresholds."""
    found = np.zeros(len(value), bool)
    at = np.flatnonzero((member >= 0) & (value >= 0))
    code, start = value[at].astype(np.int64), member[at]
    inside = code < 32 * bits[start].astype(np.int64)
    at, code, start = at[inside], code[inside], start[inside]
    found[at] = (bits[start + 1 + code // 32].astype(np.int64) >> (code % 32)) & 1
    return found
