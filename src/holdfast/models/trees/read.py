"""One door for tree ensembles: which reader knows a model."""

import functools
import sys
from collections.abc import Callable
from typing import Any

from holdfast.models.trees.form import Trees


def library_of(model: Any) -> str | None:
    """Which library's reader knows a model; None for anything else. Imports nothing that is not there already."""
    for kind in type(model).__mro__:
        top = kind.__module__.partition(".")[0]
        if (top, kind.__name__) in _KNOWN:
            return top
    if "sklearn" in sys.modules:
        from holdfast.models.trees import sklearn

        return "sklearn" if sklearn.reads(model) else None
    return None


def read(model: Any) -> Trees:
    """The arrays of a fitted tree ensemble, through the library's own dump; no pickle is opened.

    Args:
        model: A tree, forest, gradient boosting or AdaBoost classifier of scikit-learn; a Booster or classifier of
            XGBoost or LightGBM; a CatBoostClassifier; a robust forest of holdfast.learning.

    Raises:
        ModelError: HF270 for anything else, and for what the form does not hold.
    """
    from holdfast.models.trees import catboost, lightgbm, sklearn, xgboost
    from holdfast.models.trees.planting import refused

    library = library_of(model)
    if library is None:
        raise refused(type(model).__module__.partition(".")[0], type(model).__name__, "a classifier made of trees")
    if library == "holdfast":
        found: Trees = model.trees_
        return found
    readers = {"sklearn": sklearn.read, "xgboost": xgboost.read, "lightgbm": lightgbm.read, "catboost": catboost.read}
    return readers[library](model)


def reader_of(model: Any) -> Callable[[], Trees] | None:
    """What reads a model's arrays at its first call and keeps them; None for anything but a known tree ensemble."""
    return None if library_of(model) is None else functools.cache(functools.partial(read, model))


_KNOWN = {
    ("xgboost", "Booster"),
    ("xgboost", "XGBClassifier"),
    ("lightgbm", "Booster"),
    ("lightgbm", "LGBMClassifier"),
    ("catboost", "CatBoostClassifier"),
    ("holdfast", "RobustForestClassifier"),
    ("holdfast", "RobustStumpsClassifier"),
    ("holdfast", "RobustBoostingClassifier"),
}
