"""LightGBM: double, `<=`, three kinds of missing values, sets of categories; from `dump_model`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.form import LEFT, RIGHT, TINY, ZERO, Trees
from holdfast.models.trees.planting import Tree, plant, refused, spread

LIBRARY = "lightgbm"


def booster_of(model: Any) -> Any:
    """The Booster of a classifier, or the Booster itself."""
    return model.booster_ if hasattr(type(model), "booster_") else model


def objective_of(booster: Any) -> str:
    """`binary`, `multiclass` and the like."""
    return str(booster.dump_model(num_iteration=1).get("objective", "none")).partition(" ")[0]


def read(model: Any) -> Trees:
    """The arrays of a Booster or an LGBMClassifier.

    Raises:
        ModelError: HF270 for objectives that do not classify and for linear trees.
    """
    dump = booster_of(model).dump_model()
    name, *words = str(dump.get("objective", "none")).split()
    if name not in ("binary", "multiclass", "multiclassova"):
        raise refused(LIBRARY, f"the objective {name}", "binary, multiclass or multiclassova")
    options = dict(word.split(":") for word in words if ":" in word)
    outputs, trees = int(dump["num_tree_per_iteration"]), dump["tree_info"]
    return plant(
        [_tree(tree["tree_structure"], i % outputs, outputs) for i, tree in enumerate(trees)],
        library=LIBRARY,
        features=int(dump["max_feature_idx"]) + 1,
        base=np.zeros(outputs),
        fractions=True,
        divisor=float(len(trees) // outputs) if dump["average_output"] else 1.0,
        slope=float(options.get("sigmoid", 1.0)),
        link="softmax" if name == "multiclass" else "sigmoid",
    )


def _tree(root: dict[str, Any], output: int, outputs: int) -> Tree:
    nodes: list[dict[str, Any]] = [root]
    left, right = [], []
    for node in nodes:  # grows while it is walked
        if "split_feature" not in node:
            if "leaf_const" in node:
                raise refused(LIBRARY, "linear trees", "linear_tree=False")
            left.append(-1)
            right.append(-1)
            continue
        left.append(len(nodes))
        right.append(len(nodes) + 1)
        nodes += [node["left_child"], node["right_child"]]
    named = [node.get("decision_type") == "==" for node in nodes]
    return Tree(
        feature=np.asarray([node.get("split_feature", -1) for node in nodes]),
        threshold=_flushed(
            np.asarray([0.0 if n else node.get("threshold", 0.0) for node, n in zip(nodes, named, strict=True)])
        ),
        left=np.asarray(left),
        right=np.asarray(right),
        missing=np.asarray([RIGHT if name else _missing(node) for node, name in zip(nodes, named, strict=True)]),
        zeros=np.asarray([not n and d.get("missing_type") == "Zero" for d, n in zip(nodes, named, strict=True)]),
        value=spread(np.asarray([node.get("leaf_value", 0.0) for node in nodes]), output, outputs),
        members={
            i: [int(code) for code in str(node["threshold"]).split("||")]
            for i, (node, name) in enumerate(zip(nodes, named, strict=True))
            if name
        },
    )


def _flushed(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers no larger than TINY are read as zero on the way in: a threshold among them is moved to their edge."""
    below = np.where(threshold < 0, np.nextafter(-TINY, -np.inf), TINY)
    return np.where(np.abs(threshold) <= TINY, below, threshold)


def _missing(node: dict[str, Any]) -> int:
    """Where NaN goes at a threshold: it is read as zero where training saw none."""
    if node.get("missing_type", "None") == "None":
        return ZERO
    return LEFT if node["default_left"] else RIGHT
