"""Distance to the class means, Lee, Lee, Lee and Shin, NeurIPS 2018, arXiv:1807.03888."""

import dataclasses

import torch

from holdfast.core.params import PositiveShare
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import Layer, gathered, looked, squared, too_few
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mahalanobis(Detector):
    """How far the features of an input lie from the mean of the nearest class, in the metric of one covariance.

        S <- mean of (f(x_i) - m_{y_i}) (f(x_i) - m_{y_i})^T
        score(x) = min over classes c of (f(x) - m_c)^T ((1 - shrinkage) S + shrinkage * trace(S) / d)^-1 (f(x) - m_c)

    Of the paper this is the confidence score of one layer. It also nudges the input by a gradient step and weighs
    several layers by a regression on attacked inputs; here no attack is ever seen. Shrinkage bounds what directions
    that never vary in clean data may add. Broken by attacks that know it: Tramer et al., NeurIPS 2020,
    arXiv:2002.08347, break detectors of this kind.

    Cost: one forward pass and a product of the features with a (d, d) matrix.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        layer: What is compared: "features", "scores" (log-probabilities) or "inputs".
        shrinkage: Share of the covariance that is replaced by a multiple of the identity with the same trace.
    """

    layer: Layer = "features"
    shrinkage: PositiveShare = 0.01

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """Class means and the whitening of what remains.

        Raises:
            ModelError: HF256 where the model shows no features.
            DataError: HF139 for fewer than two samples.
        """
        look = looked(model, self.layer)
        if len(data) < 2:
            raise too_few(len(data), 2)
        z = gathered(look, data.x)
        classes = torch.unique(data.y)
        means = torch.stack([z[data.y == c].mean(0) for c in classes])
        rest = z - means[torch.searchsorted(classes, data.y)]
        covariance = rest.T @ rest / len(rest)
        size = covariance.diagonal().mean().clamp(min=1e-12)
        tied = (1 - self.shrinkage) * covariance + self.shrinkage * size * torch.eye(z.shape[1], dtype=z.dtype)
        whiten = torch.linalg.inv(torch.linalg.cholesky(tied)).T
        white = means @ whiten
        return lambda x: squared(look(x) @ whiten.to(x.device), white).amin(1)
