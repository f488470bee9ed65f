"""Exact intervals for shares: C. J. Clopper, E. S. Pearson, Biometrika, 1934."""

import dataclasses
import math
from typing import Literal

from holdfast.core.errors import ParameterError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rate:
    """A share that cannot be separated from what it was computed from.

    Args:
        k: Samples that count.
        n: Samples looked at.
        point: k / n.
        low, high: The interval; the exact one is closed at 0 for k = 0 and at 1 for k = n.
        denominator: What the n samples are, in words.
        method: How the interval was computed: exactly, for independent samples; by drawing whole groups; or so that
            it holds although the run looked at it to decide when to stop.
        level: Its confidence level.
        groups: How many groups the samples come in, None where they are independent.
    """

    k: int
    n: int
    point: float
    low: float
    high: float
    denominator: str
    method: Literal["clopper-pearson", "cluster bootstrap", "confidence sequence"] = "clopper-pearson"
    level: float = 0.95
    groups: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.k <= self.n or self.n < 1:
            raise ParameterError("HF001", "A rate needs 0 <= k <= n and n >= 1", seen=f"k={self.k}, n={self.n}")
        if not 0 <= self.low <= self.point <= self.high <= 1 or not 0 < self.level < 1:
            raise ParameterError(
                "HF001",
                "A rate needs 0 <= low <= point <= high <= 1 and a level inside (0, 1)",
                seen=f"low={self.low}, point={self.point}, high={self.high}, level={self.level}",
            )
        if not math.isclose(self.point, self.k / self.n, rel_tol=1e-9, abs_tol=1e-12):
            raise ParameterError("HF001", "A rate's point must be k / n", seen=self.point, expected=self.k / self.n)

    def __str__(self) -> str:
        """`50.5 % [43.4, 57.6] (101/200)`."""
        return f"{100 * self.point:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] ({self.k}/{self.n})"


def rate(k: int, n: int, denominator: str, level: float = 0.95) -> Rate:
    """The share k / n with its exact Clopper-Pearson interval.

    Args:
        k: Samples that count.
        n: Samples looked at, at least 1.
        denominator: What the n samples are, in words.
        level: Confidence of the two-sided interval.

    Raises:
        ParameterError: HF001 where k is not in [0, n], n < 1, or the level is not inside (0, 1).
    """
    if not 0 <= k <= n or n < 1:
        raise ParameterError("HF001", "A rate needs 0 <= k <= n and n >= 1", seen=f"k={k}, n={n}")
    low, high = interval(k, n, level)
    return Rate(k=k, n=n, point=k / n, low=low, high=high, denominator=denominator, level=level)


def interval(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The Clopper-Pearson interval of k successes in n trials: quantiles of two beta distributions.

    Raises:
        ParameterError: HF001 where the level is not inside (0, 1).
    """
    from scipy.special import betaincinv

    if not 0 < level < 1:
        raise ParameterError("HF001", "A confidence level must lie inside (0, 1)", seen=level)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return low, high
