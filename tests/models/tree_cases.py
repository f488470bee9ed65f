"""Small fitted ensembles of every library, and rows that sit where their comparisons flip."""

import dataclasses
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

FEATURES = 5
LEVELS = 7  # categories of the first column, where it has some


@dataclasses.dataclass(frozen=True)
class Case:
    """A way to fit a small ensemble.

    Args:
        fit: (rows, labels) -> the fitted model.
        library: The package it needs.
        classes: Of the labels.
        missing: Whether it was trained with missing values.
        named: Whether its first column holds categories.
        infinite: Whether the library takes infinities.
        probabilities: (model, rows) -> `(batch, classes)`; `predict_proba` unless given.
        zeros: Whether half of the values are zero.
    """

    name: str
    fit: Callable[[Any, Any], Any]
    library: str
    classes: int = 2
    missing: bool = False
    named: bool = False
    infinite: bool = True
    probabilities: Callable[[Any, Any], Any] | None = None
    zeros: bool = False

    def data(self, n=300, seed=0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(n, FEATURES)).astype(np.float32).astype(np.float64)
        signal = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * draw.normal(size=n)
        if self.named:
            x[:, 0] = draw.integers(0, LEVELS, size=n)
            signal = np.where(x[:, 0] % 3 == 1, 1.0, -0.5) + x[:, 1] + 0.3 * draw.normal(size=n)
        if self.zeros:
            x[draw.random(x.shape) < 0.5] = 0.0
        if self.missing:
            x[draw.random(x.shape) < 0.2] = np.nan
        order = np.argsort(np.argsort(signal))
        return x, (order * self.classes // n).astype(int)

    def fitted(self):
        pytest.importorskip(self.library)
        x, y = self.data()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.fit(x, y)

    def said(self, model, x):
        """What the library says of rows, `(batch, classes)`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray((self.probabilities or (lambda m, rows: m.predict_proba(rows)))(model, x))


def rows(case, trees, n=10_000, seed=1):
    """Values at thresholds, their neighbors in float32 and float64, ordinary ones, missing and infinite ones."""
    draw = np.random.default_rng(seed)
    x = 2 * draw.normal(size=(n, trees.features))
    for feature in range(trees.features):
        cuts = trees.threshold[(trees.feature == feature) & (trees.members < 0)]
        cuts = np.concatenate([cuts[np.abs(cuts) < 1e30], [0.0, -0.0, 1e-35, -1e-35, 1e-36, 3e-35]])
        narrow = cuts.astype(np.float32)
        near = [cuts, np.nextafter(cuts, np.inf), np.nextafter(cuts, -np.inf), narrow.astype(float)]
        steps = [np.nextafter(narrow, np.float32(end)).astype(float) for end in (np.inf, -np.inf)]
        near += [*steps, *((step + narrow) / 2 for step in steps)]
        near += [np.nextafter((step + narrow) / 2, end) for step in steps for end in (np.inf, -np.inf)]
        pool = np.concatenate(near)
        chosen = draw.random(n) < 0.7
        x[chosen, feature] = draw.choice(pool, chosen.sum())
    if case.named:
        x[:, 0] = draw.integers(-2, 3 * LEVELS, size=n)
        x[: n // 10, 0] = draw.choice([0.5, 1.5, -0.5, -1.0, 1e6, 3e9, -3e9], n // 10)
    strange = draw.random(x.shape)
    if case.missing:
        x[strange < 0.1] = np.nan
    if case.infinite and not case.named:
        x[strange > 0.98], x[strange > 0.99] = np.inf, -np.inf
    return x


def sk(name, folder="ensemble", **options):
    def fit(x, y):
        return getattr(importlib.import_module(f"sklearn.{folder}"), name)(random_state=0, **options).fit(x, y)

    return fit


def boosted_stumps(x, y):
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    return AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=8, random_state=0).fit(x, y)


def xgb(**options):
    def fit(x, y):
        import xgboost

        made = {"n_estimators": 8, "max_depth": 3, "n_jobs": 1, "learning_rate": 0.5, **options}
        stop = {"eval_set": [(x, 1 - y)], "verbose": False} if "early_stopping_rounds" in made else {}
        return xgboost.XGBClassifier(**made).fit(x, y, **stop)

    return fit


def lgb(categories="auto", **options):
    def fit(x, y):
        import lightgbm

        made = {"n_estimators": 8, "num_leaves": 8, "min_child_samples": 5, "n_jobs": 1, "verbose": -1, **options}
        return lightgbm.LGBMClassifier(**made).fit(x, y, categorical_feature=categories)

    return fit


def cat(**options):
    def fit(x, y):
        import catboost

        made = {"iterations": 8, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False, **options}
        return catboost.CatBoostClassifier(**made).fit(x, y)

    return fit


def worded(x):
    """Rows whose first column is whole numbers, as CatBoost takes categories."""
    found = x.astype(object)
    found[:, 0] = np.trunc(x[:, 0].astype(np.float32)).astype(np.int64)
    return found


def cat_named(**options):
    return lambda x, y: cat(cat_features=[0], one_hot_max_size=20, **options)(worded(x), y)


def margins(model, x):
    import xgboost

    return 1 / (1 + np.exp(-model.get_booster().predict(xgboost.DMatrix(x), output_margin=True).astype(float)))


NAMED = {"enable_categorical": True, "feature_types": ["c", "q", "q", "q", "q"], "max_cat_to_onehot": 3}
RARE = {"min_data_per_group": 5, "cat_smooth": 1, "categories": [0]}

CASES = [
    Case("tree", sk("DecisionTreeClassifier", "tree", max_depth=5), "sklearn", missing=True, infinite=False, classes=3),
    Case("extra tree", sk("ExtraTreeClassifier", "tree", max_depth=5), "sklearn", infinite=False),
    Case("forest", sk("RandomForestClassifier", n_estimators=9, max_depth=5), "sklearn", infinite=False),
    Case("forest, missing", sk("RandomForestClassifier", n_estimators=9), "sklearn", 3, missing=True, infinite=False),
    Case("extra trees", sk("ExtraTreesClassifier", n_estimators=9, max_depth=6), "sklearn", 4, infinite=False),
    Case("boosting", sk("GradientBoostingClassifier", n_estimators=9), "sklearn", infinite=False),
    Case("boosting, 3", sk("GradientBoostingClassifier", n_estimators=5), "sklearn", 3, infinite=False),
    Case(
        "boosting, exponential",
        sk("GradientBoostingClassifier", n_estimators=5, loss="exponential", init="zero"),
        "sklearn",
        infinite=False,
    ),
    Case("adaboost", boosted_stumps, "sklearn", infinite=False),
    Case("adaboost, 4", boosted_stumps, "sklearn", 4, infinite=False),
    Case("histogram", sk("HistGradientBoostingClassifier", max_iter=8, max_leaf_nodes=8), "sklearn"),
    Case("histogram, 3", sk("HistGradientBoostingClassifier", max_iter=8), "sklearn", 3, missing=True),
    Case(
        "histogram, named",
        sk("HistGradientBoostingClassifier", max_iter=8, categorical_features=[0], min_samples_leaf=5),
        "sklearn",
        missing=True,
        named=True,
    ),
    Case("xgboost", xgb(), "xgboost", infinite=False),
    Case("xgboost, missing", xgb(), "xgboost", 3, missing=True, infinite=False),
    Case("xgboost, named", xgb(**NAMED), "xgboost", missing=True, named=True, infinite=False),
    Case("xgboost, named, 3", xgb(**NAMED), "xgboost", 3, named=True, infinite=False),
    Case("xgboost, forest", xgb(num_parallel_tree=3, subsample=0.5, colsample_bynode=0.5), "xgboost", infinite=False),
    Case("xgboost, dart", xgb(booster="dart", rate_drop=0.5), "xgboost", infinite=False),
    Case("xgboost, stopped", xgb(early_stopping_rounds=2), "xgboost", infinite=False),
    Case("xgboost, raw", xgb(objective="binary:logitraw"), "xgboost", infinite=False, probabilities=margins),
    Case("lightgbm", lgb(), "lightgbm"),
    Case("lightgbm, missing", lgb(), "lightgbm", 3, missing=True),
    Case("lightgbm, unseen missing", lgb(), "lightgbm", 3),
    Case("lightgbm, zeros", lgb(zero_as_missing=True), "lightgbm", missing=True, zeros=True),
    Case("lightgbm, no missing", lgb(use_missing=False), "lightgbm", missing=True),
    Case("lightgbm, named", lgb(**RARE), "lightgbm", missing=True, named=True),
    Case("lightgbm, named, 3", lgb(**RARE), "lightgbm", 3, named=True),
    Case("lightgbm, forest", lgb(boosting_type="rf", subsample=0.5, subsample_freq=1), "lightgbm"),
    Case("lightgbm, one against all", lgb(objective="multiclassova", sigmoid=2.0), "lightgbm", 3),
    Case("catboost", cat(), "catboost"),
    Case("catboost, missing", cat(nan_mode="Min"), "catboost", 3, missing=True),
    Case("catboost, missing above", cat(nan_mode="Max"), "catboost", missing=True),
    Case(
        "catboost, named",
        cat_named(),
        "catboost",
        named=True,
        infinite=False,
        probabilities=lambda model, x: model.predict_proba(worded(x)),
    ),
    Case(
        "catboost, named, leaves",
        cat_named(grow_policy="Lossguide"),
        "catboost",
        named=True,
        infinite=False,
        probabilities=lambda model, x: model.predict_proba(worded(x)),
    ),
    Case("catboost, leaves", cat(grow_policy="Lossguide"), "catboost"),
    Case("catboost, one against all", cat(loss_function="MultiClassOneVsAll"), "catboost", 3),
]
