"""Boosted stumps of two classes on the exact robust loss, after scikit-learn's manner.

Andriushchenko and Hein, NeurIPS 2019, arXiv:1906.03526.
"""

import numpy as np

from holdfast.learning.robust_trees import Array, RobustTreesClassifier, summed
from holdfast.models.trees.compiled import compiled
from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import Tree

THIRDS = 30  # cut off the interval in which a weight lies: what is left of it is 1e-4 long
WIDE = 8.0  # no weight of a stump is larger


class RobustStumpsClassifier(RobustTreesClassifier):
    """A sum of stumps, each the one that lowers the exponential loss of the worst points in a ball of Linf most.

        F(x) = sum over columns of F_d(x_d)        min over the ball of y F = sum over columns of min y F_d

    A column sees nothing of the others, so the worst point is found column by column: the loss is exact, no bound.

    Args:
        radius: How far each column may move, a number or `(features,)`, in the data's own units.
        stumps: Rounds of boosting.
        rate: Share of each stump that is taken.
        thresholds: Places tried for a cut in each column, drawn from those between the ends of two samples' reach.
        seed: Of these places.
    """

    def __init__(
        self, radius: float | Array = 0.1, stumps: int = 50, rate: float = 0.5, thresholds: int = 40, seed: int = 0
    ):
        self.radius, self.stumps, self.rate, self.thresholds, self.seed = radius, stumps, rate, thresholds, seed

    def _learned(self, rows: Array, code: Array) -> Trees:
        sign, draw = 2.0 * code - 1.0, np.random.default_rng(self.seed)
        columns = [_Column(rows[:, f], self.reach_[f], sign, self.thresholds, draw) for f in range(rows.shape[1])]
        least = np.stack([column.least() for column in columns])
        made = []
        for _ in range(self.stumps):
            rest = least.sum(0) - least
            found = [column.best(np.exp(-other)) for column, other in zip(columns, rest, strict=True)]
            f = int(np.argmin([one[0] for one in found]))
            loss, k, left, right = found[f]
            if not np.isfinite(loss):
                break
            columns[f].add(k, self.rate * left, self.rate * right)
            least[f] = columns[f].least()
            made.append(_stump(f, columns[f].cuts[k], self.rate * left, self.rate * (left + right)))
        self.margin_ = least.sum(0)
        return summed(made or [_stump(0, 0.0, 0.0, 0.0)], rows.shape[1])

    def least_margin(self, x: Array, y: Array, radius: float | Array | None = None) -> Array:
        """The lowest y F in the ball around each row, `(n,)`, exactly: positive is a certificate.

        Negative is a break, where the data do not end before the ball does.

        Args:
            x: Rows `(n, features)`.
            y: Labels, `(n,)`.
            radius: Of the ball; the one that was learned against unless given.

        Raises:
            ParameterError: HF001 for a radius that is none.
            ThreatError: HF305 for labels that were not learned.
        """
        rows, sign, reach = self._asked(x, y, radius)
        trees, roots, total = self.trees_, self.trees_.roots, np.zeros(len(rows))
        for f in range(rows.shape[1]):
            own = roots[trees.feature[roots] == f]
            if not len(own):
                continue
            cuts = trees.threshold[own]
            under, over = (trees.values[trees.left[side[own]], 0] for side in (trees.left, trees.right))
            low, high = rows[:, f] - reach[f], rows[:, f] + reach[f]
            places = np.unique(cuts)
            spots = np.concatenate([np.nextafter(places, np.inf)[None].repeat(len(rows), 0), low[:, None]], 1)
            spots = np.clip(spots, low[:, None], high[:, None])
            total += (sign[:, None] * np.where(spots[..., None] <= cuts, under, over).sum(-1)).min(1)
        return total


class _Column:
    """What one column adds, a step function between its cuts, and which steps each sample reaches."""

    def __init__(self, values: Array, reach: float, sign: Array, most: int, draw: np.random.Generator):
        ends = np.unique(np.concatenate([values - reach, values + reach]))
        middle = ends[:-1] + (ends[1:] - ends[:-1]) / 2
        if len(middle) > most:
            middle = middle[np.sort(draw.choice(len(middle), most, replace=False))]
        self.cuts, self.sign = middle, sign
        self.first = np.searchsorted(middle, values - reach)  # steps are open below, closed above: x <= cut is left
        self.last = np.searchsorted(middle, values + reach)
        self.steps = np.zeros(len(middle) + 1)

    def least(self) -> Array:
        """The lowest y F_d that each sample reaches, `(n,)`."""
        return _least(self.steps, self.first, self.last, self.sign)

    def best(self, weight: Array) -> tuple[float, int, float, float]:
        """Loss, cut, what is added everywhere, and what is added right of the cut besides."""
        return _best(self.steps, self.first, self.last, self.sign, weight)

    def add(self, k: int, left: float, right: float) -> None:
        """Put a stump on the steps."""
        self.steps += left
        self.steps[k + 1 :] += right


def _stump(f: int, cut: float, left: float, right: float) -> Tree:
    return Tree(
        feature=np.array([f, -1, -1]),
        threshold=np.array([cut, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([[0.0], [left], [right]]),
        missing=np.zeros(3, np.int8),
    )


@compiled
def _least(steps: Array, first: Array, last: Array, sign: Array) -> Array:
    found = np.empty(len(first))
    for i in range(len(first)):
        low = np.inf
        for s in range(first[i], last[i] + 1):
            low = min(low, sign[i] * steps[s])
        found[i] = low
    return found


@compiled
def robust_loss(under: Array, over: Array, sign: Array, right: float) -> tuple[float, float]:
    """The least loss over what is added everywhere, and that, for a weight right of the cut.

    With the sums P of positive and N of negative samples, each the larger of what its two sides lose, the loss is
    P exp(-v) + N exp(v), least at v = log(P / N) / 2.

    Args:
        under: The most that each sample loses left of the cut, exp(-margin), 0 where it does not reach it.
        over: The same right of the cut, before the weight.
        sign: -1 or 1.
        right: The weight.
    """
    positive, negative = 0.0, 0.0
    less, more = np.exp(-right), np.exp(right)
    for i in range(len(sign)):
        if sign[i] > 0:
            positive += max(under[i], over[i] * less)
        else:
            negative += max(under[i], over[i] * more)
    everywhere = min(max(0.5 * np.log(positive / negative), -WIDE), WIDE) if positive > 0 and negative > 0 else 0.0
    return positive * np.exp(-everywhere) + negative * np.exp(everywhere), everywhere


@compiled
def _best(steps: Array, first: Array, last: Array, sign: Array, weight: Array) -> tuple[float, int, float, float]:
    """Over all cuts, by thirds of the weight right of it: the loss is convex in both weights together."""
    size = len(first)
    under, over = np.empty(size), np.empty(size)
    best, chosen, left, right = np.inf, 0, 0.0, 0.0
    for k in range(len(steps) - 1):
        for i in range(size):
            lowest, other = np.inf, np.inf
            for s in range(first[i], last[i] + 1):
                if s <= k:
                    lowest = min(lowest, sign[i] * steps[s])
                else:
                    other = min(other, sign[i] * steps[s])
            under[i], over[i] = weight[i] * np.exp(-lowest), weight[i] * np.exp(-other)
        low, high = -WIDE, WIDE
        for _ in range(THIRDS):
            one, two_thirds = low + (high - low) / 3, high - (high - low) / 3
            if robust_loss(under, over, sign, one)[0] <= robust_loss(under, over, sign, two_thirds)[0]:
                high = two_thirds
            else:
                low = one
        middle = (low + high) / 2
        loss, everywhere = robust_loss(under, over, sign, middle)
        if loss < best:
            best, chosen, left, right = loss, k, everywhere, middle
    return best, chosen, left, right
