"""The box of inputs of every leaf, and how far it is from one row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.compiled import compiled, inner
from holdfast.models.trees.descend import left_of

Array = NDArray[Any]


@compiled
def regions(
    x: Array, seen: Array, low: Array, high: Array, fixed: Array, rim: float, edge: float, depth: int, strict: bool,
    tiny: float, cuts: Array, above: Array, roots: Array, feature: Array, threshold: Array, left: Array, right: Array,
    missing: Array, zeros: Array, members: Array, bits: Array,
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:  # fmt: skip
    """Every leaf that an input between `low` and `high` reaches: tree, leaf, distance; where its limits start; limits.

    A limit is a feature with its lowest and highest value. Fixed features (missing values, categories) only decide
    which way a row goes. A leaf has several boxes where zeros count as missing: to `rim` they do, from `edge` on not.
    """
    tree_of, leaf_of, far, start = np.empty(64, np.int32), np.empty(64, np.int32), np.empty(64), np.zeros(64, np.int64)
    limit_of, lows, highs, count = np.empty(256, np.int32), np.empty(256), np.empty(256), 0
    path_f, path_lo, path_hi = np.empty(depth + 1, np.int32), np.empty(depth + 1), np.empty(depth + 1)
    wait = np.empty((5 * depth + 8, 3), np.int32)  # node, length of the path, feature of the last limit
    wait_lo, wait_hi = np.empty(len(wait)), np.empty(len(wait))
    for tree in range(len(roots)):
        top = 1
        wait[0, 0], wait[0, 1] = roots[tree], 0
        while top:
            top -= 1
            node, length = wait[top, 0], wait[top, 1]
            if length:
                path_f[length - 1] = wait[top, 2]
                path_lo[length - 1], path_hi[length - 1] = wait_lo[top], wait_hi[top]
            f = feature[node]
            if f < 0:
                if count + 1 >= len(far):
                    tree_of, leaf_of, far, start = _longer(tree_of), _longer(leaf_of), _longer(far), _longer(start)
                while start[count] + length >= len(lows):
                    limit_of, lows, highs = _longer(limit_of), _longer(lows), _longer(highs)
                at, far[count] = _last(path_f, path_lo, path_hi, length, limit_of, lows, highs, start[count], x, fixed)
                tree_of[count], leaf_of[count], count = tree, left[node], count + 1
                start[count] = at
                continue
            lo, hi = low[f], high[f]
            for i in range(length):
                if path_f[i] == f:
                    lo, hi = path_lo[i], path_hi[i]
            pieces = 1 if fixed[f] else 5 if zeros[node] else 2
            for piece in range(pieces):
                goes, a, b = piece % 2 == 0, lo, hi
                if pieces == 1:
                    goes = left_of(
                        seen[f], strict, tiny, threshold[node], missing[node], zeros[node], members[node], bits
                    )
                elif piece == 4:
                    goes, a, b = missing[node] == 1, max(lo, -rim), min(hi, rim)
                else:
                    a, b = (lo, min(hi, cuts[node])) if goes else (max(lo, above[node]), hi)
                    if pieces == 5:
                        a, b = (a, min(b, -edge)) if piece < 2 else (max(a, edge), b)
                if a <= b:
                    wait[top, 0], wait[top, 1], wait[top, 2] = left[node] if goes else right[node], length + 1, f
                    wait_lo[top], wait_hi[top] = a, b
                    top += 1
    limits = start[count]
    return (
        tree_of[:count], leaf_of[:count], far[:count], start[: count + 1], limit_of[:limits], lows[:limits],
        highs[:limits],
    )  # fmt: skip


@inner
def _last(
    path_f: Array, path_lo: Array, path_hi: Array, length: int, limit_of: Array, lows: Array, highs: Array, at: int,
    x: Array, fixed: Array,
) -> tuple[int, float]:  # fmt: skip
    """Write down the narrowest limits of a path, free features only; where the next goes, how far the box is."""
    distance = 0.0
    for i in range(length):
        last = not fixed[path_f[i]]
        for j in range(i + 1, length):
            last = last and path_f[j] != path_f[i]
        if last:
            limit_of[at], lows[at], highs[at] = path_f[i], path_lo[i], path_hi[i]
            distance = max(distance, path_lo[i] - x[path_f[i]], x[path_f[i]] - path_hi[i])
            at += 1
    return at, distance


@inner
def _longer(array: Array) -> Array:
    made = np.empty(2 * len(array), array.dtype)
    for i in range(len(array)):
        made[i] = array[i]
    return made


def depth_of(feature: Array, left: Array, right: Array, roots: Array) -> int:
    """Inner nodes on the longest way from a root to a leaf."""
    at, depth = roots[feature[roots] >= 0], 0
    while len(at):
        depth += 1
        at = np.concatenate([left[at], right[at]])
        at = at[feature[at] >= 0]
    return depth
