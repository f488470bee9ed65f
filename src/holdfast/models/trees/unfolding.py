"""The comparisons of ONNX as thresholds: what is equal lies between two of them, what is greater goes the other way."""

import dataclasses
from typing import Any

import numpy as np

from holdfast.models.trees.flat import LEAF, LIBRARY, Flat
from holdfast.models.trees.form import LEFT, RIGHT
from holdfast.models.trees.planting import Tree, refused

MOST = 1 << 17
"""Nodes of a tree after unfolding: what is behind an equality, or reached in two ways, is needed twice."""

BOTH = (-np.inf, np.inf, True)
"""Of a feature nothing is known: it lies above the first, at most at the second, and may be missing."""


def strict(flat: Flat) -> bool:
    """Whether every comparison of an ensemble is `<` or its contrary."""
    return set(flat.mode.tolist()) <= {"BRANCH_LT", "BRANCH_GTE", LEAF}


@dataclasses.dataclass(frozen=True)
class _Test:
    """`x <= threshold`, or `<` in a strict ensemble; then a place to go on from: a node and the values left to ask."""

    threshold: float
    left: tuple[Any, ...]
    right: tuple[Any, ...]
    missing: int


def unfolded(flat: Flat, root: int, below: bool, dtype: str, cut: bool = False) -> Tree:
    """One tree of the list, in which every comparison is the form's.

    Args:
        flat: The list.
        root: Its first node.
        below: Whether the form compares with `<`.
        dtype: In which the trees compare: the number before a threshold is one of that type.
        cut: Whether values are cut to whole numbers before they are looked for in a set of such.

    Raises:
        ModelError: HF270 where that would make too many nodes.
    """
    folds = bool({"BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"} & set(flat.mode.tolist()))
    feature, threshold, left, right, missing, value = (list[Any]() for _ in range(6))
    stack: list[tuple[tuple[Any, ...], dict[int, tuple[float, float, bool]], int, bool]] = [((root,), {}, -1, False)]
    while stack:
        place, known, parent, goes_left = stack.pop()
        test = None
        while flat.mode[place[0]] != LEAF:
            test = _test(flat, place, below, dtype, cut)
            way = _known(test, known.get(int(flat.feature[place[0]]), BOTH), below) if folds else None
            if way is None:
                break
            place, test = (test.left if way else test.right), None
        if parent >= 0:
            (left if goes_left else right)[parent] = len(feature)
        node = place[0]
        at = len(feature)
        if at >= MOST:
            raise refused(LIBRARY, f"a tree that unfolds to more than {MOST} nodes", "few equalities in a row")
        feature.append(-1 if test is None else int(flat.feature[node]))
        threshold.append(0.0 if test is None else test.threshold)
        missing.append(RIGHT if test is None else test.missing)
        value.append(flat.values[node])
        left.append(-1)
        right.append(-1)
        if test is not None:
            inside = _sides(test, known, int(flat.feature[node])) if folds else (known, known)
            stack += [(test.right, inside[1], at, False), (test.left, inside[0], at, True)]
    return Tree(
        feature=np.array(feature),
        threshold=np.array(threshold),
        left=np.array(left),
        right=np.array(right),
        missing=np.array(missing),
        value=np.stack(value),
    )


def _test(flat: Flat, place: tuple[Any, ...], below: bool, dtype: str, cut: bool) -> _Test:
    """The first comparison of a place: of a node, of the second half of an equality, or of the rest of a set."""
    node, *rest = place
    t, tracks, mode = float(flat.threshold[node]), bool(flat.tracks[node]), str(flat.mode[node])
    true: tuple[Any, ...] = (int(flat.true[node]),)
    false: tuple[Any, ...] = (int(flat.false[node]),)
    if mode in ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"):
        if not below and mode in ("BRANCH_LT", "BRANCH_GTE"):
            t = _before(t, dtype)
        if mode in ("BRANCH_LEQ", "BRANCH_LT"):
            return _Test(t, true, false, LEFT if tracks else RIGHT)
        return _Test(t, false, true, RIGHT if tracks else LEFT)
    values = flat.members.get(node, (t,)) if mode == "BRANCH_MEMBER" else (t,)
    k, second = (rest[0], rest[1]) if rest else (0, False)
    if not values:
        return _Test(0.0, false, false, RIGHT)
    held = false if mode == "BRANCH_NEQ" else true
    other = true if mode == "BRANCH_NEQ" else false
    other = (node, k + 1, False) if k + 1 < len(values) else other
    low, high = _around(values[k], dtype, cut and mode == "BRANCH_MEMBER")
    if second:
        return _Test(low, other, held, RIGHT)
    lost = LEFT if tracks and mode != "BRANCH_NEQ" else RIGHT
    return _Test(high, (node, k, True), other, lost)


def _around(value: float, dtype: str, cut: bool) -> tuple[float, float]:
    """What is taken for a value lies above the first number and at most at the second."""
    if not cut or value != round(value):
        return _before(value, dtype), float(value)
    above = _before(value + 1, dtype) if value >= 0 else float(value)
    return (_before(value, dtype) if value > 0 else value - 1), above


def _known(test: _Test, about: tuple[float, float, bool], below: bool) -> bool | None:
    """Which way a test goes for all that can come to it; None where it has to be asked."""
    low, high, lost = about
    way = True if high <= test.threshold else False if low >= test.threshold else None
    return None if way is None or below or (lost and way != (test.missing == LEFT)) else way


def _sides(test: _Test, known: dict[int, Any], feature: int) -> tuple[dict[int, Any], dict[int, Any]]:
    low, high, lost = known.get(feature, BOTH)
    return (
        {**known, feature: (low, min(high, test.threshold), lost and test.missing == LEFT)},
        {**known, feature: (max(low, test.threshold), high, lost and test.missing == RIGHT)},
    )


def _before(value: float, dtype: str) -> float:
    kind = np.dtype(dtype).type
    return float(np.nextafter(kind(value), kind(-np.inf)))
