"""Provably robust boosted stumps, Andriushchenko and Hein, NeurIPS 2019, arXiv:1906.03526."""

import dataclasses

from holdfast.core.params import Count, PositiveShare
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.training.robust_splitting import ball
from holdfast.learning.learner import Learner
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustStumps(Learner):
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

    threat: Threat = Linf(8 / 255)
    stumps: Count = 50
    rate: PositiveShare = 0.5
    thresholds: Count = 40

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model whose stumps can be read.

        Args:
            dataset: Two classes of numbers; it is left as it is.
            seed: Of the places that are tried; the global random state stays as it is.
            on_event: Not told anything.

        Raises:
            ThreatError: HF316 for other threats than a ball of Linf, HF307 where the data have a schema.
            DataError: HF155 for other than two classes.
        """
        from holdfast.learning.robust_stumps import RobustStumpsClassifier

        made = RobustStumpsClassifier(
            radius=ball(self.threat, dataset), stumps=self.stumps, rate=self.rate, thresholds=self.thresholds, seed=seed
        )
        made.fit(dataset.x.double().flatten(1).numpy(), dataset.y.numpy())
        return settle(wrap(made, dataset.bounds), dataset.x)
