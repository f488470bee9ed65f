"""Trees one by one, as readers find them, planted side by side in the one array form."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import ModelError
from holdfast.models.trees.form import LEFT, RIGHT, Trees


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Tree:
    """One tree, its nodes numbered from the root 0.

    Args:
        feature: `(nodes,)`; -1 for a leaf.
        threshold: `(nodes,)`.
        left: `(nodes,)`, ignored at leaves.
        right: `(nodes,)`, ignored at leaves.
        value: What a leaf adds, `(nodes, outputs)`.
        missing: Where a missing value goes, `(nodes,)`.
        zeros: Whether zero counts as missing, `(nodes,)`; nowhere unless given.
        members: Node -> the categories that go left.
    """

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    value: NDArray[Any]
    missing: NDArray[Any]
    zeros: NDArray[Any] | None = None
    members: Mapping[int, Sequence[int]] = dataclasses.field(default_factory=dict)


def plant(trees: Sequence[Tree], *, library: str, features: int, base: Any, **rest: Any) -> Trees:
    """The one form of several trees; `rest` goes to `Trees` as it is. The base tells the number of outputs.

    Raises:
        ModelError: HF270 where there are no trees.
    """
    if not trees:
        raise refused(library, "an ensemble without trees", "at least one")
    sizes = [len(tree.feature) for tree in trees]
    starts = np.cumsum([0, *sizes[:-1]])
    feature = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
    leaf = feature < 0
    left = np.concatenate([tree.left + start for tree, start in zip(trees, starts, strict=True)])
    right = np.concatenate([tree.right + start for tree, start in zip(trees, starts, strict=True)])
    left[leaf], right[leaf] = np.arange(leaf.sum()), -1
    members, bits = _packed(trees, starts, len(feature))
    categorical = np.zeros(features, bool)
    categorical[feature[members >= 0]] = True
    base = np.asarray(base, np.float64).reshape(-1)
    form: dict[str, Any] = {"categorical": categorical, "classes": max(len(base), 2), "shift": np.zeros(len(base))}
    return Trees(
        library=library,
        features=features,
        roots=starts.astype(np.int32),
        feature=np.where(leaf, -1, feature).astype(np.int32),
        threshold=np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing=np.concatenate([tree.missing for tree in trees]).astype(np.int8),
        zeros=np.concatenate([np.zeros(len(t.feature), bool) if t.zeros is None else t.zeros for t in trees]),
        members=members,
        bits=bits,
        values=np.concatenate([tree.value for tree in trees]).astype(np.float64)[leaf],
        base=base,
        **form | rest,
    )


def spread(value: NDArray[Any], output: int, outputs: int) -> NDArray[np.float64]:
    """Leaf values of a tree that speaks for one output, `(nodes, outputs)`."""
    found = np.zeros((len(value), outputs))
    found[:, output] = value
    return found


def turned(goes_left: Any) -> NDArray[np.int8]:
    """LEFT or RIGHT from flags."""
    return np.where(np.asarray(goes_left, bool), LEFT, RIGHT).astype(np.int8)


def refused(library: str, seen: str, expected: str, fix: str | None = None) -> ModelError:
    """HF270, what a reader says of an ensemble that the form does not hold."""
    return ModelError(
        "HF270", f"This ensemble ({library}) cannot be read as arrays", seen=seen, expected=expected, fix=fix
    )


def _packed(trees: Sequence[Tree], starts: NDArray[Any], nodes: int) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Where the set of each node starts, -1 for none, and the words of all sets."""
    members, words = np.full(nodes, -1, np.int32), [np.zeros(0, np.uint32)]
    at = 0
    for tree, start in zip(trees, starts, strict=True):
        for node, held in tree.members.items():
            codes = np.asarray(sorted(held), np.int64)
            size = int(codes.max()) // 32 + 1 if len(codes) else 0
            word = np.zeros(size + 1, np.uint32)
            word[0] = size
            np.bitwise_or.at(word, 1 + codes // 32, (np.uint32(1) << (codes % 32).astype(np.uint32)))
            members[start + node], at = at, at + len(word)
            words.append(word)
    return members, np.concatenate(words)
