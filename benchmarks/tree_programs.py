"""Exact L1 and L2 distances of a boosted ensemble beside a second mixed integer program: do they agree.

    HOLDFAST_DATA=... .venv/bin/python benchmarks/tree_programs.py

The ensemble and points of `benchmarks/trees.py`: XGBoost, 100 trees of depth 4 on MNIST's twos and sixes, the first 20
test digits that it gets right. The second program is that of Kantchelian, Tygar and Joseph, ICML 2016,
arXiv:1509.07892, written down from the paper and from XGBoost's own file, without the arrays, boxes or program of
`hf.exact_distance`: a binary variable for each predicate x_f < t, ordered by t for each feature; a variable for each
leaf; in each tree the leaves sum to one, and those below a predicate are at most it (or its complement). A feature
pays for the interval between two thresholds in which it lies, in L2 the square of that, so both norms are linear. It
is handed to `scipy.optimize.milp` and told nothing of our distances. HiGHS stops at a gap of 1e-6 of what it
minimizes, so costs are counted in thousandths.

The table: points that the second program proves within `--seconds` of the clock and that ours does, how many of its
witnesses XGBoost itself confirms, the largest difference of the distances of the witnesses over the proven points, as a
share of ours, the median distance, and processor seconds a point of both.
"""

import argparse
import dataclasses
import json
import pathlib
import tempfile
import time
from typing import Any

import numpy as np
import xgboost
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array
from trees import prepare

SCALE = 1000.0
POWERS = {"l1": 1, "l2": 2}


@dataclasses.dataclass(frozen=True)
class Tree:
    """A tree of XGBoost's file; `left` is -1 at leaves, `value` a leaf's weight or an inner node's threshold."""

    left: list[int]
    right: list[int]
    feature: list[int]
    value: Any

    def leaves(self, node: int) -> list[int]:
        """The leaves below a node."""
        if self.left[node] < 0:
            return [node]
        return self.leaves(self.left[node]) + self.leaves(self.right[node])

    def inner(self) -> list[int]:
        """The nodes that ask."""
        return [node for node, left in enumerate(self.left) if left >= 0]


def read(model: Any) -> tuple[list[Tree], float]:
    """The trees in XGBoost's JSON, and the margin they add to."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    start = float(learner["learner_model_param"]["base_score"].strip("[]"))
    names = ("left_children", "right_children", "split_indices")
    trees = [
        Tree(*(one[name] for name in names), np.array(one["split_conditions"], np.float32))
        for one in learner["gradient_booster"]["model"]["trees"]
    ]
    return trees, float(np.log(start / (1 - start)))


def intervals(cuts: Any, value: Any) -> tuple[Any, Any]:
    """The nearest points to a value in the intervals between sorted thresholds, how far they are; inf outside 0..1."""
    low = np.concatenate([[np.float32(0)], cuts])
    high = np.concatenate([np.nextafter(cuts, np.float32(-np.inf)), [np.float32(1)]])
    near = np.clip(value, low, high)
    gone = (low > high) | (low > 1) | (high < 0)
    return near, np.where(gone, np.inf, np.abs(near.astype(float) - float(value)))


class Program:
    """What is the same for all points: the predicates, the leaves, and the rows that tie them together."""

    def __init__(self, trees: list[Tree], start: float) -> None:
        asked = sorted({(t.feature[n], t.value[n]) for t in trees for n in t.inner()})
        self.start, self.number = start, {one: i for i, one in enumerate(asked)}
        self.cuts = {
            f: np.array([cut for g, cut in asked if g == f], np.float32) for f in sorted({f for f, _ in asked})
        }
        self.rows, self.low, self.high, self.weights = [], [], [], [0.0] * len(asked)
        for f, cuts in self.cuts.items():
            for below, above in zip(cuts[:-1], cuts[1:], strict=True):  # x < below says x < above
                self._row({self.number[f, below]: 1.0, self.number[f, above]: -1.0}, -np.inf, 0.0)
        for tree in trees:
            self._tree(tree)
        entries = [(i, j, one) for i, row in enumerate(self.rows) for j, one in row.items()]
        at_row, at_column, one = zip(*entries, strict=True)
        self.matrix = coo_array((one, (at_row, at_column)), shape=(len(self.rows), len(self.weights))).tocsr()

    def _row(self, row: dict[int, float], low: float, high: float) -> None:
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def _tree(self, tree: Tree) -> None:
        first = len(self.weights)
        leaf = {node: first + i for i, node in enumerate(tree.leaves(0))}
        self.weights += [float(tree.value[node]) for node in leaf]
        self._row(dict.fromkeys(leaf.values(), 1.0), 1.0, 1.0)
        for node in tree.inner():
            predicate = self.number[tree.feature[node], tree.value[node]]
            yes, no = (dict.fromkeys((leaf[n] for n in tree.leaves(s[node])), 1.0) for s in (tree.left, tree.right))
            self._row(yes | {predicate: -1.0}, -np.inf, 0.0)
            self._row(no | {predicate: 1.0}, -np.inf, 1.0)

    def nearest(self, x: Any, label: int, power: int, seconds: float) -> tuple[float, bool, Any]:
        """The distance of a point to the other class, whether it is proven, and the point there."""
        size = len(self.weights)
        price, low, high = np.zeros(size), np.zeros(size), np.ones(size)
        for f, cuts in self.cuts.items():
            cost = intervals(cuts, x[f])[1] ** power
            here, at = int(np.argmin(cost)), np.array([self.number[f, cut] for cut in cuts])
            gone = np.isinf(cost)
            high[at[:here][gone[:here]]] = 0.0  # not below this threshold
            low[at[here:][gone[here + 1 :]]] = 1.0  # not above it
            cost[gone] = 0.0
            price[at] = cost[:-1] - cost[1:]  # of z_j = p_j - p_(j-1), the indicator of interval j
        sign = 1.0 if label else -1.0  # label 1 is left where the sum is at most 0
        decides = LinearConstraint(sign * np.array(self.weights)[None], -np.inf, -sign * self.start)
        found = milp(
            SCALE * price,
            integrality=np.arange(size) < len(self.number),  # the leaves follow
            bounds=Bounds(low, high),
            constraints=[LinearConstraint(self.matrix, self.low, self.high), decides],
            options={"mip_rel_gap": 0.0, "time_limit": seconds},
        )
        if found.x is None:
            return np.inf, found.status == 2, x
        there = x.copy()
        for f, cuts in self.cuts.items():
            held = [found.x[self.number[f, cut]] > 0.5 for cut in cuts]
            there[f] = intervals(cuts, x[f])[0][held.index(True) if True in held else len(cuts)]
        return float(np.linalg.norm(there.astype(float) - x.astype(float), power)), found.status == 0, there


def compare(folder: pathlib.Path, points: int, seconds: float) -> None:
    """Both programs on the first points, in both norms."""
    import holdfast as hf

    model = xgboost.XGBClassifier(n_jobs=1)
    model.load_model(folder / "model.json")
    saved = np.load(folder / "points.npz")
    x, y = saved["x"][:points], saved["y"][:points]
    trees, start = read(model)
    program, wrapped = Program(trees, start), hf.wrap(model, bounds=(0, 1))
    hf.exact_distance(wrapped, x[:1], y[:1], norm="l2")
    print(f"{len(trees)} trees, {len(program.number)} predicates, {len(program.weights)} variables", end="")
    print(f"\n{'norm':6}{'proven':>7}{'ours':>6}{'confirmed':>11}{'largest difference':>20}{'median':>9}", end="")
    print(f"{'s a point':>11}{'worst':>8}{'ours':>8}")
    for norm, power in POWERS.items():
        mine, second, proven, ours, theirs, shown, confirmed = [], [], [], [], [], 0, 0
        for row, label in zip(x, y.tolist(), strict=True):
            begin = time.process_time()
            one = hf.exact_distance(wrapped, row[None], [label], norm=norm)
            middle = time.process_time()
            far, sure, there = program.nearest(row, label, power, seconds)
            theirs.append(time.process_time() - middle)
            ours.append(middle - begin)
            mine.append(float(one.distance))
            second.append(far)
            proven.append(sure)
            shown += int(one.proven)
            confirmed += int(model.predict(there[None])[0] != label)
        off = np.abs(np.array(second) / np.array(mine) - 1)[proven]
        print(
            f"{norm:6}{sum(proven):7}{shown:6}{confirmed:11}{off.max(initial=0):20.1e}{np.median(second):9.4f}", end=""
        )
        print(f"{np.mean(theirs):11.2f}{max(theirs):8.2f}{np.mean(ours):8.2f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600, help="of the clock, for one point in one norm")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        print(f"accuracy {prepare(folder, options.points):.4f}, {options.points} points", flush=True)
        compare(folder, options.points, options.seconds)


if __name__ == "__main__":
    main()
