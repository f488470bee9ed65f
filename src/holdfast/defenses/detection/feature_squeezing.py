"""Answers that change when the input is squeezed, Xu, Evans and Qi, NDSS 2018, arXiv:1704.01155."""

import dataclasses

import torch
from torch import Tensor

from holdfast.core.errors import ParameterError
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import log_probabilities
from holdfast.defenses.fitting import Detector, Score
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.models.model import Model
from holdfast.models.stage import Gradient, Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSqueezing(Detector):
    """The largest change of the model's probabilities when something inessential is taken from the input.

        score(x) = max over squeezers s of sum over classes of |p(x) - p(s(x))|

    The paper squeezes by fewer bits (1 for MNIST, 5 for color), a median over 2 x 2 pixels and non-local means; any
    stages without randomness will do. Broken by He et al., WOOT 2017, arXiv:1706.04701.

    Cost: a forward pass for the input and for each squeezer.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        squeezers: Stages that take something from an input, at least one.

    Raises:
        ParameterError: HF001 for no squeezer, one that is no stage, or one that draws random numbers.
    """

    squeezers: tuple[Stage, ...] = (BitDepth(bits=4),)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.squeezers or any(not isinstance(s, Stage) or s.random for s in self.squeezers):
            raise ParameterError(
                "HF001",
                "The 'squeezers' parameter of FeatureSqueezing must be a tuple of stages that draw no random numbers, "
                f"not empty. Got {self.squeezers!r}",
            )

    @property
    def slope(self) -> Gradient:
        """Exact where all squeezers are."""
        return "exact" if all(s.gradient == "exact" for s in self.squeezers) else "straight-through"

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """Nothing: the model and the squeezers say it all."""
        look, space = log_probabilities(model), model.space

        def score(x: Tensor) -> Tensor:
            plain = look(x).exp()
            changes = [(plain - look(s.passed(x, space)).exp()).abs().sum(1) for s in self.squeezers]
            return torch.stack(changes).amax(0)

        return score
