"""Reconstruction error, Meng and Chen, "MagNet", CCS 2017, arXiv:1705.09064."""

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

from holdfast.core.errors import DataError
from holdfast.core.params import Count, NonNegative, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.autoencoder import given_back, learned
from holdfast.defenses.detection._looks import NEAR, Look, log_probabilities, too_few
from holdfast.defenses.fitting import Detector, Score
from holdfast.models.function import Asked
from holdfast.models.keras import library as keras
from holdfast.models.model import Model
from holdfast.models.stage import Gradient
from holdfast.models.torch_module import Normalized
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstruction(Detector):
    """How badly an autoencoder that knows clean inputs gives an input back.

        by="error"        score(x) = mean of |x - r(x)|^p                  in units of the box
        by="divergence"   score(x) = Jensen-Shannon divergence of the model's softmax(z(x) / temperature), r(x)'s same

    The autoencoder is learned here, or `reconstruct` is one of yours: a torch module or a Keras model, on any backend,
    has its exact gradient. Any other function gets a numpy batch and has none: the slope is that with the
    reconstruction held still, which leads toward it. Broken by Carlini and Wagner 2017, arXiv:1711.08478.

    Cost: one pass through the autoencoder; for the divergence two through the model. Learning: `updates` training steps
    of a network of five small convolutions.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
        by: What is measured, "error" or "divergence".
        p: Power of the error.
        temperature: Flattens the answers before their divergence is taken.
        reconstruct: A function batch -> batch; None to learn one.
        width: Channels of the autoencoder on pictures, or units of its narrow layer.
        updates: Training steps of 64 samples.
        rate: Learning rate at the start.
        noise: Highest deviation of the noise that it learns to take away, as a share of the box.
    """

    by: Literal["error", "divergence"] = "error"
    p: Literal[1, 2] = 1
    temperature: Positive = 10.0
    reconstruct: Callable[[Any], Any] | None = dataclasses.field(default=None, repr=False)
    width: Count = 8
    updates: Count = 500
    rate: Positive = 3e-3
    noise: NonNegative = 0.1

    @property
    def slope(self) -> Gradient:
        """Exact, but for a function that torch cannot differentiate."""
        given = self.reconstruct
        opaque = given is not None and not isinstance(given, nn.Module) and not keras.is_model(given)
        return "straight-through" if opaque else "exact"

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """An autoencoder, or a copy of the given module.

        Raises:
            DataError: HF138 where a reconstruction has another shape, HF139 for fewer than two samples.
            ModelError: HF251 where the training diverges, HF290 for a Keras model that cannot be asked.
        """
        back, space = self._back(model, data, seed), model.space
        look = log_probabilities(model, self.temperature)

        def error(x: Tensor) -> Tensor:
            low, high = space.limits(x)
            gap = ((x - back(x)) / (high - low)).double().flatten(1)
            return (gap.abs() if self.p == 1 else gap.square()).mean(1)

        def divergence(x: Tensor) -> Tensor:
            one, other = look(x), look(back(x))
            middle = (one.exp() + other.exp()).clamp(min=NEAR).log() - math.log(2)
            return 0.5 * (one.exp() * (one - middle) + other.exp() * (other - middle)).sum(1)

        return error if self.by == "error" else divergence

    def _back(self, model: Model, data: Dataset, seed: int) -> Look:
        given, space = self.reconstruct, model.space
        if keras.is_model(given):
            from holdfast.models.keras.adapter import mapping

            return _Back(Normalized(mapping(given).eval().requires_grad_(False)), space)
        if isinstance(given, nn.Module):
            return _Back(Normalized(copy.deepcopy(given).eval().requires_grad_(False)), space)
        if given is not None:
            return _Back(Asked(given), space)
        if len(data) < 2:
            raise too_few(len(data), 2)
        net = learned(
            data.x, space, width=self.width, updates=self.updates, rate=self.rate, noise=self.noise, seed=seed
        )
        return _Back(lambda x: given_back(net, x, space), space)


@dataclasses.dataclass(frozen=True, eq=False)
class _Back:
    """A reconstruction that is held to its shape and to the box."""

    ask: Look
    space: Box

    def __call__(self, x: Tensor) -> Tensor:
        """`(batch, ...)` like `x`, inside the bounds."""
        out = self.ask(x)
        if not isinstance(out, Tensor) or out.shape != x.shape:
            raise DataError(
                "HF138",
                "The reconstruction has another shape than the input",
                seen=tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__,
                expected=tuple(x.shape),
                fix="return (batch, ...) in the shape of the batch, channels first",
            )
        low, high = self.space.limits(x)
        return out.to(x.dtype).clamp(low, high)
