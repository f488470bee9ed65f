"""How well a score tells attacked inputs from clean ones: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988.

The interval of an area allows for attacked inputs made from the very clean samples they are compared with (Obuchowski,
Biometrics 53, 1997: samples are drawn with all that was made of them).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from holdfast.core.errors import ParameterError
from holdfast.evaluation import clusters
from holdfast.evaluation.statistics import Rate, interval

Numbers = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Auroc:
    """The probability that an attacked input has a higher score than a clean one, ties counted half.

    Args:
        point: The area under the curve.
        low, high: Its interval.
        attacked, clean: How many inputs of each.
        level: Confidence of the two-sided interval.
    """

    point: float
    low: float
    high: float
    attacked: int
    clean: int
    level: float = 0.95

    def __str__(self) -> str:
        """`0.973 [0.961, 0.982]`."""
        return f"{self.point:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(attacked: Tensor, clean: Tensor, of: Sequence[int] | None = None, level: float = 0.95) -> Auroc:
    """The area under the ROC curve of a score.

    The standard error is that of DeLong's components, summed within samples; the interval is symmetric in the log-odds
    of the area. Where the components do not vary (a perfect score) it is the exact one of so many independent pairs as
    there are samples on the smaller side.

    Args:
        attacked: Scores `(m,)`, higher = more suspicious.
        clean: Scores `(n,)`.
        of: For each attacked input the row of `clean` it was made from; None where they are strangers.
        level: Confidence of the two-sided interval.

    Raises:
        ParameterError: HF001 for an empty side, a score that is no number, or a level outside (0, 1).
    """
    a, c = (np.asarray(part.detach().double().cpu()) for part in (attacked, clean))
    if not len(a) or not len(c) or np.isnan(a).any() or np.isnan(c).any() or not 0 < level < 1:
        raise ParameterError(
            "HF001",
            "An area needs scores on both sides and a level inside (0, 1)",
            seen=f"{len(a)} attacked, {len(c)} clean, level={level}",
        )
    above, below = _beaten(a, c), 1 - _beaten(c, a)
    point = float(above.mean())
    low, high = _interval(point, _deviation(above, below, point, of), min(len(a), len(c)), level)
    return Auroc(point=point, low=min(low, point), high=max(high, point), attacked=len(a), clean=len(c), level=level)


def caught(
    attacked: Tensor, threshold: float, source: Sequence[int], words: str = "adversarial inputs", level: float = 0.95
) -> Rate:
    """The share of attacked inputs above a threshold, with its exact interval, or one over groups.

    Args:
        attacked: Scores `(m,)`.
        threshold: Above which an input is rejected.
        source: The group of each input, negative for none.
        words: What the inputs are.
        level: Confidence of the two-sided interval.
    """
    return clusters.share((attacked > threshold).tolist(), source, words, level)


def _beaten(one: Numbers, other: Numbers) -> Numbers:
    """For each score the share of the other side below it, ties counted half: `(len(one),)`."""
    ordered = np.sort(other)
    found: Numbers = (np.searchsorted(ordered, one, "left") + np.searchsorted(ordered, one, "right")) / 2 / len(other)
    return found


def _deviation(above: Numbers, below: Numbers, point: float, of: Sequence[int] | None) -> float:
    """The standard error of the area: both sides' components, added up for inputs of one sample."""
    clean = (below - point) / len(below)
    attacked = (above - point) / len(above)
    if of is None:
        parts = [side for side in (clean, attacked) if len(side) > 1]
        return math.sqrt(sum(float((side**2).sum()) * len(side) / (len(side) - 1) for side in parts))
    both = clean.copy()
    np.add.at(both, np.asarray(of, dtype=np.int64), attacked)
    return math.sqrt(float((both**2).sum()) * len(both) / max(len(both) - 1, 1))


def _interval(point: float, deviation: float, pairs: int, level: float) -> tuple[float, float]:
    from scipy.special import expit, logit, ndtri

    if not 0 < point < 1 or deviation <= 0:
        return interval(round(point * pairs), pairs, level)
    reach = float(ndtri((1 + level) / 2)) * deviation / (point * (1 - point))
    middle = float(logit(point))
    return float(expit(middle - reach)), float(expit(middle + reach))


def at_rate(clean: Tensor, fpr: float) -> float:
    """The threshold that at most the share `fpr` of these clean scores exceeds, the smallest there is."""
    ordered = torch.sort(clean.detach().double().cpu()).values
    return float(ordered[max(math.ceil(len(ordered) * (1 - fpr) - 1e-9) - 1, 0)])
