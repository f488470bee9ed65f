"""Boosted trees of two classes on an upper bound of the robust loss, after scikit-learn's manner.

Andriushchenko and Hein, NeurIPS 2019, arXiv:1906.03526.
"""

import dataclasses

import numpy as np

from holdfast.learning.robust_trees import Array, RobustTreesClassifier, summed
from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import Tree

WIDE = 8.0  # no weight of a leaf is larger
PASSES, THIRDS = 4, 40  # over the leaves of a tree; cuts of the interval of a leaf's weight
GAIN = 1e-4  # of a leaf's loss that a split has to take away


class RobustBoostingClassifier(RobustTreesClassifier):
    """A sum of trees, each grown to lower the exponential loss of the worst points in a ball of Linf.

        min over the ball of y F  >=  sum over trees of min over the ball of y f_t

    What a tree says at worst is the least of the leaves that the ball reaches, which is exact. The worst points of two
    trees need not be one point, so the sum is a bound from below: a certificate where it is positive. For one tree it
    is exact.

    Args:
        radius: How far each column may move, a number or `(features,)`, in the data's own units.
        trees: Rounds of boosting.
        depth: Cuts between the root and a leaf, at most.
        rate: Share of each tree that is taken.
        thresholds: Places tried for a cut in each column, drawn anew for each tree from those between the ends of two
            samples' reach.
        seed: Of these places.
    """

    def __init__(
        self,
        radius: float | Array = 0.1,
        trees: int = 50,
        depth: int = 4,
        rate: float = 0.3,
        thresholds: int = 40,
        seed: int = 0,
    ):
        self.radius, self.trees, self.depth, self.rate = radius, trees, depth, rate
        self.thresholds, self.seed = thresholds, seed

    def _learned(self, rows: Array, code: Array) -> Trees:
        sign, draw = 2.0 * code - 1.0, np.random.default_rng(self.seed)
        low, high = _ends(rows, self.reach_)
        self.margin_ = np.zeros(len(rows))
        made: list[Tree] = []
        for _ in range(self.trees):
            weight = np.exp(-self.margin_)
            tree = _Growing(low, high, sign, weight, _cuts(low, high, self.thresholds, draw), self.depth).tree()
            if tree is None:
                break
            made.append(dataclasses.replace(tree, value=self.rate * tree.value))
            self.margin_ += _least(summed(made[-1:], rows.shape[1]), low, high, sign)
        return summed(made or [_leaf_alone()], rows.shape[1])

    def least_margin(self, x: Array, y: Array, radius: float | Array | None = None) -> Array:
        """A bound of the lowest y F in the ball around each row from below, `(n,)`: positive is a certificate.

        Not positive says nothing; of one tree negative is a break, where the data do not end before the ball does.

        Args:
            x: Rows `(n, features)`.
            y: Labels, `(n,)`.
            radius: Of the ball; the one that was learned against unless given.

        Raises:
            ParameterError: HF001 for a radius that is none.
            ThreatError: HF305 for labels that were not learned.
        """
        rows, sign, reach = self._asked(x, y, radius)
        return _least(self.trees_, *_ends(rows, reach), sign)


class _Growing:
    """One tree while it grows: leaves that are split where that lowers the loss most, then weighed together."""

    def __init__(self, low: Array, high: Array, sign: Array, weight: Array, cuts: list[Array], depth: int):
        self.low, self.high, self.sign, self.weight, self.cuts, self.depth = low, high, sign, weight, cuts, depth
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.children: list[tuple[int, int]] = []
        self.reached: list[Array] = []
        self.smooth = weight.sum() / (2 * len(weight))  # half a sample of each class in every leaf

    def tree(self) -> Tree | None:
        """The tree; None where no cut lowers the loss."""
        self._grow(np.arange(len(self.sign)), self.depth)
        if len(self.feature) == 1:
            return None
        nodes, value = len(self.feature), np.zeros((len(self.feature), 1))
        leaves = [node for node in range(nodes) if self.feature[node] < 0]
        value[leaves, 0] = self._weighed([self.reached[node] for node in leaves])
        left, right = (np.array([pair[side] for pair in self.children]) for side in (0, 1))
        return Tree(
            feature=np.array(self.feature),
            threshold=np.array(self.threshold),
            left=left,
            right=right,
            value=value,
            missing=np.zeros(nodes, np.int8),
        )

    def _grow(self, inside: Array, depth: int) -> int:
        """The number of a node that the balls of the samples `inside` reach."""
        node = len(self.feature)
        self.feature.append(-1)
        self.threshold.append(0.0)
        self.children.append((-1, -1))
        self.reached.append(inside)
        best = self._best(inside) if depth and len(inside) > 1 else None
        if best is not None:
            f, cut = best
            self.feature[node], self.threshold[node] = f, cut
            under, over = inside[self.low[inside, f] <= cut], inside[self.high[inside, f] > cut]
            left = self._grow(under, depth - 1)
            self.children[node] = (left, self._grow(over, depth - 1))
        return node

    def _best(self, inside: Array) -> tuple[int, float] | None:
        """Column and cut of the stump with the least robust loss on these samples; None where none lowers it."""
        weight, positive = self.weight[inside], self.sign[inside] > 0
        sums = np.stack([weight * positive, weight * ~positive])
        whole = sums.sum(1)
        least, found = (1 - GAIN) * 2 * np.sqrt(whole[0] * whole[1]), None
        for f, cuts in enumerate(self.cuts):
            if not len(cuts):
                continue  # a column of one value that may not move
            under, over = self.low[inside, f, None] <= cuts, self.high[inside, f, None] > cuts
            loss = stump_loss(*(sums @ part for part in (under & ~over, over & ~under, under & over)))
            k = int(loss.argmin())
            if loss[k] < least:
                least, found = float(loss[k]), (f, float(cuts[k]))
        return found

    def _weighed(self, leaves: list[Array]) -> Array:
        """Weights of the leaves that lower the robust loss of the whole tree, one leaf after another.

        A sample loses the most that a leaf in its reach makes it lose. In one weight that is convex.
        """
        value = np.array([self._alone(inside) for inside in leaves])
        reach = np.zeros((len(self.sign), len(leaves)), bool)
        for leaf, inside in enumerate(leaves):
            reach[inside, leaf] = True
        for _ in range(PASSES):
            before = value.copy()
            for leaf, inside in enumerate(leaves):
                others = np.where(reach[inside], -self.sign[inside, None] * value, -np.inf)
                others[:, leaf] = -np.inf
                value[leaf] = self._one(inside, np.exp(others.max(1)))
            if np.abs(value - before).max() < 1e-4:
                break
        return value

    def _alone(self, inside: Array) -> float:
        weight, positive = self.weight[inside], self.sign[inside] > 0
        plus, minus = weight[positive].sum() + self.smooth, weight[~positive].sum() + self.smooth
        return float(np.clip(0.5 * np.log(plus / minus), -WIDE, WIDE))

    def _one(self, inside: Array, rest: Array) -> float:
        """The best weight of a leaf, by thirds, where `rest` is what each sample loses elsewhere."""
        weight, positive = self.weight[inside], self.sign[inside] > 0
        sides = [(weight[side], rest[side]) for side in (positive, ~positive)]

        def loss(value: float) -> float:
            one, other = np.exp(-value), np.exp(value)
            (w, r), (v, q) = sides
            kept = w @ np.maximum(r, one) + v @ np.maximum(q, other)
            return float(kept + self.smooth * (one + other))

        low, high = -WIDE, WIDE
        for _ in range(THIRDS):
            one, two_thirds = low + (high - low) / 3, high - (high - low) / 3
            if loss(one) <= loss(two_thirds):
                high = two_thirds
            else:
                low = one
        return (low + high) / 2


def stump_loss(left: Array, right: Array, both: Array) -> Array:
    """The least robust exponential loss of a stump, `(cuts,)`, in closed form.

    With v added everywhere and r right of the cut besides, sample i loses w_i exp(-y_i v) left, w_i exp(-y_i (v + r))
    right, and the larger of the two where it reaches both sides. Summed over the classes that is P(r) exp(-v) + N(r)
    exp(v), least at 2 sqrt(P N). For r >= 0, P N = (A + B exp(-r)) (C + D exp(r)), least at exp(2 r) = B C / (A D).

    Args:
        left: Weights of the positive and the negative samples that reach the left side alone, `(2, cuts)`.
        right: The same of the right side.
        both: The same of those that reach both.
    """
    best = np.full(left.shape[1], np.inf)
    for (p_left, n_left), (p_right, n_right) in ((left, right), (right, left)):  # the second is r <= 0, mirrored
        a, b, c, d = p_left + both[0], p_right, n_left, n_right + both[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            e = np.sqrt((b * c) / (a * d))
        e = np.clip(np.nan_to_num(e, nan=1.0, posinf=np.exp(2 * WIDE)), 1.0, np.exp(2 * WIDE))
        best = np.minimum(best, (a + b / e) * (c + d * e))
    found: Array = 2 * np.sqrt(best)
    return found


def _ends(rows: Array, reach: Array) -> tuple[Array, Array]:
    """What each ball reaches, `(n, features)` twice, one step wider so that rounding hides no point of it."""
    wide = np.where(reach > 0, np.inf, 0.0)
    low, high = rows - reach, rows + reach
    return np.where(wide > 0, np.nextafter(low, -np.inf), rows), np.where(wide > 0, np.nextafter(high, np.inf), rows)


def _cuts(low: Array, high: Array, most: int, draw: np.random.Generator) -> list[Array]:
    """For each column places to cut at, between the ends of what samples reach."""
    found = []
    for f in range(low.shape[1]):
        ends = np.unique(np.concatenate([low[:, f], high[:, f]]))
        middle = ends[:-1] + (ends[1:] - ends[:-1]) / 2
        if len(middle) > most:
            middle = middle[np.sort(draw.choice(len(middle), most, replace=False))]
        found.append(middle)
    return found


def _least(trees: Trees, low: Array, high: Array, sign: Array) -> Array:
    """The sum over trees of the lowest y f that each ball reaches, `(n,)`; each exact where the data do not end before.

    Args:
        trees: As `summed` plants them.
        low: The lowest that each ball reaches, `(n, features)`.
        high: The highest, `(n, features)`.
        sign: Of each label, `(n,)`.
    """
    total = np.zeros(len(sign))
    for root in trees.roots.tolist():
        found = np.full(len(sign), np.inf)
        waiting = [(root, np.arange(len(sign)))]
        while waiting:
            node, inside = waiting.pop()
            f, left = trees.feature[node], int(trees.left[node])
            if f < 0:  # `left` is the row of its value
                found[inside] = np.minimum(found[inside], sign[inside] * trees.values[left, 0])
                continue
            cut = trees.threshold[node]
            waiting.append((left, inside[low[inside, f] <= cut]))
            waiting.append((int(trees.right[node]), inside[high[inside, f] > cut]))
        total += found
    return total


def _leaf_alone() -> Tree:
    """A tree that adds nothing."""
    none = np.array([-1])
    return Tree(
        feature=none, threshold=np.zeros(1), left=none, right=none, value=np.zeros((1, 1)), missing=np.zeros(1, np.int8)
    )
