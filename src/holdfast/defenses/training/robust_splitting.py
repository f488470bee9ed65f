"""Robust splitting (GROOT), Vos and Verwer, ICML 2021, arXiv:2012.10438; Chen et al., ICML 2019, arXiv:1902.10660."""

import dataclasses

from holdfast.attacks.run import belongs
from holdfast.core.errors import ThreatError
from holdfast.core.params import Count, Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustSplitting(Learner):
    """A tree or a forest of two classes whose splits stay pure when an attacker moves samples across them.

        split <- the one with the least  max over moves in the ball of  n_left Gini(left) + n_right Gini(right)

    The maximum is exact and closed: the attacker makes both sides as mixed as the node where it can, else comes as near
    to that as it can. Samples learn on where the attacker puts them. Nothing is promised of the whole forest: greedy
    splits and a mean of trees have a robust accuracy that only `hf.exact_distance` tells.

    Cost: three times CART; no attack is run while it learns.

    Deviations: of the samples that may go either way the lowest go left, where the paper draws them, and a box shrinks
    on its way down.

    Args:
        threat: What each split shall withstand, a ball of Linf.
        trees: One for a single tree on all samples and columns.
        depth: Questions on the longest way.
        leaf: Samples that a leaf keeps at least.
        columns: Share of the columns that a split may choose from; 0 for the square root of their number.
    """

    threat: Threat = Linf(8 / 255)
    trees: Count = 100
    depth: Count = 8
    leaf: Count = 1
    columns: Share = 0.0

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model whose trees can be read.

        Args:
            dataset: Two classes of numbers; it is left as it is.
            seed: Of bootstraps and columns; the global random state stays as it is.
            on_event: Not told anything.

        Raises:
            ThreatError: HF316 for other threats than a ball of Linf, HF307 where the data have a schema.
            DataError: HF155 for other than two classes.
        """
        from holdfast.learning.robust_forest import RobustForestClassifier

        forest = RobustForestClassifier(
            radius=ball(self.threat, dataset),
            trees=self.trees,
            depth=self.depth,
            leaf=self.leaf,
            columns=self.columns,
            seed=seed,
        )
        forest.fit(dataset.x.double().flatten(1).numpy(), dataset.y.numpy())
        return settle(wrap(forest, dataset.bounds), dataset.x)


def ball(threat: Threat, dataset: Dataset) -> float:
    """The radius of a ball of Linf around samples of two classes.

    Raises:
        ThreatError: HF316 for another threat, HF307 where the data have a schema.
        DataError: HF155 for data of other than two classes, also where only two of them have samples.
    """
    from holdfast.learning.robust_forest import not_two

    belongs(threat, dataset.space)
    if not isinstance(threat, Linf) or not threat.bounded:
        raise ThreatError(
            "HF316",
            "Splits are hardened against a ball of Linf alone",
            seen=threat.literal,
            expected="linf:RADIUS, with a radius",
            fix="AdversarialRounds serves any threat that an attack serves",
        )
    if dataset.n_classes != 2:
        raise not_two(dataset.n_classes)
    return float(threat.radius)
