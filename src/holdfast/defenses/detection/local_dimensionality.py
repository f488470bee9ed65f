"""Local intrinsic dimensionality, Ma et al., ICLR 2018, arXiv:1801.02613."""

import dataclasses
from typing import Annotated

from torch import Tensor

from holdfast.core.params import Count, Range
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import NEAR, Layer, gathered, looked, remembered, squared
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalDimensionality(Detector):
    """How fast the number of clean neighbors grows with the distance from the features of an input.

        score(x) = -1 / mean over i = 1..k of log(r_i / r_k)        r_1 <= ... <= r_k: distances to the neighbors

    This is the maximum-likelihood estimate of the dimension of the data around x; attacks leave the data's surface into
    more dimensions. The paper weighs the estimates of all layers by a regression on attacked inputs; here one layer
    speaks and no attack is ever seen. Broken by Athalye, Carlini and Wagner, ICML 2018, arXiv:1802.00420.

    Cost: one forward pass and `samples` distances.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        layer: What is compared: "features", "scores" (log-probabilities) or "inputs".
        neighbors: Neighbors looked at.
        samples: Clean samples kept to be neighbors.
    """

    layer: Layer = "features"
    neighbors: Annotated[int, Range(2)] = 20
    samples: Count = 1000

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The features of clean samples.

        Raises:
            ModelError: HF256 where the model shows no features.
            DataError: HF139 for fewer samples than neighbors.
        """
        look, k = looked(model, self.layer), self.neighbors
        kept = gathered(look, remembered(data, self.samples, k, seed).x)

        def score(x: Tensor) -> Tensor:
            logs = 0.5 * squared(look(x), kept).topk(k, dim=1, largest=False, sorted=True).values.log()
            return -1 / (logs - logs[:, -1:]).mean(1).clamp(max=-NEAR)

        return score
