"""What the robust tree classifiers of two classes have in common, after scikit-learn's manner."""

import abc
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y

from holdfast.core.errors import DataError, ParameterError, ThreatError
from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import Tree, plant

Array = NDArray[Any]
LIBRARY = "holdfast"


class RobustTreesClassifier(ClassifierMixin, BaseEstimator, abc.ABC):  # type: ignore[misc]
    """Trees of two classes that are learned against moves of up to `radius` in each column.

    `hf.wrap` reads `trees_`, so `hf.exact_distance` measures what came of it. `reach_` is how far each column may move,
    `(features,)`.
    """

    radius: float | Array
    trees_: Trees

    def fit(self, x: Array, y: Array) -> "RobustTreesClassifier":
        """Learn from rows `(n, features)` and labels `(n,)`.

        Raises:
            ParameterError: HF001 for a radius that is none.
            DataError: HF155 for other than two classes.
        """
        rows, label = check_X_y(x, y, dtype=np.float64)
        self.classes_, code = two(label)
        self.n_features_in_ = rows.shape[1]
        self.reach_ = reach_of(self.radius, rows.shape[1])
        self.trees_ = self._learned(rows, code)
        return self

    @abc.abstractmethod
    def _learned(self, rows: Array, code: Array) -> Trees:
        """The trees of rows `(n, features)` whose classes are 0 or 1, `(n,)`."""

    def predict_proba(self, x: Array) -> Array:
        """What the trees give each class, `(n, 2)`: mean shares of a forest, of a sum what its sigmoid says."""
        check_is_fitted(self)
        return self.trees_.scores(np.asarray(check_array(x), np.float64))

    def predict(self, x: Array) -> Array:
        """The class that is given most, `(n,)`; the first where both are given the same."""
        best = self.predict_proba(x).argmax(1)
        found: Array = self.classes_[best]
        return found

    def _asked(self, x: Array, y: Array, radius: float | Array | None) -> tuple[Array, Array, Array]:
        """Rows, signs of their labels `(n,)` and reach `(features,)`, as somebody asks for a certificate.

        Raises:
            ParameterError: HF001 for a radius that is none.
            ThreatError: HF305 for labels that were not learned.
        """
        check_is_fitted(self)
        rows, label = np.asarray(check_array(x), np.float64), np.asarray(y)
        strange = label[~np.isin(label, self.classes_)]
        if len(strange):
            raise ThreatError(
                "HF305", "A label that was not learned", seen=strange[:3], expected=self.classes_.tolist()
            )
        reach = self.reach_ if radius is None else reach_of(radius, self.n_features_in_)
        return rows, np.where(label == self.classes_[1], 1.0, -1.0), reach


def summed(made: list[Tree], features: int) -> Trees:
    """Trees whose sum F decides by its sign; its probability is sigmoid(2 F), as the exponential loss means it."""
    return plant(made, library=LIBRARY, features=features, base=np.zeros(1), slope=2.0, link="sigmoid")


def two(label: Array) -> tuple[Array, Array]:
    """The two classes, and 0 or 1 for each sample.

    Raises:
        DataError: HF155 for more or fewer.
    """
    classes, code = np.unique(label, return_inverse=True)
    if len(classes) != 2:
        raise not_two(len(classes))
    return classes, code.reshape(-1).astype(np.int64)


def not_two(classes: int) -> DataError:
    """HF155, for that many classes."""
    return DataError(
        "HF155",
        "Trees that are robust by their splits tell two classes apart",
        seen=f"{classes} classes",
        expected="two",
        fix="AdversarialRounds serves any number of classes",
    )


def reach_of(radius: float | Array, columns: int) -> Array:
    """How far each column may move, `(columns,)`.

    Raises:
        ParameterError: HF001 for a radius that is negative or no number, or another number of them.
    """
    found = np.asarray(radius, np.float64)
    if found.shape not in ((), (columns,)) or not (np.isfinite(found) & (found >= 0)).all():
        raise ParameterError(
            "HF001",
            "The 'radius' parameter says how far columns move",
            seen=f"{radius!r:.80}",
            expected=f"a finite number from 0 up, or one for each of {columns} columns",
        )
    return np.broadcast_to(found, columns).copy()
