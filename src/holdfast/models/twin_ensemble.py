"""Exact differentiable twins of scikit-learn's soft voting, bagging and stacking, where every member has one.

Voting and bagging average probabilities; stacking shows the members' probabilities to its last estimator.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.pipeline import Pipeline
from torch import Tensor

from holdfast.models.twin import NEAR, Stages, probes_of, stages_of, twin_of, unnamed, width_of

Ask = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Log-probabilities `(batch, classes)` of a weighted mean of members' probabilities.

    Args:
        members: Float64 scores of flat features `(batch, features)`.
        columns: What each member sees of the features.
        weights: Of sum one.
    """

    members: tuple[Ask, ...]
    columns: tuple[Tensor, ...]
    weights: tuple[float, ...]

    def __call__(self, rows: Tensor) -> Tensor:
        """Float64 scores, differentiable."""
        z = torch.stack([ask(rows[:, c.to(rows.device)]) for ask, c in zip(self.members, self.columns, strict=True)])
        shares = torch.tensor(self.weights, dtype=z.dtype, device=z.device).log()[:, None, None]
        return (z.log_softmax(2) + shares).logsumexp(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """Scores of the last estimator on the members' probabilities.

    Args:
        members: Float64 scores of flat features `(batch, features)`.
        last: Scores of what the members say, beside the features themselves where `passthrough`.
        passthrough: Whether the features are shown to the last one too.
    """

    members: tuple[Ask, ...]
    last: Ask
    passthrough: bool

    def __call__(self, rows: Tensor) -> Tensor:
        """Float64 scores, differentiable."""
        said = [ask(rows).softmax(1) for ask in self.members]
        shown = [p[:, 1:] if p.shape[1] == 2 else p for p in said]  # of two probabilities scikit-learn drops the first
        return self.last(torch.cat([*shown, rows] if self.passthrough else shown, 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Behind:
    """An ensemble behind scalers; inputs of any shape and floating type."""

    stages: Stages
    ask: Ask

    def __call__(self, x: Tensor) -> Tensor:
        """Float64 scores `(batch, classes)`."""
        rows = x.double().reshape(len(x), -1)
        for stage in self.stages:
            rows = stage(rows)
        return self.ask(rows)


def joint_twin(estimator: Any) -> Ask | None:
    """The twin of a fitted estimator or ensemble; None where none repeats its probabilities on probe inputs."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    *scalers, last = [step for step in steps if step is not None and step != "passthrough"] or [None]
    ways = {VotingClassifier: _voting, BaggingClassifier: _bagging, StackingClassifier: _stacking}
    if type(last) not in ways:
        return twin_of(estimator)
    stages, inner = stages_of(scalers), ways[type(last)](last)
    if stages is None or inner is None:
        return None
    twin, features = Behind(stages, inner), width_of(estimator)
    seen = [] if scalers or type(last) is BaggingClassifier else list(last.estimators_)
    probes = np.concatenate([probes_of(one, features) for one in (estimator, *seen)])
    with unnamed():
        want = estimator.predict_proba(probes)
    off = np.abs(twin(torch.from_numpy(probes)).softmax(1).numpy() - want).max()
    return twin if off <= NEAR else None


def _voting(ensemble: VotingClassifier) -> Ask | None:
    members = _all(ensemble.estimators_)
    if ensemble.voting != "soft" or members is None:
        return None
    given = ensemble.weights
    named = zip([] if given is None else given, ensemble.estimators, strict=given is not None)
    kept = None if given is None else [w for w, (_, one) in named if one != "drop"]
    weights = [1.0] * len(members) if kept is None else [float(w) for w in kept]
    columns = (torch.arange(width_of(ensemble.estimators_[0])),) * len(members)
    return Mixture(members, columns, tuple(w / sum(weights) for w in weights))


def _bagging(ensemble: BaggingClassifier) -> Ask | None:
    members = _all(ensemble.estimators_)
    if members is None or any(len(one.classes_) != len(ensemble.classes_) for one in ensemble.estimators_):
        return None
    columns = tuple(torch.from_numpy(np.array(c, dtype=np.int64)) for c in ensemble.estimators_features_)
    return Mixture(members, columns, (1 / len(members),) * len(members))


def _stacking(ensemble: StackingClassifier) -> Ask | None:
    members, last = _all(ensemble.estimators_), joint_twin(ensemble.final_estimator_)
    if members is None or last is None or set(ensemble.stack_method_) != {"predict_proba"}:
        return None
    return Stack(members, last, bool(ensemble.passthrough))


def _all(estimators: Any) -> tuple[Ask, ...] | None:
    """The members' twins; None where one has none."""
    found = [joint_twin(one) for one in estimators]
    members = tuple(twin for twin in found if twin is not None)
    return members if members and len(members) == len(found) else None
