"""A tree ensemble of two classes whose decision lies at a threshold, as one whose highest sum decides."""

import dataclasses
import math

import numpy as np

from holdfast.models.threshold import Threshold
from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import refused

SHARES = 1e-9
"""How far the shares of two classes may be from one together."""


def cut(trees: Trees, threshold: Threshold) -> Trees:
    """The same trees with another constant: class 1 wins exactly where the threshold says so.

    Sums behind a link are moved by the log-odds of the threshold, less what rounding may take from a probability that
    equals it: such a one, as thresholds chosen on data are, decides for the class. Shares, as forests vote with, are
    compared as they are, to the last bit: of an ensemble of ten trees two votes reach 0.2. The link of what comes back
    says nothing.

    Args:
        trees: Of two classes.
        threshold: Where one of them is decided.

    Raises:
        ModelError: HF270 for more classes, and for sums that are no probabilities.
    """
    column, outputs = threshold.column, len(trees.base)
    shift = np.array(np.broadcast_to(trees.shift, outputs), np.float64)
    if trees.classes != 2 or outputs > 2:
        raise refused(trees.library, f"a threshold over {trees.classes} classes", "two classes")
    near = threshold.rounding(float(np.finfo(trees.precision).eps), abs(threshold.odds))
    far = (threshold.odds - near) / trees.slope
    if trees.link == "sigmoid" and outputs == 1:
        shift -= far if column == 1 else -far
        return dataclasses.replace(trees, shift=shift)
    if trees.link == "softmax" and outputs == 2:
        shift[column] -= far
        return dataclasses.replace(trees, shift=shift)
    if trees.link == "identity" and outputs == 2 and _shares(trees, shift):
        sign, at = (1.0, float(np.nextafter(threshold.at, -math.inf))) if column == 1 else (-1.0, threshold.at)
        return dataclasses.replace(
            trees,
            values=np.ascontiguousarray(sign * trees.values[:, [column]]),
            base=sign * trees.base[[column]],
            shift=np.array([sign * (shift[column] - at)]),
        )
    raise refused(trees.library, f"a threshold over sums that are no probabilities ({trees.link})", "shares or odds")


def strictly(trees: Trees, threshold: Threshold) -> Trees:
    """What `cut` made, with sums that lie within rounding of the threshold counted against the class.

    The library's own probability decides on which side such a sum falls; a search that must miss nothing asks the way
    that is easier.

    Args:
        trees: As `cut` returned them.
        threshold: The same.
    """
    if trees.link == "identity":  # compared to the last bit
        return trees
    shift = np.array(np.broadcast_to(trees.shift, len(trees.base)), np.float64)
    band = 2 * threshold.rounding(float(np.finfo(trees.precision).eps), abs(threshold.odds)) / trees.slope
    if len(shift) == 1:
        shift -= band if threshold.column == 1 else -band
    else:
        shift[threshold.column] -= band
    return dataclasses.replace(trees, shift=shift)


def _shares(trees: Trees, shift: np.ndarray) -> bool:
    """Whether the two outputs are one together, whatever leaves are taken."""
    both = trees.values.sum(1)
    per_tree = np.split(both, np.cumsum(trees.feature < 0)[trees.roots[1:] - 1])
    whole = sum(float(one.mean()) for one in per_tree) + float(trees.base.sum())
    steady = all(float(np.ptp(one)) <= SHARES for one in per_tree)
    return steady and abs(whole / trees.divisor * trees.scale + float(shift.sum()) - 1) <= SHARES
