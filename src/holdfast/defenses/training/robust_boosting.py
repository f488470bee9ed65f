"""Provably robust boosted trees, Andriushchenko and Hein, NeurIPS 2019, arXiv:1906.03526."""

import dataclasses
from typing import Any

from holdfast.core.params import Count, PositiveShare
from holdfast.defenses.training._robust_trees import RobustTrees


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustBoosting(RobustTrees):
    """Boosted trees of two classes on an upper bound of the exponential loss of the worst point in a ball.

        tree <- argmin  sum over samples of exp(-(least margin so far)) exp(-min over the ball of y tree)

    What one tree says at worst is the least of the leaves that the ball reaches. Trees are added up as if each met a
    worst point of its own, so the loss is a bound, and the model's `least_margin` a certificate that may be less than
    the true distance and is never more: `hf.exact_distance` tells how much. Unlike `RobustStumps` it sees how columns
    play together.

    Cost: `trees` * inner nodes * columns * `thresholds` * samples additions, and the leaves of every tree are weighed
    by some hundred passes over the samples: seconds for 50 trees of depth 4 on 400 samples of 30 columns.
    No attack is run.

    Deviations: cuts are tried at drawn places, trees are shrunk by `rate`, half a sample of each class stands in every
    leaf, leaves are weighed again once a tree is grown, and only two classes are told apart.

    Args:
        threat: What it shall withstand, a ball of Linf.
        trees: Rounds of boosting.
        depth: Cuts between the root and a leaf, at most.
        rate: Share of each tree that is taken.
        thresholds: Places tried for a cut in each column.
    """

    trees: Count = 50
    depth: Count = 4
    rate: PositiveShare = 0.3
    thresholds: Count = 40

    def classifier(self, **settings: Any) -> Any:
        """A RobustBoostingClassifier."""
        from holdfast.learning.robust_boosting import RobustBoostingClassifier

        return RobustBoostingClassifier(**settings)
