"""Estimators behind models: which one answers, whether it is fitted, one to learn anew with, and what it reads."""

import contextlib
import json
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.models.model import Model
from holdfast.models.source import source_of
from holdfast.models.tables import feed_of, takes_codes
from holdfast.models.trees.read import library_of, read
from holdfast.threats.space import Box
from holdfast.threats.tables.tabular import Tabular

BOOSTING = ("xgboost", "lightgbm", "catboost")
REFUSED = '[]<>{},:"'  # signs in names of columns, by XGBoost or LightGBM
KEPT_CATBOOST = ("iterations", "depth", "learning_rate", "l2_leaf_reg", "border_count", "grow_policy", "loss_function")


def estimator_of(model: Model) -> Any:
    """The fitted estimator that answers for a wrapped model; None for networks, functions and guarded models."""
    source = source_of(model)
    return None if source is None else source.origin


def is_estimator(x: object) -> bool:
    """Whether it is an estimator of scikit-learn or of a boosting library, fitted or not; a Booster is one too."""
    if isinstance(x, type):
        return False
    if library_of(x) in BOOSTING:
        return True
    if "sklearn" not in sys.modules:
        return False
    from sklearn.base import BaseEstimator

    return isinstance(x, BaseEstimator)


def is_fitted(estimator: Any) -> bool:
    """Whether it has learned."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    library, kind = library_of(estimator), type(estimator).__name__
    if library == "catboost":
        return bool(estimator.is_fitted())
    if library in BOOSTING and kind == "Booster":
        return True
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):  # TypeError: nothing with `fit`
        return False
    return True


def trees_in(estimator: Any) -> bool:
    """Whether it is an ensemble of trees by itself, whatever it is fitted on; a Pipeline is none."""
    return library_of(estimator) is not None


def learnable(estimator: Any) -> tuple[Any, str]:
    """An estimator that learns like this one, and a remark on settings that are not known; empty where all are.

    A Booster, which is what files of XGBoost and LightGBM hold, knows no `fit`: a classifier of its library stands for
    it, with the settings that the file keeps.

    Raises:
        ModelError: HF223 for a Booster whose settings cannot be read.
    """
    library = library_of(estimator)
    if library == "catboost" and estimator.is_fitted() and not estimator.get_params():
        return _catboost(estimator), ""
    if type(estimator).__name__ != "Booster" or library not in BOOSTING:
        return estimator, ""
    return _xgboost(estimator) if library == "xgboost" else (_lightgbm(estimator), "")


def rows_for(estimator: Any, space: Box, x: np.ndarray) -> Any:
    """Inputs `(n, ...)` in the form that a fitted estimator takes: raw rows of a table, columns by name, an array.

    None for an estimator stands for one that takes an array of numbers.

    Raises:
        ModelError: HF280 where it was fitted on other columns than the schema has.
    """
    names = None if estimator is None else known_columns(estimator)
    if isinstance(space, Tabular) and not (names is None and takes_codes(estimator, space.schema)):
        return feed_of(estimator, space)(x)
    rows = x.reshape(len(x), -1).astype(np.float64)
    return rows if names is None else need("pandas", "pandas").DataFrame(rows, columns=list(names))


def takes_names(estimator: Any, names: Iterable[str]) -> bool:
    """Whether an estimator may be fitted on columns with these names: boosting libraries refuse some signs."""
    return library_of(estimator) not in BOOSTING or not any(sign in name for name in names for sign in REFUSED)


def known_columns(estimator: Any) -> Any:
    """The names of the columns that it was fitted on; None where they had none."""
    with contextlib.suppress(AttributeError):
        return estimator.feature_names_in_
    return None


def _xgboost(booster: Any) -> tuple[Any, str]:
    """XGBoost's files keep trees and objective, not the settings that grew them: how many there are, how deep."""
    learner = json.loads(booster.save_config())["learner"]
    trees = learner["gradient_booster"].get("tree_train_param")
    if learner["gradient_booster"]["name"] != "gbtree" or trees is None:
        raise ModelError(
            "HF223",
            "The settings of this Booster cannot be read",
            seen=learner["gradient_booster"]["name"],
            expected="gbtree",
            fix="give the classifier: hf.harden(XGBClassifier(...), data, threat=...)",
        )
    deep = _depth(read(booster))
    rounds = booster.num_boosted_rounds()
    made = need("xgboost", "boosting").XGBClassifier(
        n_estimators=rounds,
        max_depth=deep,
        learning_rate=float(trees["eta"]),
        n_jobs=1,
        objective=learner["objective"]["name"],
    )
    return made, (
        f"XGBoost's files do not keep every setting: learned again with {rounds} rounds of depth {deep}, as its trees "
        f"have, and a learning rate of {float(trees['eta']):.3g}; hf.harden(XGBClassifier(...), ...) takes yours."
    )


def _depth(trees: Any) -> int:
    """Questions on the longest way of any tree."""
    inner, level, depth = trees.feature >= 0, trees.roots[trees.feature[trees.roots] >= 0], 0
    while len(level):
        depth += 1
        below = np.concatenate([trees.left[level], trees.right[level]])
        level = below[inner[below]]
    return max(depth, 1)


def _lightgbm(booster: Any) -> Any:
    """LightGBM's files keep all settings."""
    library = need("lightgbm", "boosting")
    plain, booster = library.LGBMClassifier(), library.Booster(model_str=booster.model_to_string())
    own = {"objective", "num_class", "num_iterations", "verbosity", "num_threads", "metric"}
    known = {k: v for k, v in booster.params.items() if k not in own and v not in ([], None, "")}
    names = {
        "learning_rate": "learning_rate", "num_leaves": "num_leaves", "max_depth": "max_depth",
        "min_data_in_leaf": "min_child_samples", "min_sum_hessian_in_leaf": "min_child_weight",
        "bagging_fraction": "subsample", "bagging_freq": "subsample_freq", "feature_fraction": "colsample_bytree",
        "lambda_l1": "reg_alpha", "lambda_l2": "reg_lambda", "min_gain_to_split": "min_split_gain",
        "boosting": "boosting_type", "scale_pos_weight": "scale_pos_weight", "is_unbalance": "is_unbalance",
    }  # fmt: skip
    values = {names[key]: value for key, value in known.items() if key in names}
    return plain.set_params(**values, n_estimators=booster.current_iteration(), verbose=-1, n_jobs=1)


def _catboost(model: Any) -> Any:
    """CatBoost's files keep all settings."""
    known = model.get_all_params()
    values = {key: known[key] for key in KEPT_CATBOOST if key in known}
    return need("catboost", "catboost").CatBoostClassifier(**{**values, "iterations": model.tree_count_})
