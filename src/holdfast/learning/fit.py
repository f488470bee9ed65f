"""Learning with a scikit-learn estimator."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError, ModelError
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.models.estimators import is_fitted, rows_for, takes_names
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.threshold import Threshold
from holdfast.models.trees.read import library_of
from holdfast.models.wrap import wrap
from holdfast.threats.tables.tabular import Tabular

SEEDS = ("random_state", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit(Learner):
    """A clone of `estimator` is fitted on flattened float64 inputs; the given one is not touched.

    Where the data have a schema, it is fitted on the raw rows, as a data frame. Where the given one is fitted already,
    the clone learns from rows of its kind (columns by name, or an array) and says its words for the classes.

    Args:
        estimator: Any scikit-learn classifier, also a Pipeline, or one of XGBoost, LightGBM or CatBoost; every
            `random_state` and `seed` in it gets the seed.
        threshold: Where the model decides a class, as of `hf.wrap`; the highest score decides without it.
    """

    estimator: object
    threshold: Threshold | None = None

    @property
    def weighable(self) -> bool:
        """Whether the estimator takes sample weights; a Pipeline does not."""
        from sklearn.utils.validation import has_fit_parameter

        return bool(has_fit_parameter(self.estimator, "sample_weight"))

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, weights: Tensor | None = None) -> Model:
        """A settled model.

        Args:
            dataset: What to learn from.
            seed: Of every `random_state` and `seed` of the estimator.
            on_event: Not told anything: scikit-learn says nothing on its way.
            weights: Of the samples, `(n,)`, where the estimator is `weighable`.

        Raises:
            ModelError: HF220 where a class has no sample (class i would then no longer be label i), HF208 where the
                estimator is no classifier, HF222 where it cannot learn from these rows.
        """
        from sklearn.base import clone

        found = torch.unique(dataset.y)
        if len(found) != dataset.n_classes:
            raise ModelError(
                "HF220",
                "A class has no sample to learn from",
                seen=f"labels {found.tolist()[:10]}",
                expected=f"at least one sample of each of {dataset.n_classes} classes",
            )
        estimator: Any = clone(self.estimator)
        names = [name for name in estimator.get_params() if name.rpartition("__")[2] in SEEDS]
        estimator.set_params(**dict.fromkeys(names, seed % 2**32), **_quiet(estimator))
        more = {} if weights is None else {"sample_weight": weights.double().numpy()}
        rows, labels = self._learned_from(dataset)
        try:
            estimator.fit(rows, labels, **more)
        except HoldfastError:
            raise
        except Exception as error:  # each library has kinds of its own for data that it does not take
            raise ModelError(
                "HF222",
                f"{type(estimator).__name__} cannot learn from these rows",
                seen=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}",
                fix="put an encoder or an imputer in front: make_pipeline(make_column_transformer(...), classifier)",
            ) from error
        space = dataset.space if dataset.schema else dataset.bounds
        return settle(wrap(estimator, space, threshold=self.threshold), dataset.x)

    def _learned_from(self, dataset: Dataset) -> tuple[Any, Any]:
        """Rows and labels; as the given estimator has them, where it is fitted."""
        space, x, labels = dataset.space, dataset.x.numpy(), dataset.y.numpy()
        if not is_fitted(self.estimator):
            named = isinstance(space, Tabular) and takes_names(self.estimator, space.schema.by_name)
            return space.frame(x) if named and isinstance(space, Tabular) else rows_for(None, space, x), labels
        words = getattr(self.estimator, "classes_", None)
        if isinstance(words, np.ndarray) and words.shape == (dataset.n_classes,):
            labels = words[labels]
        return rows_for(self.estimator, space, x), labels


def _quiet(estimator: Any) -> dict[str, Any]:
    """What keeps CatBoost from writing files and lines, where nobody says that it shall."""
    if library_of(estimator) != "catboost":
        return {}
    said = estimator.get_params()
    lines = {} if {"verbose", "silent", "logging_level", "verbose_eval"} & set(said) else {"verbose": False}
    return {**lines, **({} if "allow_writing_files" in said else {"allow_writing_files": False})}
