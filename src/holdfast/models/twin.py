"""Exact differentiable twins of scikit-learn's logistic regression behind its linear scalers.

Cox, "The Regression Analysis of Binary Sequences", Journal of the Royal Statistical Society B, 1958.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import Tensor

from holdfast.models.outputs import log_sigmoids

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
        y: Tensor = (x - _near(self.before, x)) / _near(self.divide, x) * _near(self.times, x) + _near(self.after, x)
        return y if self.clip is None else y.clamp(*self.clip)


@dataclasses.dataclass(frozen=True, eq=False)
class Twin:
    """Scores `(batch, classes)` whose softmax is `predict_proba`.

    Args:
        stages: The scalers, in order.
        weight: `coef_` transposed, `(features, rows)`.
        bias: `intercept_`, `(rows,)`.
        form: How decisions become scores: two classes (0, z) or (0, 2 z), several classes z, or one against the rest.
    """

    stages: tuple[Affine, ...]
    weight: Tensor
    bias: Tensor
    form: Form = "softmax"

    def __call__(self, x: Tensor) -> Tensor:
        """Float64 scores, differentiable in `x` of any shape and floating type."""
        rows = x.double().reshape(len(x), -1)
        for stage in self.stages:
            rows = stage(rows)
        z = rows @ _near(self.weight, x) + _near(self.bias, x)
        if self.form in ("difference", "double"):
            return torch.cat([torch.zeros_like(z), z * (2 if self.form == "double" else 1)], 1)
        return log_sigmoids(z) if self.form == "rest" else z


def twin_of(estimator: Any) -> Twin | None:
    """The twin of a fitted estimator; None where none repeats its probabilities on probe inputs."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    *scalers, last = [step for step in steps if step is not None and step != "passthrough"] or [None]
    stages = stages_of(scalers)
    if type(last) not in (LogisticRegression, LogisticRegressionCV) or stages is None:
        return None
    weight, bias = _tensor(last.coef_).T.contiguous(), _tensor(last.intercept_).reshape(-1)
    if len(bias) == 1:
        bias = bias.expand(weight.shape[1]).clone()
    twin = Twin(stages, weight, bias)
    forms: tuple[Form, ...] = ("difference", "double") if weight.shape[1] == 1 else ("softmax", "rest")
    probes = probes_of(estimator, weight.shape[0])
    want = estimator.predict_proba(probes)
    for form in forms:
        found = dataclasses.replace(twin, form=form)
        if np.abs(found(torch.from_numpy(probes)).softmax(1).numpy() - want).max() <= NEAR:
            return found
    return None


def stages_of(scalers: Iterable[Any]) -> tuple[Affine, ...] | None:
    """What fitted scalers do; None where one of them is not known."""
    found = [_stage(scaler) for scaler in scalers]
    stages = tuple(stage for stage in found if stage is not None)
    return stages if len(stages) == len(found) else None


def _stage(scaler: Any) -> Affine | None:
    if type(scaler) is StandardScaler:
        return Affine(
            before=_tensor(scaler.mean_) if scaler.with_mean else 0.0,
            divide=_tensor(scaler.scale_) if scaler.with_std else 1.0,
        )
    if type(scaler) is MinMaxScaler:
        low, high = scaler.feature_range
        return Affine(
            times=_tensor(scaler.scale_),
            after=_tensor(scaler.min_),
            clip=(float(low), float(high)) if scaler.clip else None,
        )
    return None


def probes_of(estimator: Any, features: int) -> np.ndarray:
    """Inputs that reach every part of a twin: around the training data where a scaler has seen them, and far out."""
    first = estimator.steps[0][1] if isinstance(estimator, Pipeline) else estimator
    draw = np.random.default_rng(0)
    center, width = np.zeros(features), np.ones(features)
    if type(first) is StandardScaler:
        center = center if first.mean_ is None else first.mean_
        width = width if first.scale_ is None else first.scale_
    if type(first) is MinMaxScaler:
        center, width = first.data_min_ + first.data_range_ / 2, first.data_range_ + (first.data_range_ == 0)
    spread = np.array([0.01, 0.1, 1.0, 10.0])[np.arange(64) % 4, None]
    return center + width * spread * draw.standard_normal((64, features))  # type: ignore[no-any-return]


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _near(value: Tensor | float, x: Tensor) -> Any:
    return value.to(x.device) if isinstance(value, Tensor) else value
