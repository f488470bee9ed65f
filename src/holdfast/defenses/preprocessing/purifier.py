"""Move inputs to the manifold of clean data, Meng and Chen, "MagNet", CCS 2017, arXiv:1705.09064."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.params import Count, NonNegative, Positive, told
from holdfast.core.progress import BatchDone, Listener, RunDone, RunStarted, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.autoencoder import given_back, learned, weights_of
from holdfast.defenses.fitting import Fitted
from holdfast.models.model import Model
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box

LOOKED_AT = 4  # inputs that a function of the user's is tried on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Purifier(Fitted):
    """The reformer: an autoencoder that was taught to take noise off clean inputs stands in front of the model.

        weights <- argmin of mean |decode(encode(x + s * N(0, 1))) - x|^2 over clean x, s uniform up to `noise`
        x' <- decode(encode(x))

    It is a network like any other, so its gradient is exact. Broken by Carlini and Wagner, "MagNet and 'Efficient
    Defenses Against Adversarial Attacks' are Not Robust to Adversarial Examples", 2017, arXiv:1711.08478: by gradients
    through both networks.

    Cost: to fit, `updates` training steps of a small network; afterwards one of its passes for each of the model's.

    Args:
        width: Channels of the hidden layers; for inputs that are no pictures, units of the narrow one.
        updates: Training steps.
        batch: Samples in a step.
        rate: Learning rate at the start.
        noise: Highest deviation of the noise to take off, as a share of the box's width.
        reconstruct: Used instead of an autoencoder: a function of a batch in the data's own units that returns a batch
            of the same shape, a tensor or an array. Nothing is trained then.
        slope: What the gradient of `reconstruct` is worth; "auto" tries: "exact" where torch can differentiate it, else
            "none". "straight-through" lets gradient attacks pass it by, which they should where it changes little.
    """

    width: Count = 16
    updates: Count = 500
    batch: Count = 64
    rate: Positive = 3e-3
    noise: NonNegative = 0.1
    reconstruct: Callable[[Tensor], Any] | None = dataclasses.field(default=None, repr=False)
    slope: Literal["auto", "exact", "straight-through", "none"] = "auto"

    def fit(self, model: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> Stage:
        """The stage.

        Args:
            model: What it will stand in front of; not asked.
            data: Clean samples; their labels are not used.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told now and then; may raise `holdfast.Stop`.

        Raises:
            ModelError: HF220 without samples, HF251 where the training diverges, HF252 where `reconstruct` returns
                another shape or numbers that are not finite.
        """
        if not len(data):
            raise ModelError("HF220", "There are too few samples to learn from", seen=0, expected="1 or more")
        if self.reconstruct is not None:
            return self._given(self.reconstruct, model, data)
        began = time.perf_counter()
        on_event(RunStarted("purifier", "", self.updates, ("purifier",)))
        net = learned(
            data.x,
            data.space,
            width=self.width,
            updates=self.updates,
            rate=self.rate,
            noise=self.noise,
            seed=seed,
            batch=self.batch,
            told=lambda done: on_event(BatchDone("purifier", done, self.updates, 0, 0)),
        )
        on_event(RunDone("", True, time.perf_counter() - began))
        return _Purified(
            of=told(self),
            ask=lambda x, space: given_back(net, x, space),
            weights=weights_of(net),
            shape=tuple(data.x.shape[1:]),
        )

    def _given(self, reconstruct: Callable[[Tensor], Any], model: Model, data: Dataset) -> Stage:
        def ask(x: Tensor, space: Box) -> Tensor:
            return _answer(reconstruct, x).clamp(*space.limits(x))

        x = data.x[:LOOKED_AT]
        with model.borrowed():
            way: Gradient = self.slope if self.slope != "auto" else "exact" if _differentiable(ask, x, data) else "none"
            first, second = ask(x, data.space), ask(x, data.space)
        name = getattr(reconstruct, "__qualname__", type(reconstruct).__qualname__)
        said = told(self)
        of = said[:-1] + f", reconstruct={name})" if said.endswith(")") else f"{said}(reconstruct={name})"
        return _Purified(of=of, ask=ask, way=way, draws=not torch.equal(first, second))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Purified(Stage):
    """A fitted purifier.

    Args:
        of: The purifier as text.
        ask: A batch and its space -> the batch, purified.
        way: What its gradient is worth.
        draws: Whether two passes over the same input differ.
        weights: What was learned.
        shape: Of the inputs that it learned from; None for the user's own function.
    """

    of: str
    ask: Callable[[Tensor, Box], Tensor] = dataclasses.field(repr=False)
    way: Gradient = "exact"
    draws: bool = False
    weights: bytes = dataclasses.field(default=b"", repr=False)
    shape: tuple[int, ...] | None = None

    @property
    def gradient(self) -> Gradient:
        """As was found, or said."""
        return self.way

    @property
    def random(self) -> bool:
        """As was found."""
        return self.draws

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The purified batch."""
        return self.ask(x, space)

    def learned(self) -> bytes:
        """The weights."""
        return self.weights

    def __str__(self) -> str:
        return self.of


def _answer(reconstruct: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    found = reconstruct(x)
    found = found if isinstance(found, Tensor) else torch.from_numpy(np.array(found))
    if found.shape != x.shape:
        raise ModelError("HF252", "A purifier changes the shape", seen=tuple(found.shape), expected=tuple(x.shape))
    if not bool(torch.isfinite(found).all()):
        raise ModelError("HF252", "A purifier returns numbers that are not finite", expected="finite numbers")
    return found.to(x)


def _differentiable(ask: Callable[[Tensor, Box], Tensor], x: Tensor, data: Dataset) -> bool:
    """Whether torch can go back through it; what refuses tensors that ask for a gradient has none."""
    with torch.enable_grad():
        try:
            return ask(x.clone().requires_grad_(), data.space).requires_grad
        except RuntimeError:  # numpy refuses tensors that ask for a gradient
            return False
