"""What detectors look at, and how far apart two looks are."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.data.dataset import Dataset
from holdfast.models.features import without_features
from holdfast.models.model import Model

Layer = Literal["features", "scores", "inputs"]
Look = Callable[[Tensor], Tensor]
NEAR = 1e-12  # distances below it are taken for it, so that roots and logarithms have a slope


def looked(model: Model, layer: Layer) -> Look:
    """A function batch -> `(batch, d)` float64, differentiable where the model is.

    Args:
        model: Settled.
        layer: What goes into its last linear layer, its log-probabilities, or the input itself.

    Raises:
        ModelError: HF256 where features are wanted and the model shows none.
    """
    if layer == "inputs":
        return lambda x: x.flatten(1).double()
    if layer == "scores":
        return log_probabilities(model)
    features = model.features
    if features is None:
        raise without_features(model.name, f"a model of adapter '{model.adapter}' without features")
    return lambda x: features(x).double()


def log_probabilities(model: Model, temperature: float = 1.0) -> Look:
    """The scores, normalized: batch -> `(batch, classes)` float64, differentiable where the model is."""
    return lambda x: torch.log_softmax(model.answer(x, gradient=True).scores.double() / temperature, 1)


def decided(model: Model) -> Look:
    """Its decisions, batch -> `(batch,)`, without a gradient."""

    def decide(x: Tensor) -> Tensor:
        with torch.no_grad():
            return model.answer(x).scores.argmax(1)

    return decide


def gathered(look: Look, x: Tensor, batch: int = 256) -> Tensor:
    """A look at many inputs, in batches, without gradients: `(n, d)`."""
    with torch.no_grad():
        return torch.cat([look(rows).detach() for rows in torch.split(x, batch)])


def remembered(data: Dataset, samples: int, least: int, seed: int) -> Dataset:
    """A seeded random part of the clean data, `samples` at most.

    Raises:
        DataError: HF139 where there are fewer than `least`.
    """
    part = data.sample(min(samples, len(data)), seed)
    if len(part) < least:
        raise too_few(len(part), least)
    return part


def too_few(seen: int, least: int) -> DataError:
    """The error for too few clean samples."""
    return DataError(
        "HF139",
        "There are too few clean samples to learn from",
        seen=f"{seen} samples",
        expected=f"at least {least}",
        fix="more data, or a smaller held_out share",
    )


def squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances `(n, m)` of rows `(n, d)` and `(m, d)`, at least 1e-24, differentiable everywhere."""
    b = b.to(a)
    found = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return found.clamp(min=NEAR**2)
