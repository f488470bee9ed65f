"""How differently members of an ensemble err: Kuncheva and Whitaker, Machine Learning 51, 2003.

`right` is a table `(members, samples)` of truth values: whether member m is right on sample i.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity


def disagree(one: Tensor, other: Tensor) -> Tensor:
    """Samples on which exactly one of the two is right: `(n,)`; their share is the disagreement."""
    return one.bool() != other.bool()


def both_wrong(one: Tensor, other: Tensor) -> Tensor:
    """Samples on which both are wrong: `(n,)`; their share is the double fault."""
    return ~(one.bool() | other.bool())


def q_statistic(one: Tensor, other: Tensor) -> float | None:
    """Yule's Q, from -1 (they err on different samples) over 0 (independent) to 1 (on the same); None where 0 / 0.

    Q = (n11 n00 - n01 n10) / (n11 n00 + n01 n10)
    """
    one, other = one.bool(), other.bool()
    same, apart = int((one & other).sum()) * int(both_wrong(one, other).sum()), int((one & ~other).sum())
    apart *= int((~one & other).sum())
    return (same - apart) / (same + apart) if same + apart else None


def entropy(right: Tensor) -> float:
    """0 where all members are always right or wrong together, 1 where every sample splits them in halves.

    E = mean over samples of min(l, L - l) / (L - ceil(L / 2)), l of L members right
    """
    members, votes = len(right), right.bool().sum(0)
    return float(torch.minimum(votes, members - votes).double().mean() / (members - math.ceil(members / 2)))


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosine of the angle between two gradients of each sample `(batch, ...)`: `(batch,)`, nan where one is zero."""
    a, b = one.flatten(1).double(), other.flatten(1).double()
    lost = (a.norm(dim=1) == 0) | (b.norm(dim=1) == 0)
    return torch.where(lost, torch.nan, cosine_similarity(a, b, dim=1, eps=torch.finfo(a.dtype).tiny))
