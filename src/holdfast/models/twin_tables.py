"""Exact differentiable twins of pipelines of raw rows: encoders, imputers and scalers as one matrix on spread codes."""

import dataclasses
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn import impute, preprocessing
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest, SelectPercentile, VarianceThreshold
from sklearn.pipeline import FeatureUnion, Pipeline
from torch import Tensor

from holdfast.models.model import Wide
from holdfast.models.tables import Feed
from holdfast.models.twin import NEAR, deciding_twin, unnamed
from holdfast.models.twin_ensemble import Ask, joint_twin
from holdfast.models.twin_heads import dense, near
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.spread import Spread
from holdfast.threats.tables.tabular import Tabular

FEW = 64
"""Numbers with at most so many possible values may be encoded as if they were levels."""

PROBES = 128
"""Random rows on which the matrix must repeat what the pipeline prepares."""

SINGLY = (
    impute.SimpleImputer,
    impute.MissingIndicator,
    preprocessing.OneHotEncoder,
    preprocessing.OrdinalEncoder,
    preprocessing.TargetEncoder,
    preprocessing.StandardScaler,
    preprocessing.MinMaxScaler,
    preprocessing.MaxAbsScaler,
    preprocessing.RobustScaler,
    preprocessing.KBinsDiscretizer,
    preprocessing.Binarizer,
    VarianceThreshold,
    SelectKBest,
    SelectPercentile,
)
"""What looks at each column by itself, so that a row's preparation is the sum of what its columns give."""


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded:
    """Scores of codes: what the columns give is added up, and a twin of the classifier takes the sum.

        rows = base + (spread(x) - center) @ matrix

    Args:
        spread: Codes as wider rows.
        base: What the reference row is prepared to, `(prepared,)`.
        center: The reference row, spread, `(width,)`.
        matrix: `(width, prepared)`.
        ask: Of prepared rows, the classifier.
    """

    spread: Spread
    base: Tensor
    center: Tensor
    matrix: Tensor
    ask: Ask

    def __call__(self, x: Tensor) -> Tensor:
        """Float64 scores of codes `(batch, features)`, differentiable; between two levels in shares of both."""
        return self.of_wide(self.spread.wide(x.double().reshape(len(x), -1)))

    def prepared(self, wide: Tensor) -> Tensor:
        """What the classifier is shown of wider rows: `(batch, prepared)`."""
        rows: Tensor = near(self.base, wide) + (wide - near(self.center, wide)) @ near(self.matrix, wide)
        return rows

    def of_wide(self, wide: Tensor) -> Tensor:
        """Float64 scores of wider rows `(batch, width)`."""
        return self.ask(self.prepared(wide))

    @property
    def wide(self) -> Wide:
        """How attacks ask for the gradient at each level."""
        return Wide(self.spread, self.of_wide)


def table_twin(estimator: Any, space: Tabular, feed: Feed) -> Encoded | None:
    """The twin of a pipeline of raw rows; None where its steps are not known, or it repeats them not on random rows.

    Known are steps that look at each column by itself (imputers, one-hot, ordinal and target encoders, scalers without
    a cut, selections; in column transformers and unions), in front of what has a twin of its own. A number that
    is encoded by steps (bins, one-hot of whole numbers) must have few possible values.

    Args:
        estimator: Fitted.
        space: Whose codes it is to take.
        feed: How the estimator takes its rows.
    """
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    steps = [step for step in steps if step is not None and step != "passthrough"]
    for k in range(len(steps)):
        if not _singly(steps[:k]):
            return None
        last = steps[-1] if k == len(steps) - 1 else Pipeline([(str(i), s) for i, s in enumerate(steps[k:])])
        ask = joint_twin(last) or deciding_twin(last)
        if ask is not None:
            return _matrix(steps[:k], space, feed, ask)
    return None


def _singly(steps: Sequence[Any]) -> bool:
    """Whether steps look at each column by itself."""
    return all(type(step) in SINGLY or _idle(step) for step in _leaves(steps))


def _leaves(steps: Iterable[Any]) -> Iterator[Any]:
    """The steps, and instead of pipelines, column transformers and unions what they are made of."""
    for step in steps:
        if isinstance(step, Pipeline):
            yield from _leaves(one for _, one in step.steps)
        elif isinstance(step, ColumnTransformer):
            yield from _leaves(one for _, one, _ in step.transformers_)
        elif isinstance(step, FeatureUnion):
            yield from _leaves(one for _, one in step.transformer_list)
        else:
            yield step


def _idle(step: Any) -> bool:
    """Whether a step leaves columns as they are, or out."""
    if type(step) is preprocessing.FunctionTransformer:  # what a fitted ColumnTransformer makes of "passthrough"
        return step.func is None
    return step is None or (isinstance(step, str) and step in ("passthrough", "drop"))


def _matrix(steps: Sequence[Any], space: Tabular, feed: Feed, ask: Ask) -> Encoded | None:
    """What the steps make of each column alone, seen on a few rows; None where they refuse one, or do something else.

    A level that the steps were not fitted on may be refused by them: such a pipeline cannot answer all rows anyway.
    """

    def prepared(x: Tensor) -> Tensor:
        rows = feed(x.numpy())
        with unnamed(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found unknown categories")
            for step in steps:
                rows = step.transform(rows)
        return torch.from_numpy(np.asarray(dense(rows), dtype=np.float64).copy())

    features = space.schema.features
    for few in ([bool(f.levels) for f in features], [_count(f) <= FEW for f in features]):
        spread = Spread(tuple(map(_values, features, few)), tuple(f.missing for f in features))
        try:
            found = _seen(spread, space, prepared, ask)
            random = _random(space, _named(steps))
            want, said = prepared(random), found.prepared(spread.wide(random))
        except ValueError:
            return None
        if bool(((want - said).abs() <= NEAR * (1 + want.abs().amax(0))).all()):
            return found
    return None


def _seen(spread: Spread, space: Tabular, prepared: Any, ask: Ask) -> Encoded:
    """The matrix: what the prepared row changes by where one column does, a number from its least to its greatest."""
    features = space.schema.features
    start = torch.tensor([f.span[0] for f in features], dtype=torch.float64)
    rows, shares = [start], [1.0]
    for j in range(len(features)):
        low, high = features[j].span
        given = spread.values[j] or (high, *[torch.nan] * spread.gaps[j])
        for value in given:
            rows.append(start.clone())
            rows[-1][j] = value
        shares += [1.0] * len(given) if spread.values[j] else [(high - low) or 1.0, *[1.0] * spread.gaps[j]]
    made = prepared(torch.stack(rows))
    matrix = (made[1:] - made[0]) / torch.tensor(shares[1:], dtype=torch.float64)[:, None]
    center = spread.wide(start[None])[0]
    for j in (j for j, gap in enumerate(spread.gaps) if gap and not spread.values[j]):
        at = spread.places[j].start  # the number counts as 0 where it is missing
        matrix[at + 1] += center[at] * matrix[at]
    return Encoded(spread, made[0], center, matrix, ask)


def _values(feature: Feature, few: bool) -> tuple[float, ...]:
    """The values of a column that becomes weights, NaN last; none where it stays a number."""
    if not few:
        return ()
    low = feature.span[0]
    count = round(_count(feature))
    codes = feature.snap(low + float(feature.step or 0) * torch.arange(count, dtype=torch.float64)).tolist()
    return (*codes, *[float("nan")] * feature.missing)


def _count(feature: Feature) -> float:
    """How many numbers are possible."""
    low, high = feature.span
    step = float(feature.step or 0)
    return (high - low) / step + 1 if step else torch.inf


def _named(steps: Sequence[Any]) -> Tensor:
    """Numbers that steps were told of one by one: categories of encoders, what stands for a gap: `(numbers,)`.

    Random numbers never meet them, and to an encoder that ignores what it does not know all others are the same.
    """
    found = list[Any]()
    for step in _leaves(steps):
        found.append(getattr(step, "missing_values", None))
        rare = getattr(step, "infrequent_categories_", None) or [None] * len(getattr(step, "categories_", ()))
        for values, seldom in zip(getattr(step, "categories_", ()), rare, strict=True):
            set_aside = set() if seldom is None else set(seldom.tolist())
            often = [v for v in values.tolist() if v not in set_aside]
            found += often[:: math.ceil(len(often) / PROBES) or 1]
    numbers = {float(v) for v in found if isinstance(v, int | float) and math.isfinite(v)}
    return torch.tensor(sorted(numbers), dtype=torch.float64)


def _random(space: Tabular, named: Tensor) -> Tensor:
    """Random codes with gaps, of which no relation need hold; some with a named number wherever it is possible."""
    features, draw = space.schema.features, torch.Generator().manual_seed(0)
    x = space.sample(torch.zeros((PROBES + len(named), len(features)), dtype=torch.float64), draw)
    gone = torch.rand(x.shape, generator=draw, dtype=torch.float64) < 0.2
    x = torch.where(gone & torch.tensor([f.missing for f in features]), torch.nan, x)
    for j, feature in enumerate(features):
        if not feature.levels and not feature.group:
            x[PROBES:, j] = torch.where(feature.possible(named), named, x[PROBES:, j])
    return x
