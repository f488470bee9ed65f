"""CatBoost: float32, a value above the border goes right, trees with one split a level; from its own JSON."""

import json
import pathlib
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import Tree, plant, refused, turned

LIBRARY = "catboost"
LINKS = {"Logloss": "sigmoid", "CrossEntropy": "sigmoid", "MultiClass": "softmax", "MultiClassOneVsAll": "sigmoid"}
"""The losses that decide between classes."""


def saved(model: Any, kind: str) -> bytes:
    """The file that CatBoost writes of a model, "json" or "cbm"."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"model.{kind}"
        model.save_model(str(path), format=kind)
        return path.read_bytes()


def read(model: Any) -> Trees:
    """The arrays of a CatBoostClassifier whose features are all numbers.

    Raises:
        ModelError: HF270 for losses that do not classify and for features that are categories or text.
    """
    dump = json.loads(saved(model, "json"))
    loss, features = str(dump["model_info"]["params"]["loss_function"]["type"]), dump["features_info"]
    if loss not in LINKS:
        raise refused(LIBRARY, f"the loss {loss}", ", ".join(LINKS))
    others = [kind for kind in features if kind.endswith("_features") and kind != "float_features" and features[kind]]
    if others:
        raise refused(LIBRARY, f"{others[0].replace('_', ' ')}", "numbers only", "encode categories before training")
    scale, bias = dump["scale_and_bias"]
    base = np.asarray(bias, np.float64).reshape(-1)
    floats = features["float_features"]
    columns = np.asarray([one["flat_feature_index"] for one in floats])
    missing = [one["nan_value_treatment"] != "AsTrue" for one in floats]
    if "oblivious_trees" in dump:
        trees = [_levels(tree, len(base), columns, missing) for tree in dump["oblivious_trees"]]
    else:
        trees = [_nested(tree, columns, missing) for tree in dump["trees"]]
    return plant(
        trees,
        library=LIBRARY,
        features=len(model.feature_names_),
        base=np.zeros(len(base)),
        dtype="float32",
        scale=float(scale),
        shift=base,
        link=LINKS[loss],
    )


def _levels(tree: dict[str, Any], outputs: int, columns: NDArray[Any], missing: list[bool]) -> Tree:
    """Node i of a level has the children 2 i + 1 and 2 i + 2; bit j of a leaf's number is the answer to split j."""
    splits = tree["splits"] or []
    depth = len(splits)
    inner = 2**depth - 1
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth)) if depth else np.zeros(0, np.int64)
    index = np.asarray([split["float_feature_index"] for split in splits], np.int64)
    border = np.asarray([split["border"] for split in splits], np.float64)
    leaves = np.arange(2**depth)
    number = sum((((leaves >> (depth - 1 - j)) & 1) << j for j in range(depth)), np.zeros(2**depth, np.int64))
    value = np.zeros((inner + 2**depth, outputs))
    value[inner:] = np.asarray(tree["leaf_values"], np.float64).reshape(2**depth, outputs)[number]
    pad, nodes = np.zeros(2**depth), np.arange(inner + 2**depth)
    goes = np.asarray([missing[i] for i in index], bool)
    return Tree(
        feature=np.concatenate([columns[index[level]], pad - 1]) if depth else pad - 1,
        threshold=np.concatenate([border[level], pad]) if depth else pad,
        left=2 * nodes + 1,
        right=2 * nodes + 2,
        missing=turned(np.concatenate([goes[level], pad]) if depth else pad),
        value=value,
    )


def _nested(root: dict[str, Any], columns: NDArray[Any], missing: list[bool]) -> Tree:
    """A tree that is not the same on every level."""
    nodes, left, right = [root], [], []
    for node in nodes:  # grows while it is walked
        inner = "split" in node
        left.append(len(nodes) if inner else -1)
        right.append(len(nodes) + 1 if inner else -1)
        nodes += [node["left"], node["right"]] if inner else []
    index = [node["split"]["float_feature_index"] if "split" in node else -1 for node in nodes]
    values = [np.asarray(node.get("value", 0.0), np.float64).reshape(-1) for node in nodes]
    outputs = max(len(value) for value in values)
    return Tree(
        feature=np.asarray([columns[i] if i >= 0 else -1 for i in index]),
        threshold=np.asarray([node["split"]["border"] if "split" in node else 0.0 for node in nodes]),
        left=np.asarray(left),
        right=np.asarray(right),
        missing=turned([i >= 0 and missing[i] for i in index]),
        value=np.stack([np.broadcast_to(value, outputs) for value in values]),
    )
