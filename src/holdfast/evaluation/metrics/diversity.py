"""How differently members of an ensemble err: Kuncheva and Whitaker, Machine Learning 2003."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def disagreement(right: Tensor) -> tuple[int, int]:
    """Pairs of members of which exactly one is right, of all pairs and samples: `(members, n)` -> count, total."""
    pairs = list(itertools.combinations(range(len(right)), 2))
    return sum(int((right[a] != right[b]).sum()) for a, b in pairs), len(pairs) * right.shape[1]


def double_fault(right: Tensor) -> tuple[int, int]:
    """Pairs of members that are both wrong, of all pairs and samples: `(members, n)` -> count, total."""
    pairs = list(itertools.combinations(range(len(right)), 2))
    return sum(int((~right[a] & ~right[b]).sum()) for a, b in pairs), len(pairs) * right.shape[1]


def q_statistic(right: Tensor) -> float:
    """Yule's Q over pairs of members, averaged: 1 where they err on the same samples, 0 where they err independently.

        Q = (both right * both wrong - only first * only second) / (both right * both wrong + only first * only second)

    Args:
        right: `(members, n)` whether each member is right.

    Returns:
        The mean over the pairs for which it is defined; NaN where it is for none.
    """
    found = [_yule(right[a], right[b]) for a, b in itertools.combinations(range(len(right)), 2)]
    known = [q for q in found if not math.isnan(q)]
    return sum(known) / len(known) if known else math.nan


def alignment(gradients: Sequence[Tensor]) -> float:
    """Mean cosine between the members' input gradients, over pairs and samples: `(n, ...)` each; zero rows left out."""
    flat = [g.flatten(1).double() for g in gradients]
    found = []
    for a, b in itertools.combinations(flat, 2):
        length = a.norm(dim=1) * b.norm(dim=1)
        found.append(((a * b).sum(1) / length)[length > 0])
    cosines = torch.cat(found)
    return float(cosines.mean()) if len(cosines) else math.nan


def _yule(one: Tensor, other: Tensor) -> float:
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    first, second = int((one & ~other).sum()), int((~one & other).sum())
    below = both * neither + first * second
    return (both * neither - first * second) / below if below else math.nan
