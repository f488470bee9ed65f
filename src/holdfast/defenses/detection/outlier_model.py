"""Outlier models of scikit-learn (Pedregosa et al., JMLR 2011) and PyOD (Zhao et al., JMLR 2019, arXiv:1901.01588)."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import Layer, gathered, looked
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.model import Model
from holdfast.models.stage import Gradient

FEW = 8  # rows scored together and alone
ROUNDING = 1e-6  # share of the scores' spread that company may change


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutlierModel(Detector):
    """How unusual an outlier model finds an input or its features.

        score(x) = -decision_function(f(x)) in scikit-learn, decision_function(f(x)) in PyOD

    A copy of the estimator is fitted to clean data; its own threshold is not used. Which sign its scores have is told
    from what it says itself: scikit-learn decides -1 for outliers and 1 for the rest, PyOD 1 and 0. There is no
    gradient: attacks that need one see only the margin, and score attacks (Square) do the rest.

    Some of PyOD's (ECOD, COPOD) rank rows among those they are asked about together, so that a row's score moves with
    its company. They are asked about each row alone; those that have no score for a row alone (COF, SOS) are refused.

    Cost: a forward pass where it looks at the model, and the estimator's; a call for each row where rows move each
    other.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        estimator: IsolationForest, LocalOutlierFactor(novelty=True), OneClassSVM, EllipticEnvelope, a pipeline that
            ends in one, or a detector of PyOD.
        layer: What it looks at: "features", "scores" (log-probabilities) or "inputs".

    Raises:
        ModelError: HF257 where it has no `fit` and `decision_function`.
    """

    estimator: Any
    layer: Layer = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(callable(getattr(self.estimator, name, None)) for name in ("fit", "decision_function")):
            raise ModelError(
                "HF257",
                "The outlier model cannot be used",
                seen=f"{type(self.estimator).__name__} without fit or decision_function",
                expected="an outlier estimator of scikit-learn or PyOD",
                fix="LocalOutlierFactor(novelty=True)",
            )

    @property
    def slope(self) -> Gradient:
        """There is none."""
        return "none"

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """A fitted copy of the estimator, and the sign of its scores.

        Raises:
            ModelError: HF256 where the model shows no features, HF257 where the sign cannot be told or a row alone has
                no score.
        """
        look = looked(model, self.layer)
        rows = gathered(look, data.x).cpu().numpy()
        fitted = _fitted(self.estimator, rows, seed)
        sign, ask = _sign(fitted, rows, seed), _asked(fitted, rows[:FEW])

        def score(x: Tensor) -> Tensor:
            with torch.no_grad():
                seen = look(x).cpu().numpy()
            return torch.from_numpy(sign * ask(seen)).to(x.device)

        return score


def _fitted(estimator: Any, rows: np.ndarray, seed: int) -> Any:
    """A fitted copy; random numbers it would take from the process are seeded."""
    made = copy.deepcopy(estimator)
    given = made.get_params() if hasattr(made, "get_params") else {}
    free = {name: seed for name in given if name.rpartition("__")[2] == "random_state" and given[name] is None}
    if free:
        made.set_params(**free)
    state = np.random.get_state()
    try:
        np.random.seed(seed % 2**32)
        made.fit(rows)
    finally:
        np.random.set_state(state)
    return made


def _asked(fitted: Any, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Its scores of rows, `(n, d)` -> `(n,)` float64: each row alone where company changes what it says.

    Raises:
        ModelError: HF257 where it has no score for a row alone.
    """

    def together(seen: np.ndarray) -> np.ndarray:
        return np.asarray(fitted.decision_function(seen), dtype=np.float64).reshape(-1)

    def alone(seen: np.ndarray) -> np.ndarray:
        return np.array([together(row[None])[0] for row in seen], dtype=np.float64)

    try:
        both, each = together(rows), alone(rows)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise _needs_company(fitted, f"{type(error).__name__}: {str(error)[:160]}") from error
    if np.isnan(each).any():
        raise _needs_company(fitted, "a score that is no number")
    return together if bool((np.abs(both - each) <= ROUNDING * (np.ptp(each) + np.abs(each))).all()) else alone


def _needs_company(fitted: Any, seen: str) -> ModelError:
    return ModelError(
        "HF257",
        f"The outlier model {type(fitted).__name__} has no score for a single row",
        seen=seen,
        expected="a score that does not need other rows beside it",
        fix="LocalOutlierFactor(novelty=True)",
    )


def _sign(fitted: Any, rows: np.ndarray, seed: int) -> float:
    """-1 where high scores mean usual, 1 where they mean unusual, as its own decisions on near and far rows say.

    Raises:
        ModelError: HF257 where they say neither.
    """
    draw = np.random.default_rng(seed)
    low, high = rows.min(0), rows.max(0)
    far = low + (high - low) * (3 * draw.random((64, rows.shape[1])) - 1)
    both = np.concatenate([rows[:256], far])
    scores, said = np.asarray(fitted.decision_function(both)).reshape(-1), np.asarray(fitted.predict(both)).reshape(-1)
    words = set(np.unique(said).tolist())
    if words <= {-1, 1} and -1 in words:
        strange = said == -1
    elif words <= {0, 1} and 1 in words and hasattr(fitted, "decision_scores_"):
        strange = said == 1
    else:
        strange = np.zeros(len(said), dtype=bool)
    if strange.any() and not strange.all():
        if scores[strange].max() <= scores[~strange].min():
            return -1.0
        if scores[strange].min() >= scores[~strange].max():
            return 1.0
    raise ModelError(
        "HF257",
        "The outlier model does not say which of its scores mean outliers",
        seen=f"decisions {sorted(words)} of {type(fitted).__name__}",
        expected="-1 and 1 with falling scores (scikit-learn), or 0 and 1 with rising ones (PyOD)",
    )
