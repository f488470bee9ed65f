"""Provably robust boosted stumps, Andriushchenko and Hein, NeurIPS 2019, arXiv:1906.03526."""

import dataclasses
from typing import Any

from holdfast.core.params import Count, PositiveShare
from holdfast.defenses.training._robust_trees import RobustTrees


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustStumps(RobustTrees):
    """Boosted stumps of two classes on the exponential loss of the worst point in a ball, which is exact for stumps.

        stump <- argmin  sum over samples of exp(-min over the ball of y (F + stump))

    Every stump looks at one column, so the worst point is found column by column in closed form, while it learns and
    afterwards: the model's `least_margin` is a certificate where it is positive, and
    agrees with `hf.exact_distance`. Stumps know no interplay of columns: where that is needed they cost accuracy.

    Cost: `stumps` * columns * `thresholds` * samples * 60 additions: with the extra `trees` seconds for 50 stumps on
    500 samples of 30 columns. No attack is run.

    Deviations: cuts are tried at drawn places, stumps are shrunk by `rate`, and only two classes are told apart. The
    paper's deeper trees, with an upper bound for the loss, are `RobustBoosting`.

    Args:
        threat: What it shall withstand, a ball of Linf.
        stumps: Rounds of boosting.
        rate: Share of each stump that is taken.
        thresholds: Places tried for a cut in each column.
    """

    stumps: Count = 50
    rate: PositiveShare = 0.5
    thresholds: Count = 40

    def classifier(self, **settings: Any) -> Any:
        """A RobustStumpsClassifier."""
        from holdfast.learning.robust_stumps import RobustStumpsClassifier

        return RobustStumpsClassifier(**settings)
