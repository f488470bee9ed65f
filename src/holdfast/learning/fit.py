"""Learning with a scikit-learn estimator."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.tables.tabular import Tabular

SEEDS = ("random_state", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit(Learner):
    """A clone of `estimator` is fitted on flattened float64 inputs; the given one is not touched.

    Where the data have a schema, it is fitted on the raw rows, as a data frame.

    Args:
        estimator: Any scikit-learn classifier, also a Pipeline; every `random_state` and `seed` in it gets the seed.
    """

    estimator: object

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
                estimator is no classifier.
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
        estimator.set_params(**dict.fromkeys(names, seed % 2**32))
        more = {} if weights is None else {"sample_weight": weights.double().numpy()}
        space = dataset.space
        rows = space.frame(dataset.x) if isinstance(space, Tabular) else dataset.x.double().flatten(1).numpy()
        estimator.fit(rows, dataset.y.numpy(), **more)
        return settle(wrap(estimator, space if dataset.schema else dataset.bounds), dataset.x)
