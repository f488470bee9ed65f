"""scikit-learn's trees, forests, gradient boosting and AdaBoost; inputs are rounded to float32, `<=` decides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.form import Trees
from holdfast.models.trees.histogram import read_histogram
from holdfast.models.trees.planting import Tree, plant, refused, spread, turned

LIBRARY = "scikit-learn"


def reads(estimator: Any) -> bool:
    """Whether a classifier is one that `read` knows."""
    return type(estimator).__name__ in _READERS and type(estimator).__module__.startswith("sklearn.")


def read(estimator: Any) -> Trees:
    """The arrays of a fitted classifier.

    Raises:
        ModelError: HF270 for several labels at once, for one class, for boosting that starts from a model, and for
            AdaBoost over anything but trees.
    """
    return _READERS[type(estimator).__name__](estimator)


def _forest(estimator: Any) -> Trees:
    members = getattr(estimator, "estimators_", [estimator])
    if estimator.n_outputs_ != 1:
        raise refused(LIBRARY, f"{estimator.n_outputs_} labels at once", "one")
    _several(estimator)
    trees = [_tree(member, member.tree_.value[:, 0, :]) for member in members]
    return plant(
        trees,
        library=LIBRARY,
        features=estimator.n_features_in_,
        base=np.zeros(estimator.n_classes_),
        dtype="float32",
        divisor=float(len(trees)),
    )


def _boosting(estimator: Any) -> Trees:
    if estimator.init_ != "zero" and type(estimator.init_).__name__ != "DummyClassifier":
        raise refused(LIBRARY, f"boosting that starts from {type(estimator.init_).__name__}", "init=None or 'zero'")
    base = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))[0]
    trees = [
        _tree(member, spread(estimator.learning_rate * member.tree_.value[:, 0, 0], output, len(base)))
        for stage in estimator.estimators_
        for output, member in enumerate(stage)
    ]
    return plant(
        trees,
        library=LIBRARY,
        features=estimator.n_features_in_,
        base=base,
        dtype="float32",
        slope=2.0 if estimator.loss == "exponential" else 1.0,
        link="sigmoid" if len(base) == 1 else "softmax",
    )


def _adaboost(estimator: Any) -> Trees:
    """SAMME (Zhu, Zou, Rosset and Hastie 2009): a tree gives its weight to its class and takes a share off the rest."""
    _several(estimator)
    classes, trees = estimator.n_classes_, []
    weights = estimator.estimator_weights_[: len(estimator.estimators_)]
    for member, weight in zip(estimator.estimators_, weights, strict=True):
        if not hasattr(member, "tree_"):
            raise refused(LIBRARY, f"AdaBoost over {type(member).__name__}", "AdaBoost over decision trees")
        value = member.tree_.value[:, 0, :]
        said = np.searchsorted(estimator.classes_, member.classes_[value.argmax(1)])
        votes = np.where(np.arange(classes) == said[:, None], weight, -1.0 / (classes - 1) * weight)
        trees.append(_tree(member, votes))
    return plant(
        trees,
        library=LIBRARY,
        features=estimator.n_features_in_,
        base=np.zeros(classes),
        dtype="float32",
        divisor=float(estimator.estimator_weights_.sum()),
        slope=1.0 / (classes - 1),
        link="softmax",
    )


def _several(estimator: Any) -> None:
    if estimator.n_classes_ < 2:
        raise refused(LIBRARY, "one class", "two or more")


def _tree(member: Any, value: NDArray[Any]) -> Tree:
    tree = member.tree_
    return Tree(
        feature=np.where(tree.children_left < 0, -1, tree.feature),
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        missing=turned(tree.missing_go_to_left),
        value=value,
    )


_READERS = {
    "DecisionTreeClassifier": _forest,
    "ExtraTreeClassifier": _forest,
    "RandomForestClassifier": _forest,
    "ExtraTreesClassifier": _forest,
    "GradientBoostingClassifier": _boosting,
    "HistGradientBoostingClassifier": read_histogram,
    "AdaBoostClassifier": _adaboost,
}
