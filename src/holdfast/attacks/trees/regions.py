"""The box of inputs of every leaf: all trees at once, a level at a time, so that there is nothing to compile."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.descend import lefts
from holdfast.models.trees.form import TINY, Trees

Array = NDArray[Any]
Boxes = tuple[Array, Array, Array, Array, Array, Array]
"""Of each region its tree and leaf; where its limits start; and of each limit the feature, lowest and highest value."""


def regions(  # noqa: D417
    trees: Trees, seen: Array, low: Array, high: Array, fixed: Array, rim: float, edge: float, cuts: Array, above: Array
) -> Boxes:
    """Every leaf that an input between `low` and `high` reaches.

    A limit is a feature with its lowest and highest value. Fixed features (missing values, categories) only decide
    which way a row goes. A leaf has several boxes where zeros count as missing: to `rim` they do, from `edge` on not.

    Args:
        trees: The ensemble.
        seen: The fixed features as the nodes compare them, `(features,)`.
        low, high: Ends of each feature, `(features,)`.
        fixed: Which features stay as they are, `(features,)`.
        rim, edge: The last number that counts as zero where zeros are missing, and the first that does not.
        cuts, above: The last number left of each node's threshold, and the first one right, `(nodes,)`.
    """
    node, tree = trees.roots.astype(np.int64), np.arange(len(trees.roots))
    path = (np.empty((len(node), 0), np.int64), np.empty((len(node), 0)), np.empty((len(node), 0)))
    done: list[tuple[Array, Array, tuple[Array, Array, Array]]] = []
    while len(node):
        ends = trees.feature[node] < 0
        done.append((tree[ends], trees.left[node[ends]], (path[0][ends], path[1][ends], path[2][ends])))
        node, tree, path = node[~ends], tree[~ends], (path[0][~ends], path[1][~ends], path[2][~ends])
        whose, goes, lows, highs = _pieces(trees, node, path, seen, low, high, fixed, rim, edge, cuts, above)
        there = lows <= highs
        whose, goes, lows, highs = whose[there], goes[there], lows[there], highs[there]
        path = (
            np.concatenate([path[0][whose], trees.feature[node[whose], None]], 1),
            np.concatenate([path[1][whose], lows[:, None]], 1),
            np.concatenate([path[2][whose], highs[:, None]], 1),
        )
        node, tree = np.where(goes, trees.left[node[whose]], trees.right[node[whose]]).astype(np.int64), tree[whose]
    return _boxes(done, fixed)


def _pieces(
    trees: Trees, node: Array, path: tuple[Array, Array, Array], seen: Array, low: Array, high: Array, fixed: Array,
    rim: float, edge: float, cuts: Array, above: Array,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """The parts that nodes cut a box into: whose, whether they go left, and between what their feature lies."""
    f = trees.feature[node]
    lo, hi = low[f], high[f]
    for i in range(path[0].shape[1]):
        same = path[0][:, i] == f
        lo, hi = np.where(same, path[1][:, i], lo), np.where(same, path[2][:, i], hi)
    at, stays, zero = np.arange(len(node)), fixed[f], trees.zeros[node] & ~fixed[f]
    left, right = np.minimum(hi, cuts[node]), np.maximum(lo, above[node])
    kept = lefts(
        seen[f[stays]], trees.operator == "<", TINY, trees.threshold[node[stays]], trees.missing[node[stays]],
        trees.zeros[node[stays]], trees.members[node[stays]], trees.bits,
    )  # fmt: skip
    plain, n = ~stays & ~zero, int(zero.sum())
    yes, no, gone = np.ones(len(node), bool), np.zeros(len(node), bool), trees.missing[node] == 1
    parts = [
        (at[stays], kept, lo[stays], hi[stays]),
        (at[plain], yes[plain], lo[plain], left[plain]),
        (at[plain], no[plain], right[plain], hi[plain]),
    ]
    if n:
        parts += [
            (at[zero], yes[zero], lo[zero], np.minimum(left, -edge)[zero]),
            (at[zero], no[zero], right[zero], np.minimum(hi, -edge)[zero]),
            (at[zero], yes[zero], np.maximum(lo, edge)[zero], left[zero]),
            (at[zero], no[zero], np.maximum(right, edge)[zero], hi[zero]),
            (at[zero], gone[zero], np.maximum(lo, -rim)[zero], np.minimum(hi, rim)[zero]),
        ]
    whose, goes, lows, highs = (np.concatenate([part[k] for part in parts]) for k in range(4))
    return whose, goes.astype(bool), lows, highs


def _boxes(done: list[tuple[Array, Array, tuple[Array, Array, Array]]], fixed: Array) -> Boxes:
    """The leaves of a tree after those of another, with the narrowest limits of their paths, free features only."""
    depth = len(done) - 1
    tree, leaf = (np.concatenate([one[k] for one in done]) for k in (0, 1))
    limit = np.full((len(tree), depth), -1)
    ends = np.empty((2, len(tree), depth))
    first = 0
    for level, (whose, _, path) in enumerate(done):
        rows = slice(first, first + len(whose))
        limit[rows, :level], ends[0, rows, :level], ends[1, rows, :level] = path
        first += len(whose)
    order = np.argsort(tree, kind="stable")
    limit, ends = limit[order], ends[:, order]
    last = (limit >= 0) & ~fixed[limit]
    for i in range(depth):
        for j in range(i + 1, depth):
            last[:, i] &= limit[:, j] != limit[:, i]
    start = np.concatenate([[0], np.cumsum(last.sum(1))]).astype(np.int64)
    return (
        tree[order].astype(np.int32), leaf[order].astype(np.int32), start, limit[last].astype(np.int32),
        ends[0][last], ends[1][last],
    )  # fmt: skip


def distances(row: Array, start: Array, limit_of: Array, lows: Array, highs: Array) -> Array:
    """How far each box is from a row in Linf: `(regions,)`."""
    point, found = row[limit_of], np.zeros(len(start) - 1)
    gap = np.maximum(np.maximum(lows - point, point - highs), 0.0)
    held = np.diff(start) > 0
    if len(gap):
        found[held] = np.maximum.reduceat(gap, start[:-1][held])
    return found
