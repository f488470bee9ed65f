"""XGBoost: float32, `<`, a default direction for missing values, sets of categories; from its own JSON."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import Tree, plant, refused, spread, turned

LIBRARY = "xgboost"
LINKS: dict[str, str] = {
    "binary:logistic": "sigmoid",
    "binary:logitraw": "sigmoid",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
}
"""The objectives that decide between classes."""


def booster_of(model: Any) -> Any:
    """The Booster that a classifier answers with: the trees up to its best round where it was stopped early."""
    if not hasattr(model, "get_booster"):
        return model
    booster = model.get_booster()
    try:
        return booster[: model.best_iteration + 1]
    except AttributeError:  # not stopped early
        return booster


def objective_of(booster: Any) -> str:
    """`binary:logistic` and the like."""
    return str(json.loads(booster.save_config())["learner"]["objective"]["name"])


def read(model: Any) -> Trees:
    """The arrays of a Booster or an XGBClassifier.

    Raises:
        ModelError: HF270 for objectives that do not classify, linear boosters, trees with several outputs, and a
            classifier that takes another number than NaN for missing.
    """
    if not np.isnan(getattr(model, "missing", np.nan)):
        raise refused(LIBRARY, f"missing={model.missing}", "missing=nan", "set those values to NaN and refit")
    learner = json.loads(booster_of(model).save_raw("json"))["learner"]
    objective, shape = learner["objective"]["name"], learner["learner_model_param"]
    if objective not in LINKS:
        raise refused(LIBRARY, f"the objective {objective}", ", ".join(LINKS))
    outputs = max(int(shape["num_class"]), 1)
    forest, weights = _forest(learner["gradient_booster"])
    trees = [
        _tree(tree, int(output), outputs, weight)
        for tree, output, weight in zip(forest["trees"], forest["tree_info"], weights, strict=True)
    ]
    return plant(
        trees,
        library=LIBRARY,
        features=int(shape["num_feature"]),
        base=_base(shape["base_score"], objective, outputs),
        operator="<",
        dtype="float32",
        precision="float32",
        link=LINKS[objective],
    )


def _forest(booster: dict[str, Any]) -> tuple[dict[str, Any], list[np.float32]]:
    """The model of trees, and what each tree counts: DART (Vinayak and Gilad-Bachrach 2015) weighs them."""
    if booster["name"] not in ("gbtree", "dart"):
        raise refused(LIBRARY, f"the booster {booster['name']}", "gbtree or dart")
    if booster["name"] == "dart":
        return booster["gbtree"]["model"], [np.float32(w) for w in booster["weight_drop"]]
    return booster["model"], [np.float32(1)] * len(booster["model"]["trees"])


def _base(text: str, objective: str, outputs: int) -> NDArray[np.float64]:
    """Before the first tree, in the units of the sums; kept as a probability for a sigmoid, 1e-6 from 0 and 1."""
    base = np.asarray([float(word) for word in str(text).strip("[]").split(",")], np.float32)
    if objective == "binary:logistic":
        edge = np.float32(1e-6)  # labels of one class are 0 or 1 in its file
        odds = np.float32(1) / base.clip(edge, np.float32(1) - edge) - np.float32(1)
        base = -np.log(odds.astype(np.float64)).astype(np.float32)  # numpy's log of float32 may be a last place off
    return np.broadcast_to(base.astype(np.float64), outputs)


def _tree(tree: dict[str, Any], output: int, outputs: int, weight: np.float32) -> Tree:
    """The categories of a node go right; so its children change places, and the default direction with them."""
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise refused(LIBRARY, "trees with several outputs", "multi_strategy='one_output_per_tree'")
    left, right = np.asarray(tree["left_children"], np.int64), np.asarray(tree["right_children"], np.int64)
    threshold = np.asarray(tree["split_conditions"], np.float32)
    missing, leaf = np.asarray(tree["default_left"], bool), left < 0
    members = {}
    for node, start, size in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        members[node] = tree["categories"][start : start + size]
        left[node], right[node], missing[node] = right[node], left[node], not missing[node]
    return Tree(
        feature=np.where(leaf, -1, np.asarray(tree["split_indices"])),
        threshold=threshold.astype(np.float64),
        left=left,
        right=right,
        missing=turned(missing),
        value=spread(threshold * weight, output, outputs),
        members=members,
    )
