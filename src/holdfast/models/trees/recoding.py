"""The trees of a library that gave words its own codes, as trees over a schema's codes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.form import LEFT, RIGHT, ZERO, Trees
from holdfast.models.trees.planting import refused


def recoded(trees: Trees, tables: Mapping[int, NDArray[Any]]) -> Trees:
    """The same answers to codes: sets of categories and thresholds of the columns in `tables` are those of the codes.

    Args:
        trees: Over the library's own numbers.
        tables: Column -> the library's number for each code, NaN for a word that it does not know.

    Raises:
        ModelError: HF270 for a threshold over numbers that do not ascend with their codes, or a zero among them that
            counts as missing and goes another way than its neighbors.
    """
    threshold, missing, members = trees.threshold.copy(), trees.missing.copy(), trees.members.copy()
    zeros = trees.zeros.copy()
    words = [trees.bits]
    at = len(trees.bits)
    for node in np.flatnonzero(np.isin(trees.feature, list(tables))).tolist():
        table = np.asarray(tables[int(trees.feature[node])], np.float64)
        left = _left(trees, node, table)
        missing[node] = LEFT if _gap_left(trees, node) else RIGHT
        if trees.members[node] < 0:
            if (np.diff(table) <= 0).any():
                raise refused(trees.library, "a threshold over levels that are not in order", "levels in order")
            if (np.diff(left.astype(int)) > 0).any():
                raise refused(trees.library, "a level 0 that counts as missing among others", "zero_as_missing=False")
            threshold[node], zeros[node] = left.sum() - 0.5, False  # the code 0 need not be the number 0
            continue
        word = np.zeros(len(table) // 32 + 2, np.uint32)
        word[0] = len(word) - 1
        codes = np.flatnonzero(left)
        np.bitwise_or.at(word, 1 + codes // 32, np.uint32(1) << (codes % 32).astype(np.uint32))
        members[node], at = at, at + len(word)
        words.append(word)
    return dataclasses.replace(
        trees,
        threshold=threshold,
        missing=missing,
        zeros=zeros,
        members=members.astype(np.int32),
        bits=np.concatenate(words).astype(np.uint32),
        levels={f: found for f, found in trees.levels.items() if f not in tables},
    )


def _left(trees: Trees, node: int, table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which codes a node sends left: `(codes,)`, asked of the node itself."""
    one = dataclasses.replace(
        trees,
        roots=np.zeros(1, np.int32),
        feature=np.array([trees.feature[node], -1, -1], np.int32),
        threshold=np.array([trees.threshold[node], 0, 0]),
        left=np.array([1, 0, 1], np.int32),
        right=np.array([2, -1, -1], np.int32),
        missing=np.array([trees.missing[node], 0, 0], np.int8),
        zeros=np.array([trees.zeros[node], False, False]),
        members=np.array([trees.members[node], -1, -1], np.int32),
    )
    rows = np.zeros((len(table), trees.features))
    rows[:, trees.feature[node]] = table
    found: NDArray[np.bool_] = one.leaves(rows)[:, 0] == 0
    return found


def _gap_left(trees: Trees, node: int) -> bool:
    """Whether a missing value goes left; one that is read as zero goes where the library's category 0 goes."""
    kind = int(trees.missing[node])
    return bool(_left(trees, node, np.zeros(1))[0]) if kind == ZERO else kind == LEFT
