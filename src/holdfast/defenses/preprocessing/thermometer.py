"""Thermometer encoding, Buckman, Roy, Raffel and Goodfellow, ICLR 2018."""

import dataclasses
from typing import Annotated

import torch
from torch import Tensor, nn

from holdfast.core.errors import DataError, ModelError
from holdfast.core.params import Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.preprocessing._pictures import shares, values
from holdfast.learning.inner import resting_on, training_of
from holdfast.learning.learner import Learner
from holdfast.learning.train import Factory, Train
from holdfast.models.model import Model
from holdfast.models.networks import build
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.models.stage import Gradient, Stage
from holdfast.models.torch_module import Normalized
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box

Levels = Annotated[int, Range(2, 256)]
NEAR = 0.1  # of the box's width: how far from a threshold its bit has a slope on the way back


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thermometer(Learner):
    """Train a network on codes of `levels` bits a value, instead of the values.

        u = (x - low) / width,   code(u)[k] <- 1 where u >= k / levels, else 0,   k = 0 ... levels - 1

    The network sees a value move only when it crosses a threshold, and the code has no slope. What comes back is the
    network behind a stage that writes the code, with a way back of its own. Broken by Athalye, Carlini and Wagner,
    ICML 2018, arXiv:1802.00420, who go back through min(max(u - k / levels, 0), 1). Bits that are off have no slope
    there; here all near u have one, min(max((u - k / levels) / 0.2 + 1/2, 0), 1), and fewer inputs survive. What it
    really withstands are radii below 1 / levels, where pixels at a bound of the box cross no threshold.

    The file of such a model is that of its network, `save_model(model.guarded.base, ...)`; what is loaded goes behind
    `Thermometer(levels=...).code` again.

    Cost: the first layer reads `levels` times as many channels.

    Args:
        of: The training of the network: `Train`, or a learner around one, such as `AdversarialTraining`.
        levels: Bits a value.
    """

    of: Learner = Train()
    levels: Levels = 16

    @property
    def code(self) -> Stage:
        """What writes the code: the stage in front of the network."""
        return _Code(levels=self.levels)

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model, the network behind the code.

        Raises:
            DataError: HF132 where values have bounds of their own.
            ModelError: HF220 where `of` trains anything but one new network; else as `of` says.
        """
        low, high = dataset.bounds
        if isinstance(low, tuple) or isinstance(high, tuple):
            raise DataError(
                "HF132",
                "A thermometer has one scale for all values",
                seen=f"bounds for each of {dataset.x.shape[-1]} features",
                expected="two numbers",
                fix="scale the features to [0, 1] first",
            )
        training = training_of(self.of)
        if training is None or training.start is not None:
            raise _refused(self.of)
        network = _Behind(training.network, training.width, training.depth, self.levels, dataset.space)
        coded = resting_on(self.of, dataclasses.replace(training, network=network, normalize=False))
        source = source_of(coded.fit(dataset, seed, on_event))
        whole = source.ask.net if source is not None and isinstance(source.ask, Normalized) else None
        if not isinstance(whole, _Coded):
            raise _refused(self.of)
        same = (low, high) == (0, 1)  # the bounds of the network's inputs
        base = wrap(
            whole.net,
            dataset.bounds,
            output="logits",
            mean=None if same else low,
            std=None if same else high - low,
            name=training.network if isinstance(training.network, str) else type(whole.net).__name__,
            classes=dataset.n_classes,
        )
        return settle(base | self.code, dataset.x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Code(Stage):
    """Every value as bits, each at a bound of the box: `(batch, channels, ...)` -> `(batch, channels * levels, ...)`.

    Args:
        levels: Bits a value.
    """

    levels: Levels

    @property
    def gradient(self) -> Gradient:
        """Straight through the ramps."""
        return "straight-through"

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The code."""
        return self._written((self._above(x, space) >= 0).to(x.dtype), x, space)

    def twin(self, x: Tensor, space: Box) -> Tensor:
        """Ramps instead of steps; the lowest bit is always on."""
        ramps = (self._above(x, space) / (2 * NEAR) + 0.5).clamp(0, 1)
        return self._written(torch.cat([torch.ones_like(ramps[:, :, :1]), ramps[:, :, 1:]], 2), x, space)

    def _above(self, x: Tensor, space: Box) -> Tensor:
        """How far each value is above each threshold: `(batch, channels, levels, ...)`."""
        u = shares(x, space).unsqueeze(2)
        levels = torch.arange(self.levels, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.dim() - 2))
        return u - levels / self.levels

    def _written(self, bits: Tensor, x: Tensor, space: Box) -> Tensor:
        return values(bits.flatten(1, 2), bits.flatten(1, 2), space)

    def __str__(self) -> str:
        return f"thermometer(levels={self.levels})"


class _Coded(nn.Module):
    """A network behind the code, as one module that can be trained.

    Args:
        net: Of codes of 0 and 1.
        code: What writes them.
        space: Of the values.
    """

    def __init__(self, net: nn.Module, code: _Code, space: Box):
        super().__init__()
        self.net, self.code, self.space = net, code, space

    def forward(self, x: Tensor) -> Tensor:
        """Logits of values `(batch, ...)`."""
        return self.net(shares(self.code.passed(x, self.space), self.space))  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class _Behind:
    """Makes a network for codes and puts the code before it."""

    network: str | Factory
    width: int
    depth: int
    levels: int
    space: Box

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """A fresh one."""
        inside = (shape[0] * self.levels, *shape[1:])
        if isinstance(self.network, str):
            options = {key: value for key, value in (("width", self.width), ("depth", self.depth)) if value}
            net = build(self.network, shape=inside, classes=classes, **options)
        else:
            net = self.network(inside, classes)
        return _Coded(net, _Code(levels=self.levels), self.space)


def _refused(of: Learner) -> ModelError:
    return ModelError(
        "HF220",
        "A thermometer needs the training of one new network",
        seen=f"of={of!r:.80}",
        expected="Train(...) without a start, or a learner with such a training in its field of",
    )
