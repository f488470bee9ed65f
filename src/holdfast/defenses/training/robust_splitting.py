"""Robust splitting (GROOT), Vos and Verwer, ICML 2021, arXiv:2012.10438; Chen et al., ICML 2019, arXiv:1902.10660."""

import dataclasses
from typing import Any

from holdfast.core.params import Count, Share
from holdfast.defenses.training._robust_trees import RobustTrees


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustSplitting(RobustTrees):
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

    trees: Count = 100
    depth: Count = 8
    leaf: Count = 1
    columns: Share = 0.0

    def classifier(self, **settings: Any) -> Any:
        """A RobustForestClassifier."""
        from holdfast.learning.robust_forest import RobustForestClassifier

        return RobustForestClassifier(**settings)
