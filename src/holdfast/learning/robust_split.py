"""The split of a node that is purest after an attacker has moved the samples that reach its other side.

The exact adversarial Gini of two classes in sorted order: Vos and Verwer, ICML 2021, arXiv:2012.10438.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.compiled import compiled

Array = NDArray[Any]


@compiled
def worst(left: Array, free: Array, right: Array, start: Array) -> tuple[float, float, float]:
    """The highest impurity n * Gini over both sides that an attacker reaches, and what then stands left of each class.

    With A, B of the two classes on a side, its impurity is 2 A B / (A + B): concave, and homogeneous of degree one. So
    it is highest where both sides have the proportions of the whole node, wherever the attacker reaches that, and else
    in the corner of its moves nearest to it. Of all such moves the nearest to no move at all is taken. Moves are shares
    of samples: whole samples reach at most that.

    Args:
        left: Weight of each class that stays left, `(2,)`.
        free: Weight that may be on either side, `(2,)`.
        right: Weight that stays right, `(2,)`.
        start: Of the free weight, what is left before any move, `(2,)`.
    """
    all0, all1 = left[0] + free[0] + right[0], left[1] + free[1] + right[1]
    if (left[1] + free[1]) * all0 < left[0] * all1:
        zero, one = 0.0, free[1]
    elif left[1] * all0 > (left[0] + free[0]) * all1:
        zero, one = free[0], 0.0
    elif all0 <= 0 or all1 <= 0:
        zero, one = start[0], start[1]
    else:
        off = (left[1] + start[1]) * all0 - (left[0] + start[0]) * all1
        zero = start[0] + off * all1 / (all0 * all0 + all1 * all1)
        least = max(0.0, left[1] * all0 / all1 - left[0])
        most = min(free[0], (left[1] + free[1]) * all0 / all1 - left[0])
        zero = min(max(zero, least), most)
        one = min(max((left[0] + zero) * all1 / all0 - left[1], 0.0), free[1])
    impurity = 0.0
    for side in range(2):
        a = left[0] + zero if side == 0 else right[0] + free[0] - zero
        b = left[1] + one if side == 0 else right[1] + free[1] - one
        if a > 0 and b > 0:
            impurity += 2 * a * b / (a + b)
    return impurity, zero, one


@compiled
def split(low: Array, at: Array, high: Array, label: Array, leaf: float) -> tuple[float, float, float, float]:
    """The best threshold of one feature: impurity (inf where there is none), threshold, what goes left of each class.

    Goes once through the places where somebody starts or ends to reach a side, in order.

    Args:
        low: The lowest value that each sample may have in this node, `(n,)`.
        at: The value that it has.
        high: The highest.
        label: 0 or 1, `(n,)`.
        leaf: Samples that each side keeps at least.
    """
    size = len(low)
    ends = np.concatenate((low, at, high))
    order = np.argsort(ends)
    left, free, right, start = np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2)
    for i in range(size):
        right[label[i]] += 1.0
    best, threshold, zero, one = np.inf, 0.0, 0.0, 0.0
    for k in range(3 * size - 1):
        i, kind = order[k] % size, order[k] // size
        c = label[i]
        if kind == 0:
            right[c] -= 1.0
            free[c] += 1.0
        elif kind == 1:
            start[c] += 1.0
        else:
            free[c] -= 1.0
            start[c] -= 1.0
            left[c] += 1.0
        here, after = ends[order[k]], ends[order[k + 1]]
        if after > here:
            impurity, b, a = worst(left, free, right, start)
            count = left[0] + left[1] + a + b
            if impurity < best and count >= leaf and size - count >= leaf:
                best, zero, one = impurity, left[0] + b, left[1] + a
                threshold = here + (after - here) / 2
                if threshold >= after:
                    threshold = here
    return best, threshold, zero, one
