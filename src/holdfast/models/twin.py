"""Exact differentiable twins of scikit-learn's classifiers behind its linear scalers."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from torch import Tensor
from torch.nn.functional import logsigmoid

from holdfast.models.twin_heads import Bayes, Head, Pairs, deciding, near, probable, tensor

Form = Literal["difference", "double", "softmax", "rest"]
NEAR = 1e-9  # largest difference of probabilities between the twin and the estimator


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """`(x - before) / divide * times + after`, clipped to `clip`: scikit-learn's own order, in float64."""

    before: Tensor | float = 0.0
    divide: Tensor | float = 1.0
    times: Tensor | float = 1.0
    after: Tensor | float = 0.0
    clip: tuple[float, float] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Scaled features `(batch, features)`."""
        y: Tensor = (x - near(self.before, x)) / near(self.divide, x) * near(self.times, x) + near(self.after, x)
        return y if self.clip is None else y.clamp(*self.clip)


@dataclasses.dataclass(frozen=True, eq=False)
class Turned:
    """`(x - before) @ turn`: principal components."""

    before: Tensor
    turn: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Components `(batch, components)`."""
        return (x - near(self.before, x)) @ near(self.turn, x)  # type: ignore[no-any-return]


Stages = tuple[Affine | Turned, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Twin:
    """Scores `(batch, classes)` whose softmax is `predict_proba`, or whose highest is the decision.

    Args:
        stages: The scalers, in order.
        head: What the classifier makes of scaled rows.
        form: How decisions become scores: two classes (0, z) or (0, 2 z), several classes z, or one against the rest.
    """

    stages: Stages
    head: Head
    form: Form = "softmax"

    def __call__(self, x: Tensor) -> Tensor:
        """Float64 scores, differentiable in `x` of any shape and floating type."""
        rows = x.double().reshape(len(x), -1)
        for stage in self.stages:
            rows = stage(rows)
        z = self.head(rows)
        if self.form in ("difference", "double"):
            return torch.cat([torch.zeros_like(z), z * (2 if self.form == "double" else 1)], 1)
        return logsigmoid(z) if self.form == "rest" else z


def twin_of(estimator: Any) -> Twin | None:
    """The twin of a fitted estimator; None where none repeats its probabilities on probe inputs."""
    stages, last = _parts(estimator)
    head = probable(last)
    if stages is None or head is None or not hasattr(last, "predict_proba"):
        return None
    probes = probes_of(estimator, width_of(estimator))
    with unnamed():
        want, given = estimator.predict_proba(probes), torch.from_numpy(probes)
    for form in _forms(head, last):
        found = Twin(stages, head, form)
        if np.abs(found(given).softmax(1).numpy() - want).max() <= NEAR:
            return found
    return None


def deciding_twin(estimator: Any) -> Twin | None:
    """The twin of an estimator that has a `decision_function` alone; None where none repeats it on probe inputs."""
    stages, last = _parts(estimator)
    head = deciding(last)
    if stages is None or head is None:
        return None
    twin = Twin(stages, head, _forms(head, last)[0])
    probes = probes_of(estimator, width_of(estimator))
    with unnamed():
        want, said = estimator.decision_function(probes), estimator.predict(probes)
    found = twin(torch.from_numpy(probes)).numpy()
    if not np.array_equal(estimator.classes_[found.argmax(1)], said):
        return None
    if isinstance(head, Pairs):  # compared before libsvm's order breaks ties, or pair by pair
        shown = head.of if last.decision_function_shape == "ovo" else dataclasses.replace(head, first=False)
        found = dataclasses.replace(twin, head=shown)(torch.from_numpy(probes)).numpy()
    elif want.ndim == 1:
        found = found[:, 1]
    return twin if np.abs(found - want).max() <= NEAR * (1 + np.abs(want).max()) else None


def _parts(estimator: Any) -> tuple[Stages | None, Any]:
    """What its scalers do, None where one is not known, and the classifier behind them."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    *scalers, last = [step for step in steps if step is not None and step != "passthrough"] or [None]
    return stages_of(scalers), last


def _forms(head: Head, last: Any) -> tuple[Form, ...]:
    """How decisions may have become scores, the likeliest first."""
    single = len(last.classes_) == 2 and not isinstance(head, Bayes)
    return ("difference", "double") if single else ("softmax", "rest")


@contextlib.contextmanager
def unnamed() -> Iterator[None]:
    """Without the remark that an estimator was fitted on a frame with column names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        yield


def stages_of(scalers: Iterable[Any]) -> Stages | None:
    """What fitted scalers do; None where one of them is not known."""
    found = [_stage(scaler) for scaler in scalers]
    stages = tuple(stage for stage in found if stage is not None)
    return stages if len(stages) == len(found) else None


def _stage(scaler: Any) -> Affine | Turned | None:
    if type(scaler) is StandardScaler:
        return Affine(
            before=tensor(scaler.mean_) if scaler.with_mean else 0.0,
            divide=tensor(scaler.scale_) if scaler.with_std else 1.0,
        )
    if type(scaler) is MinMaxScaler:
        low, high = scaler.feature_range
        return Affine(
            times=tensor(scaler.scale_),
            after=tensor(scaler.min_),
            clip=(float(low), float(high)) if scaler.clip else None,
        )
    if type(scaler) is MaxAbsScaler:
        return Affine(divide=tensor(scaler.scale_), clip=(-1.0, 1.0) if getattr(scaler, "clip", False) else None)
    if type(scaler) is RobustScaler:
        return Affine(
            before=tensor(scaler.center_) if scaler.with_centering else 0.0,
            divide=tensor(scaler.scale_) if scaler.with_scaling else 1.0,
        )
    if type(scaler) is PCA:
        length = np.sqrt(scaler.explained_variance_) if scaler.whiten else np.ones(len(scaler.components_))
        return Turned(tensor(scaler.mean_), tensor(scaler.components_.T / length))
    return None


def width_of(estimator: Any) -> int:
    """How many features it was fitted on; of a pipeline the first step knows, and a step left out knows nothing."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    return next(int(step.n_features_in_) for step in steps if hasattr(step, "n_features_in_"))


def probes_of(estimator: Any, features: int) -> np.ndarray:
    """Inputs that reach every part of a twin: around the training data where a scaler has seen them, and far out."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    first = next(step for step in steps if step is not None and step != "passthrough")
    draw = np.random.default_rng(0)
    center, width = np.zeros(features), np.ones(features)
    if type(first) is StandardScaler:
        center = center if first.mean_ is None else first.mean_
        width = width if first.scale_ is None else first.scale_
    if type(first) is MinMaxScaler:
        center, width = first.data_min_ + first.data_range_ / 2, first.data_range_ + (first.data_range_ == 0)
    spread = np.array([0.01, 0.1, 1.0, 10.0])[np.arange(64) % 4, None]
    return center + width * spread * draw.standard_normal((64, features))  # type: ignore[no-any-return]
