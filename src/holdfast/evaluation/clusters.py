"""Shares of samples that come in groups: cluster bootstrap (BCa: B. Efron, JASA 82, 1987), exact sign flips.

Frames of one video or pictures of one patient are alike: a thousand of them say less than a thousand strangers. An
interval that takes them for independent is too narrow, so here whole groups are drawn, never single samples.
"""

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from holdfast.evaluation.statistics import Rate, rate

if TYPE_CHECKING:  # comparisons and gates read run folders and need no tensors
    from holdfast.data.dataset import Dataset

RESAMPLES = 1999


def of(data: "Dataset") -> list[int]:
    """The group of each sample, -1 for those without one."""
    return [-1] * len(data) if data.groups is None else data.groups.tolist()


def grouped(source: Sequence[int]) -> bool:
    """Whether two samples share a group; negative numbers are samples without one."""
    named = [group for group in source if group >= 0]
    return len(set(named)) < len(named)


def count(source: Sequence[int]) -> int:
    """Groups, each sample without one counting as its own."""
    return len({group for group in source if group >= 0}) + sum(group < 0 for group in source)


def named(source: Sequence[int]) -> list[int]:
    """The group of each sample, those without one in a group of their own."""
    first = max(source, default=-1) + 1
    return [first + i if group < 0 else group for i, group in enumerate(source)]


def share(held: Sequence[bool], source: Sequence[int], denominator: str, level: float = 0.95, seed: int = 0) -> Rate:
    """The share of samples that hold, with an interval over groups, or the exact one where no two share a group.

    Args:
        held: One for each sample.
        source: Its group; negative for none.
        denominator: What the samples are, in words.
        level: Confidence of the two-sided interval.
        seed: Of the bootstrap.
    """
    whole = rate(sum(held), len(held), denominator, level)
    if not grouped(source):
        return whole
    k, n = _sums([int(one) for one in held], source)
    low, high = _bootstrap(k, n, level, seed) or alone(whole.point, len(n), level)
    return Rate(
        k=whole.k,
        n=whole.n,
        point=whole.point,
        low=min(max(low, 0.0), whole.point),
        high=max(min(high, 1.0), whole.point),
        denominator=denominator,
        method="cluster bootstrap",
        level=level,
        groups=len(n),
    )


def change(
    values: Sequence[int], source: Sequence[int], level: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """The interval of the mean of -1, 0 and 1, one a sample, over groups; None where every group has the same mean."""
    return _bootstrap(*_sums(values, source), level, seed)


def sign_flip(values: Sequence[int], source: Sequence[int]) -> float:
    """Two-sided exact p-value: is the sum of -1, 0 and 1, one a sample, large for groups with signs drawn at random?

    If two models are equally good, what one wins in a group it might as well have lost. With groups of one sample this
    is the exact McNemar test.
    """
    sums = np.abs(_sums(values, source)[0])
    reach, chance = int(sums.sum()), np.ones(1)
    for size in sums[sums > 0]:
        wider = np.zeros(len(chance) + 2 * size)
        wider[: len(chance)] += chance / 2
        wider[2 * size :] += chance / 2
        chance = wider
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(sum(values))
    return min(1.0, float(chance[far].sum()))


def alone(point: float, groups: int, level: float) -> tuple[float, float]:
    """Where all groups are alike there is nothing to draw: the exact interval as if each group were one sample."""
    from scipy.special import betaincinv

    k, tail = point * groups, (1 - level) / 2
    low = 0.0 if k <= 0 else float(betaincinv(k, groups - k + 1, tail))
    high = 1.0 if k >= groups else float(betaincinv(k + 1, groups - k, 1 - tail))
    return low, high


def _sums(values: Sequence[int], source: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each group the sum of its values and its size."""
    own = max(source, default=0) + 1
    names = [group if group >= 0 else own + i for i, group in enumerate(source)]
    _, place = np.unique(names, return_inverse=True)
    n = np.bincount(place)
    return np.bincount(place, weights=np.asarray(values)).astype(np.int64), n.astype(np.int64)


def _bootstrap(
    k: npt.NDArray[np.int64], n: npt.NDArray[np.int64], level: float, seed: int
) -> tuple[float, float] | None:
    """The BCa interval of sum(k) / sum(n) over drawn groups; None where all groups have the same share."""
    from scipy.stats import bootstrap

    if (k * n.sum() == n * k.sum()).all():
        return None

    def statistic(k: Any, n: Any, axis: int = -1) -> Any:
        return k.sum(axis) / n.sum(axis)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a distribution without spread, which is seen below
        found = bootstrap(
            (k, n),
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 2_000_000 // len(n)),
            confidence_level=level,
            method="BCa",
            random_state=np.random.default_rng(seed),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
