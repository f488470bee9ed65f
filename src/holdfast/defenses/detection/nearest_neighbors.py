"""Conformity with the nearest neighbors, Papernot and McDaniel 2018, arXiv:1803.04765."""

import dataclasses

import torch
from torch import Tensor

from holdfast.core.params import Count, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import Layer, decided, gathered, looked, remembered, squared
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.model import Model
from holdfast.models.stage import Gradient


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearestNeighbors(Detector):
    """How many of the nearest clean samples belong to another class than the one that the model decides for.

        score(x) = #{i among the k nearest of f(x): y_i != decision(x)} + r / (1 + r)

    r is the distance to the nearest sample of the decided class in units of what is usual: it orders the many inputs
    with equal counts and never outweighs a neighbor. The paper compares the count of several layers with those of clean
    samples, as the threshold here does for one. Counts have no slope; the slope is that of a soft count, in which
    sample i weighs sigmoid((r_k - r_i) / width), as in the attack of Sitawarin and Wagner, DLS 2019, arXiv:1903.08333,
    which broke it.

    Cost: two forward passes and `samples` distances.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        layer: What is compared: "features", "scores" (log-probabilities) or "inputs".
        neighbors: Neighbors counted.
        samples: Clean samples kept to be neighbors.
        softness: Width of the soft count, as a share of the usual distance to a neighbor.
    """

    layer: Layer = "features"
    neighbors: Count = 25
    samples: Count = 2000
    softness: Positive = 0.2

    @property
    def slope(self) -> Gradient:
        """That of a soft count."""
        return "straight-through"

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The features of clean samples, and how far apart these are.

        Raises:
            ModelError: HF256 where the model shows no features.
            DataError: HF139 for fewer samples than neighbors.
        """
        look, decide, k = looked(model, self.layer), decided(model), self.neighbors
        part = remembered(data, self.samples, k + 1, seed)
        kept, labels = gathered(look, part.x), part.y
        usual = float(squared(kept, kept).fill_diagonal_(torch.inf).sqrt().topk(k, 1, largest=False).values.median())
        usual = max(usual, 1e-9)

        def score(x: Tensor) -> Tensor:
            far = squared(look(x), kept).sqrt() / usual
            other = decide(x)[:, None] != labels.to(x.device)
            last = far.detach().topk(k, dim=1, largest=False).values[:, -1:]
            own = far.masked_fill(other, torch.inf).amin(1)
            soft = (torch.sigmoid((last - far) / self.softness) * other).sum(1)
            nearest = far.detach().topk(k, dim=1, largest=False).indices
            count = other.gather(1, nearest).sum(1)
            return soft + (count - soft).detach() + torch.where(own.isinf(), 1.0, own / (1 + own))

        return score
