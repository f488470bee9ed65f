"""scikit-learn's HistGradientBoostingClassifier: float64, `<=`, missing values, sets of categories."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import Tree, plant, refused, spread, turned

LIBRARY = "scikit-learn"


def read_histogram(estimator: Any, words: bool = False) -> Trees:
    """The arrays of a fitted classifier; its fitted trees stand in attributes that scikit-learn keeps to itself.

    Args:
        estimator: Fitted.
        words: Whether categories stand as their codes; else they are the numbers that they were.

    Raises:
        ModelError: HF270 for categories that are no numbers.
    """
    base = np.asarray(estimator._baseline_prediction, np.float64).reshape(-1)
    order, levels = _encoded(estimator, words)
    trees = [
        _tree(predictor, output, len(base), order, levels)
        for stage in estimator._predictors
        for output, predictor in enumerate(stage)
    ]
    categorical = np.zeros(estimator.n_features_in_, bool)
    categorical[list(levels)] = True
    return plant(
        trees,
        library=LIBRARY,
        features=estimator.n_features_in_,
        base=base,
        categorical=categorical,
        levels=levels,
        link="sigmoid" if len(base) == 1 else "softmax",
    )


def _encoded(estimator: Any, words: bool) -> tuple[NDArray[np.int64], dict[int, NDArray[np.float64]]]:
    """Column of the input by column of the trees, and the categories of each categorical column in order of code."""
    flags = estimator.is_categorical_
    if flags is None:
        return np.arange(estimator.n_features_in_), {}
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    names = np.flatnonzero(flags)
    levels = {}
    for column, known in zip(names, encoder.categories_, strict=True):
        if words:
            gaps = [value is None or value != value for value in known]
            levels[int(column)] = np.arange(len(known) - sum(gaps), dtype=np.float64)
            continue
        if np.asarray(known).dtype.kind not in "biuf":
            raise refused(LIBRARY, f"categories such as {known[0]!r:.40} in column {column}", "categories as numbers")
        found = np.asarray(known, np.float64)
        levels[int(column)] = found[~np.isnan(found)]
    return np.concatenate([names, np.flatnonzero(~flags)]), levels


def _tree(
    predictor: Any, output: int, outputs: int, order: NDArray[np.int64], levels: dict[int, NDArray[np.float64]]
) -> Tree:
    """A category that was not there in training goes where missing values go: left ones are turned around for it."""
    nodes = predictor.nodes
    leaf, feature = nodes["is_leaf"].astype(bool), order[nodes["feature_idx"]]
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    missing, members = nodes["missing_go_to_left"].astype(bool), {}
    for node in np.flatnonzero(~leaf & nodes["is_categorical"].astype(bool)):
        words = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        held = {code for code in range(len(levels[feature[node]])) if (int(words[code // 32]) >> (code % 32)) & 1}
        if missing[node]:
            held = set(range(len(levels[feature[node]]))) - held
            left[node], right[node], missing[node] = right[node], left[node], False
        members[int(node)] = sorted(held)
    return Tree(
        feature=np.where(leaf, -1, feature),
        threshold=nodes["num_threshold"],
        left=left,
        right=right,
        missing=turned(missing),
        value=spread(nodes["value"], output, outputs),
        members=members,
    )
