"""Cross-entropy of a classifier's scores, in nats."""

import torch
from torch import Tensor


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Minus the log-probability of the label: `(batch, classes)`, `(batch,)` -> `(batch,)` float64."""
    z = scores.double()
    return torch.logsumexp(z, 1) - z.gather(1, labels[:, None])[:, 0]


def confidence(scores: Tensor) -> Tensor:
    """Probability of the class decided for: `(batch, classes)` -> `(batch,)` float64."""
    return torch.softmax(scores.double(), 1).amax(1)
