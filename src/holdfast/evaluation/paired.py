"""Two runs over the same samples: exact McNemar test (Q. McNemar, Psychometrika, 1947), Tango's interval (1998).

Sample by sample there are four outcomes: both runs hold, only the first, only the second, neither. The samples on which
the runs agree say nothing about which is better, so the test looks at the others alone.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

from holdfast.core.errors import ParameterError
from holdfast.evaluation import clusters

POWER = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paired:
    """The difference of two shares over the same n samples, the second minus the first.

    Args:
        both, lost, won, neither: Samples that count in both runs, in the first alone, in the second alone, in neither.
        n: All samples.
        difference: (won - lost) / n.
        low, high: Interval of the difference.
        p: Two-sided p-value of the exact test.
        detectable: Smallest true drop that a comparison of n samples, with as many of them differing as here, finds
            significant with probability `power`; None where no drop is found that surely, or samples come in groups.
        power: Of `detectable`.
        interval, test: How they were computed.
        level: Confidence level of the interval; the difference is significant where p <= 1 - level.
        groups: How many groups the samples come in, None where they are independent.
    """

    both: int
    lost: int
    won: int
    neither: int
    n: int
    difference: float
    low: float
    high: float
    p: float
    detectable: float | None
    power: float = POWER
    interval: Literal["tango score", "cluster bootstrap"] = "tango score"
    test: Literal["exact mcnemar", "exact group sign flips"] = "exact mcnemar"
    level: float = 0.95
    groups: int | None = None

    @property
    def significant(self) -> bool:
        """Whether the exact test finds a difference at the level."""
        return self.p <= 1 - self.level + 1e-12

    def __str__(self) -> str:
        """`-9.0 points [-15.1, -2.6] (13 won, 31 lost of 200; p = 0.0096)`."""
        return (
            f"{100 * self.difference:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}] "
            f"({self.won} won, {self.lost} lost of {self.n}; p = {self.p:.2g})"
        )


def paired(both: int, lost: int, won: int, neither: int, level: float = 0.95) -> Paired:
    """The comparison of two runs from the four counts.

    Raises:
        ParameterError: HF001 where a count is negative, all are 0, or the level is not inside (0, 1).
    """
    n = both + lost + won + neither
    if min(both, lost, won, neither) < 0 or n < 1:
        raise ParameterError(
            "HF001",
            "A paired comparison needs four counts, one of them above 0",
            seen=f"{both}, {lost}, {won}, {neither}",
        )
    low, high = tango(won, lost, n, level)
    return Paired(
        both=both,
        lost=lost,
        won=won,
        neither=neither,
        n=n,
        difference=(won - lost) / n,
        low=low,
        high=high,
        p=mcnemar(won, lost),
        detectable=detectable(n, (won + lost) / n, level=level),
        level=level,
    )


def over_groups(
    first: Sequence[bool], second: Sequence[bool], source: Sequence[int], level: float = 0.95, seed: int = 0
) -> Paired:
    """The comparison of two runs from what each says about every sample, groups respected where there are some.

    Args:
        first: Whether the first run holds each sample.
        second: Whether the second does.
        source: The sample's group, negative for none.
        level: As in `paired`.
        seed: Of the cluster bootstrap.
    """
    values = [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    lost, won = values.count(-1), values.count(1)
    both = sum(a and b for a, b in zip(first, second, strict=True))
    whole = paired(both, lost, won, len(values) - both - lost - won, level)
    if not clusters.grouped(source):
        return whole
    groups = clusters.count(source)
    share = whole.difference * groups
    low, high = clusters.change(values, source, level, seed) or tango(
        round(max(share, 0)), round(max(-share, 0)), groups, level
    )
    return dataclasses.replace(
        whole,
        low=min(low, whole.difference),
        high=max(high, whole.difference),
        p=clusters.sign_flip(values, source),
        detectable=None,
        interval="cluster bootstrap",
        test="exact group sign flips",
        groups=groups,
    )


def mcnemar(won: int, lost: int) -> float:
    """Two-sided p-value of the exact test: is `won` of `won + lost` like heads of a fair coin?"""
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def tango(won: int, lost: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of (won - lost) / n: T. Tango, Statistics in Medicine 17:891-908, 1998.

    All d whose score test is not rejected: |won - lost - n d| <= z sqrt(n (2 q + d (1 - d))), with q the
    maximum-likelihood estimate of the probability of `lost` under the difference d. It stays inside [-1, 1] and keeps
    a width above 0 where the runs agree on every sample. It is no inversion of the exact test: at the border they may
    disagree, and the test, the more careful of the two, decides what is called significant.

    Raises:
        ParameterError: HF001 where the counts or the level are impossible.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    if min(won, lost) < 0 or won + lost > n or n < 1 or not 0 < level < 1:
        raise ParameterError(
            "HF001", "Impossible counts or level", seen=f"{won} won, {lost} lost of {n}, level {level}"
        )
    z2 = float(ndtri((1 + level) / 2)) ** 2
    if won + lost == 0:
        return -z2 / (n + z2), z2 / (n + z2)
    if abs(won - lost) == n:
        inner = (n - z2) / (n + z2)
        return (inner, 1.0) if won else (-1.0, -inner)

    def rejected(d: float) -> float:
        linear = -won - lost + (2 * n - won + lost) * d
        constant = -lost * d * (1 - d)
        q = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
        return (won - lost - n * d) ** 2 - z2 * n * (2 * q + d * (1 - d))

    point = (won - lost) / n
    return float(brentq(rejected, -1.0, point, xtol=1e-13)), float(brentq(rejected, point, 1.0, xtol=1e-13))


def power(n: int, differing: float, drop: float, level: float = 0.95) -> float:
    """Probability that the exact test over n samples finds a true drop significant.

    Args:
        n: Samples.
        differing: Probability that the two runs differ on a sample, at least `drop`.
        drop: Probability that only the first holds, minus that only the second does.
        level: 1 minus the level of the test.
    """
    return _power(n, _critical(n, level), max(differing, drop), drop)


def detectable(n: int, differing: float, power: float = POWER, level: float = 0.95) -> float | None:
    """The smallest true drop that the exact test over n samples finds significant with probability `power`.

    Args:
        n: Samples.
        differing: Probability that the runs differ on a sample; a drop larger than that consists of losses alone.
        power: Wanted probability.
        level: 1 minus the level of the test.

    Returns:
        The drop as a share, to a ten-thousandth; None where n is too small for any drop.
    """
    critical = _critical(n, level)
    low, high = 0, 10_000
    if _power(n, critical, 1.0, 1.0) < power:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        drop = middle / 10_000
        low, high = (low, middle) if _power(n, critical, max(differing, drop), drop) >= power else (middle, high)
    return high / 10_000


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """The p-values of several tests corrected for their number: S. Holm, Scandinavian Journal of Statistics, 1979."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    found, largest = [0.0] * len(values), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[i]))
        found[i] = largest
    return tuple(found)


def _critical(n: int, level: float) -> Any:
    """For each number m of differing samples, 0 to n: more losses than this are significant."""
    import numpy as np
    from scipy.stats import binom

    return binom.isf((1 - level) / 2, np.arange(n + 1), 0.5)


def _power(n: int, critical: Any, differing: float, drop: float) -> float:
    """Over the number m of differing samples: P(m) times P(more losses than the critical number among m)."""
    import numpy as np
    from scipy.stats import binom

    m = np.arange(n + 1)
    share = (differing + drop) / (2 * differing) if differing else 0.5
    return float((binom.pmf(m, n, differing) * binom.sf(critical, m, share)).sum())
