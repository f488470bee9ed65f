"""CatBoost: float32, a value above the border goes right, trees with one split a level; from its own JSON.

A split on one word of a category (`one_hot_max_size`) is a set of one. Splits on averages of the labels of a category
are left out: they take several columns together, whose regions are no boxes.
"""

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from holdfast.core.errors import ModelError
from holdfast.models.trees.form import Trees
from holdfast.models.trees.hashing import hashed
from holdfast.models.trees.planting import Tree, plant, refused, turned

LIBRARY = "catboost"
CODES = 2**14
"""Whole numbers from 0 that a category may be where nobody says its words."""

LINKS = {"Logloss": "sigmoid", "CrossEntropy": "sigmoid", "MultiClass": "softmax", "MultiClassOneVsAll": "sigmoid"}
"""The losses that decide between classes."""


def saved(model: Any, kind: str) -> bytes:
    """The file that CatBoost writes of a model, "json" or "cbm"."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"model.{kind}"
        model.save_model(str(path), format=kind)
        return path.read_bytes()


def read(model: Any, words: Mapping[int, Sequence[str]] | None = None) -> Trees:
    """The arrays of a CatBoostClassifier.

    Args:
        model: Fitted.
        words: Column -> the words of its codes 0, 1, ...; whole numbers stand for themselves unless given.

    Raises:
        ModelError: HF270 for losses that do not classify, for averages of labels over categories, for words that cannot
            be told, for texts, and for trees that do not fit each other.
    """
    text = saved(model, "json").decode(errors="replace")  # names that are no UTF-8 are not looked at
    try:
        return _grown(json.loads(text), len(model.feature_names_), words)
    except ModelError:
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:  # of a damaged file, which CatBoost loads
        raise refused(LIBRARY, f"trees that do not fit each other ({type(error).__name__})", "a sound model") from error


def _grown(dump: Mapping[str, Any], width: int, words: Mapping[int, Sequence[str]] | None) -> Trees:
    """The arrays of what CatBoost writes of a model."""
    loss, features = str(dump["model_info"]["params"]["loss_function"]["type"]), dump["features_info"]
    if loss not in LINKS:
        raise refused(LIBRARY, f"the loss {loss}", ", ".join(LINKS))
    known = ("float_features", "categorical_features")
    others = [kind for kind in features if kind.endswith("_features") and kind not in known and features[kind]]
    if others:
        raise refused(LIBRARY, f"{others[0].replace('_', ' ')}", "numbers and categories")
    if features.get("ctrs"):
        raise refused(
            LIBRARY,
            "splits on averages of the labels of categories, of several columns together: no boxes",
            "splits on single words",
            "train with one_hot_max_size=255, or attack it through its scores",
        )
    scale, bias = dump["scale_and_bias"]
    base = np.asarray(bias, np.float64).reshape(-1)
    floats = features.get("float_features") or []
    named = {int(one["feature_index"]): int(one["flat_feature_index"]) for one in features.get(known[1]) or ()}
    seen = Columns(
        floats=[int(one["flat_feature_index"]) for one in floats],
        missing=[one["nan_value_treatment"] != "AsTrue" for one in floats],
        named=named,
        codes={j: _codes((words or {}).get(j)) for j in named.values()},
    )
    if "oblivious_trees" in dump:
        trees = [_levels(tree, len(base), seen) for tree in dump["oblivious_trees"]]
    else:
        trees = [_nested(tree, seen) for tree in dump["trees"]]
    return plant(
        trees,
        library=LIBRARY,
        features=width,
        base=np.zeros(len(base)),
        dtype="float32",
        fractions=bool(named),
        scale=float(scale),
        shift=base,
        link=LINKS[loss],
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """What splits look at.

    Args:
        floats: Column of each feature that is a number.
        missing: Whether its missing values go left.
        named: Column of each feature that is a category.
        codes: Of such a column: the number of a word -> its code, and whether these are all the words there can be.
    """

    floats: list[int]
    missing: list[bool]
    named: dict[int, int]
    codes: dict[int, tuple[dict[int, int], bool]]

    def of(self, split: dict[str, Any]) -> "Split":
        """A split.

        Raises:
            ModelError: HF270 for a word that cannot be told.
        """
        if "float_feature_index" in split:
            j = split["float_feature_index"]
            return Split(self.floats[j], float(split["border"]), self.missing[j], None)
        column = self.named[split["cat_feature_index"]]
        codes, whole = self.codes[column]
        found = codes.get(int(split["value"]))
        if found is None and not whole:
            raise refused(
                LIBRARY, "a split on a word that cannot be told", "whole numbers from 0, or a schema with levels"
            )
        return Split(column, 0.0, False, [] if found is None else [found])


@dataclasses.dataclass(frozen=True)
class Split:
    """A column, its border, where a missing value goes, and the codes that answer yes; None for a border."""

    column: int
    border: float
    missing: bool
    held: list[int] | None


def _codes(words: Sequence[str] | None) -> tuple[dict[int, int], bool]:
    numbers = [(hashed(word), code) for code, word in enumerate(words if words is not None else map(str, range(CODES)))]
    return {number: code for number, code in numbers if number is not None}, words is not None and all(
        number is not None for number, _ in numbers
    )


def _levels(tree: dict[str, Any], outputs: int, columns: Columns) -> Tree:
    """Node i of a level has the children 2 i + 1 and 2 i + 2; bit j of a leaf's number is the answer to split j.

    The answer yes goes right; a set goes left, so its children change places.
    """
    splits = [columns.of(split) for split in tree["splits"] or []]
    depth = len(splits)
    inner = 2**depth - 1
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth)) if depth else np.zeros(0, np.int64)
    index = np.asarray([split.column for split in splits], np.int64)
    border = np.asarray([split.border for split in splits], np.float64)
    leaves = np.arange(2**depth)
    number = sum((((leaves >> (depth - 1 - j)) & 1) << j for j in range(depth)), np.zeros(2**depth, np.int64))
    value = np.zeros((inner + 2**depth, outputs))
    value[inner:] = np.asarray(tree["leaf_values"], np.float64).reshape(2**depth, outputs)[number]
    pad, nodes = np.zeros(2**depth), np.arange(inner + 2**depth)
    goes = np.asarray([split.missing for split in splits], bool)
    members = {node: held for node, at in enumerate(level.tolist()) if (held := splits[at].held) is not None}
    swapped = np.isin(nodes, list(members))
    return Tree(
        feature=np.concatenate([index[level], pad - 1]) if depth else pad - 1,
        threshold=np.concatenate([border[level], pad]) if depth else pad,
        left=2 * nodes + 1 + swapped,
        right=2 * nodes + 2 - swapped,
        missing=turned(np.concatenate([goes[level], pad]) if depth else pad),
        value=value,
        members=members,
    )


def _nested(root: dict[str, Any], columns: Columns) -> Tree:
    """A tree that is not the same on every level."""
    nodes, left, right = [root], [], []
    for node in nodes:  # grows while it is walked
        inner = "split" in node
        left.append(len(nodes) if inner else -1)
        right.append(len(nodes) + 1 if inner else -1)
        nodes += [node["left"], node["right"]] if inner else []
    splits = [columns.of(node["split"]) if "split" in node else None for node in nodes]
    members = {i: one.held for i, one in enumerate(splits) if one is not None and one.held is not None}
    swapped = np.isin(np.arange(len(nodes)), list(members))
    values = [np.asarray(node.get("value", 0.0), np.float64).reshape(-1) for node in nodes]
    outputs = max(len(value) for value in values)
    return Tree(
        feature=np.asarray([-1 if one is None else one.column for one in splits]),
        threshold=np.asarray([0.0 if one is None else one.border for one in splits]),
        left=np.where(swapped, right, left),
        right=np.where(swapped, left, right),
        missing=turned([one is not None and one.missing for one in splits]),
        value=np.stack([np.broadcast_to(value, outputs) for value in values]),
        members=members,
    )
