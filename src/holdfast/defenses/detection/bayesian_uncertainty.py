"""Uncertainty under dropout, Feinman, Curtin, Shintre and Gardner 2017, arXiv:1703.00410."""

import dataclasses
from typing import Annotated

import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.core.params import Range
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import log_probabilities
from holdfast.defenses.detection._masks import inserted, own
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class BayesianUncertainty(Detector):
    """How much the answers of a network differ when dropout thins it.

        p_t <- softmax of the network with the t-th dropout masks, t = 1, ..., passes
        score(x) = sum over classes of (1 / passes) sum over t of p_t^2 - ((1 / passes) sum over t of p_t)^2

    The trace of the predictive covariance: Monte Carlo dropout after Gal and Ghahramani, ICML 2016, arXiv:1506.02142.
    The paper weighs it with a kernel density by a regression on attacked inputs; here it stands alone and no attack is
    seen.

    Deviations: the paper draws new masks for every input. Here they are drawn once from the seed, so the score of an
    input is a fact and not a chance: its rate of false alarms is the stated one, no attacker wins by asking twice, and
    its gradient is exact. An attacker who knows the masks descends through the same few networks; one who faced new
    masks would average over them, which is how Carlini and Wagner, "Adversarial Examples Are Not Easily Detected",
    AISec 2017, arXiv:1705.07263, broke it (with the most effort of the ten detectors they looked at).

    A network without dropout layers needs a `share`, which drops out inputs of its last linear layer: what
    `hf.defenses.Dropout` trained it with, whose models carry no layer any more. Without such a training the score still
    tells inputs apart but estimates nothing.

    Cost: `passes` forward passes.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        passes: Masks drawn; the paper has 50.
        share: Of the inputs of the last linear layer that are dropped out; 0 for the network's own dropout layers.
    """

    passes: Annotated[int, Range(2)] = 20
    share: Annotated[float, Range(0, 1, open_high=True)] = 0.0

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """Masks; of the data nothing is learned.

        Raises:
            DataError: HF136 where the model has no layers that dropout could thin.
        """
        masks = inserted(model, self.share, seed) if self.share else own(model, seed)
        if not masks.layers:
            raise DataError(
                "HF136",
                "There is no dropout to be uncertain under",
                seen=f"the model '{model.name}' without " + ("a linear layer" if self.share else "dropout layers"),
                expected="a torch network " + ("with a linear layer" if self.share else "with nn.Dropout in it"),
                fix="another detector" if self.share else "BayesianUncertainty(share=0.5), after hf.defenses.Dropout()",
            )
        look = log_probabilities(model)

        def score(x: Tensor) -> Tensor:
            said = []
            for k in range(self.passes):
                with masks.worn(k):
                    said.append(look(x).exp())
            return torch.stack(said).var(0, correction=0).sum(1)

        return score
