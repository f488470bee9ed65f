"""scikit-learn estimators: an exact differentiable twin where there is one, scores or labels everywhere else."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.svm import SVC, NuSVC
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.models.borrow import borrowed
from holdfast.models.function import Asked
from holdfast.models.model import Model
from holdfast.models.native import numbers_of, tables_of
from holdfast.models.source import Source
from holdfast.models.tables import Arrays, Feed, Frames, feed_of, same_classes, takes_codes
from holdfast.models.trees.form import Trees
from holdfast.models.trees.histogram import read_histogram
from holdfast.models.trees.read import reader_of
from holdfast.models.trees.recoding import recoded
from holdfast.models.twin import deciding_twin, unnamed
from holdfast.models.twin_ensemble import Ask, joint_twin
from holdfast.models.twin_tables import Encoded, table_twin
from holdfast.threats.space import Box
from holdfast.threats.tables.tabular import Tabular


def is_estimator(x: object) -> bool:
    """Whether scikit-learn's rules apply to it."""
    return isinstance(x, BaseEstimator)


def from_sklearn(estimator: BaseEstimator, space: Box, *, name: str | None = None) -> Model:
    """Wrap a fitted classifier, alone or in a Pipeline. Inputs are flattened to `(batch, features)` float64.

    In a Tabular space they are codes, and the estimator is asked about the raw rows that they stand for: as a data
    frame where it was fitted on one, else as an array.

    Linear classifiers, support vector machines, MLPClassifier and GaussianNB are differentiated exactly, behind linear
    scalers and PCA as well, and so are soft voting, bagging and stacking whose members all have probabilities; in a
    Tabular space also behind imputers, one-hot and other encoders of single columns (`twin_tables`). Others answer by
    `predict_proba`, `decision_function` or `predict`, the first whose highest score is the estimator's own decision.
    Class i is `classes_[i]`.

    Raises:
        ModelError: HF208 for anything but a fitted single-label classifier, HF280 and HF281 for one that was fitted on
            other columns or classes than the space has.
    """
    names = _classes(estimator)
    feed: Feed = _as_given
    twin, coded = None, not isinstance(space, Tabular) or takes_codes(estimator, space.schema)
    if coded:
        twin = joint_twin(estimator) or deciding_twin(estimator)
    if isinstance(space, Tabular):
        same_classes(names, space.schema)
        feed = _as_given if twin is not None else feed_of(estimator, space)
        if isinstance(feed, Frames) and (numbers := numbers_of(estimator)):
            feed = dataclasses.replace(feed, numbers=numbers)
        twin = twin or table_twin(estimator, space, feed)
    decide = Decide(_quiet(estimator.predict, feed), names)
    notes = () if _plain(names) else (f"class i is classes_[i] of {', '.join(map(str, names[:10].tolist()))}",)
    source = _from(estimator, _source(estimator, decide, len(names), twin, feed), feed)
    stages = tuple(type(stage).__name__ for _, stage in getattr(estimator, "steps", ()))
    return source.model(
        Model(
            space=space,
            name=name or _name(estimator),
            adapter="scikit-learn" + (" (exact torch twin)" if twin else ""),
            notes=notes,
            stages=stages,
            parameters=functools.partial(digest_of, estimator),
            borrowed=functools.partial(borrowed),
            trees=reader_of(estimator) if coded else _named_trees(estimator, space),
        )
    )


def _named_trees(estimator: Any, space: Box) -> Callable[[], Trees] | None:
    """What reads the trees over a schema's codes where scikit-learn splits names by itself; None for all others."""
    known = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    if type(estimator).__name__ != "HistGradientBoostingClassifier" or not isinstance(space, Tabular):
        return None
    if known != tuple(space.schema.by_name):
        return None
    try:
        tables = tables_of(estimator, space.schema)
    except ModelError:  # it can be asked all the same, as a data frame
        return None
    return functools.cache(lambda: recoded(read_histogram(estimator, words=True), tables))


@dataclasses.dataclass(frozen=True, eq=False)
class Decide:
    """`predict` as class indices."""

    predict: Callable[[np.ndarray], Any]
    names: np.ndarray

    def __call__(self, x: Tensor) -> Tensor:
        """Decisions `(batch,)`."""
        said = np.asarray(self.predict(x.detach().cpu().double().numpy().reshape(len(x), -1))).reshape(-1)
        order = np.argsort(self.names, kind="stable")
        found = order[np.searchsorted(self.names, said, sorter=order).clip(max=len(order) - 1)]
        return torch.from_numpy(found.astype(np.int64)).to(x.device)


def _source(estimator: Any, decide: Decide, classes: int, twin: Ask | None, feed: Feed) -> Source:
    """The best way to ask, with the next best ones behind it."""
    if twin is not None:
        wide = twin.wide if isinstance(twin, Encoded) else None
        return Source(ask=twin, slope=twin, decide=decide, output="logits", classes=classes, wide=wide)
    ways = [
        (getattr(estimator, "predict_proba", None) if _decides(estimator, False) else None, "probabilities"),
        (getattr(estimator, "decision_function", None) if _decides(estimator, True) else None, "logits"),
    ]
    sources = [
        Source(
            ask=Asked(_quiet(ask, feed), flat=True, double=True),
            decide=decide,
            classes=classes,
            output="logits" if output == "logits" else "probabilities",
        )
        for ask, output in ways
        if ask is not None
    ]
    sources.append(Source(ask=_One(decide), decide=decide, output="labels", classes=classes))
    return dataclasses.replace(sources[0], others=tuple(sources[1:]))


def _from(estimator: Any, source: Source, feed: Feed) -> Source:
    """The source and the ways behind it, with the estimator that they ask and the probabilities that it tells."""
    tells = getattr(estimator, "predict_proba", None)
    chances = None if tells is None else Asked(_quiet(tells, feed), flat=True, double=True)
    others = tuple(dataclasses.replace(other, origin=estimator, chances=chances) for other in source.others)
    return dataclasses.replace(source, origin=estimator, chances=chances, others=others)


def _decides(estimator: Any, function: bool) -> bool:
    """Whether the highest score may be the decision, in what is known of a kind: a few rows would not always show it.

    Vector machines of several classes decide by a vote of pairs, and their probabilities are fitted afterwards;
    thresholds that somebody chose lie anywhere.
    """
    last = estimator
    while (inner := _inside(last)) is not None:
        last = inner
    if isinstance(last, FixedThresholdClassifier | TunedThresholdClassifierCV):
        return False
    return not isinstance(last, SVC | NuSVC) or (function and (len(last.classes_) == 2 or last.break_ties))


def _inside(estimator: Any) -> Any:
    """What decides for a pipeline or a search; None for an estimator that decides itself."""
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else getattr(estimator, "best_estimator_", None)


@dataclasses.dataclass(frozen=True, eq=False)
class _One:
    """Decisions as raw outputs."""

    decide: Decide

    def __call__(self, x: Tensor) -> Tensor:
        return self.decide(x)


def _as_given(x: np.ndarray) -> Any:
    return x


def _quiet(function: Callable[[Any], Any], feed: Feed) -> Callable[[np.ndarray], Any]:
    """Rows as the estimator takes them, without the remark that it was fitted on a frame with column names.

    Raises:
        ModelError: HF280 where it takes numbers alone, and the rows have words.
    """

    def asked(x: np.ndarray) -> Any:
        rows = feed(x)
        try:
            with unnamed():
                return function(rows)
        except ValueError as error:
            if not isinstance(feed, Arrays) or "could not convert string to float" not in str(error):
                raise
            raise ModelError(
                "HF280",
                "The estimator takes numbers alone, and the schema has words; its columns have no names",
                seen=str(error),
                expected="an estimator of raw rows",
                fix="fit make_pipeline(make_column_transformer(...), classifier) on hf.Tabular(schema).frame(codes)",
            ) from error

    return asked


def _classes(estimator: Any) -> np.ndarray:
    if not is_classifier(estimator):
        raise ModelError(
            "HF208", "Only classifiers can be audited", seen=type(estimator).__name__, expected="a classifier"
        )
    try:
        check_is_fitted(estimator)
        names = estimator.classes_
    except (NotFittedError, AttributeError) as error:
        raise ModelError(
            "HF208", "The estimator is not fitted", seen=type(estimator).__name__, fix="call estimator.fit(x, y) first"
        ) from error
    if isinstance(names, list) or np.asarray(names).ndim != 1 or len(names) < 2:
        raise ModelError(
            "HF208",
            "The estimator does not decide for one of several classes",
            seen=f"classes_ = {names!r:.80}",
            expected="a single-label classifier with at least 2 classes",
        )
    return np.asarray(names)


def _plain(names: np.ndarray) -> bool:
    return names.dtype.kind in "biuf" and bool((names == np.arange(len(names))).all())


def _name(estimator: Any) -> str:
    return type(estimator.steps[-1][1] if getattr(estimator, "steps", None) else estimator).__name__


def digest_of(estimator: BaseEstimator) -> bytes:
    """BLAKE2b of the fitted numbers that are plain arrays, lists, numbers or estimators; the rest by its type."""
    made = hashlib.blake2b(digest_size=16)
    _feed(estimator, made, 0)
    return made.digest()


def _feed(value: Any, made: Any, depth: int) -> None:
    made.update(type(value).__name__.encode())
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufSU":
        made.update(f"{value.dtype} {value.shape}".encode())
        made.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bool | int | float | str | np.generic) or value is None:
        made.update(repr(value).encode())
    elif depth > 8:
        return
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype.kind == "O"):
        for item in np.ravel(value) if isinstance(value, np.ndarray) else value:
            _feed(item, made, depth + 1)
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            made.update(str(key).encode())
            _feed(value[key], made, depth + 1)
    elif hasattr(value, "tocsr"):
        rows = value.tocsr()
        _feed([rows.data, rows.indices, rows.indptr], made, depth + 1)
    elif isinstance(value, BaseEstimator):
        _feed(vars(value), made, depth + 1)
