"""Kernel density of the predicted class, Feinman, Curtin, Shintre and Gardner 2017, arXiv:1703.00410."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.core.params import Count, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import Layer, decided, gathered, looked, remembered, squared, too_few
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.model import Model

TRIED = tuple(2 ** (k / 2) for k in range(-6, 9))  # multiples of the typical nearest distance tried as bandwidth


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelDensity(Detector):
    """How rare the features of an input are among clean samples of the class that the model decides for.

        score(x) = -log mean over i with y_i = decision(x) of exp(-|f(x) - f(x_i)|^2 / bandwidth^2)

    The paper chose the bandwidth by the likelihood of held-out features; so does this, leaving one out. The score jumps
    where the decision changes and has its exact slope elsewhere. Broken by Carlini and Wagner, AISec 2017,
    arXiv:1705.07263.

    Cost: two forward passes and `samples` distances.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        layer: What is compared: "features", "scores" (log-probabilities) or "inputs".
        bandwidth: Of the kernel; None to choose it.
        samples: Clean samples kept, of all classes together.
    """

    layer: Layer = "features"
    bandwidth: Positive | None = None
    samples: Count = 2000

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The features of clean samples and a bandwidth.

        Raises:
            ModelError: HF256 where the model shows no features.
            DataError: HF139 where a class of the model has fewer than two samples.
        """
        look, decide = looked(model, self.layer), decided(model)
        part = remembered(data, self.samples, 2, seed)
        counts = torch.bincount(part.y, minlength=model.classes or data.n_classes)
        if int(counts.min()) < 2:
            raise too_few(int(counts.min()), 2)
        kept, labels = gathered(look, part.x), part.y
        width = self.bandwidth or _likeliest(kept, labels)

        def score(x: Tensor) -> Tensor:
            chosen = decide(x)
            same = chosen[:, None] == labels.to(x.device)
            logs = torch.where(same, -squared(look(x), kept) / width**2, -torch.inf)
            return counts.to(x.device)[chosen].double().log() - torch.logsumexp(logs, 1)

        return score


def _likeliest(z: Tensor, y: Tensor) -> float:
    """The bandwidth under which each of the features `(n, d)` is likeliest given the others of its class."""
    near = squared(z, z).masked_fill(y[:, None] != y, torch.inf).fill_diagonal_(torch.inf)
    typical = float(near.amin(1).sqrt().median())
    widths = torch.tensor([typical * factor for factor in TRIED], dtype=z.dtype)
    found = [torch.logsumexp(-near / w**2, 1).mean() - z.shape[1] * math.log(float(w)) for w in widths]
    return float(widths[int(torch.stack(found).argmax())])
