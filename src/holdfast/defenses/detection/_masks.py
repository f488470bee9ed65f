"""Dropout with masks that are drawn once: the same few thinned networks for every input."""

import contextlib
import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.records import digest
from holdfast.models.ensemble import Together
from holdfast.models.model import Model
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
Line = tuple[Tensor, Tensor]  # scale and shift of an activation, `(1, ...)` each


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """What the dropout layers of a model do in each of its thinned networks.

    Every kind of dropout scales and shifts an activation by random numbers that do not depend on it. They are drawn
    when a layer is first asked, from the seed, the pass, the layer and its call alone, and kept.

    Args:
        layers: Each with what it would do in training mode.
        seed: Of all draws.
        after: Whether a layer is dropout itself, or a layer whose inputs are dropped out.
        kept: (pass, layer, call, shape) -> scale and shift.
    """

    layers: tuple[tuple[nn.Module, nn.Module], ...]
    seed: int
    after: bool
    kept: dict[tuple[int, int, int, tuple[int, ...]], Line] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def worn(self, k: int) -> Iterator[None]:
        """The model is its k-th thinned network, until the context ends; also after an exception."""
        calls = [0] * len(self.layers)
        with contextlib.ExitStack() as stack:
            for place, (layer, _) in enumerate(self.layers):
                hook = self._after(k, place, calls) if self.after else self._before(k, place, calls)
                hang = layer.register_forward_hook if self.after else layer.register_forward_pre_hook
                stack.callback(hang(hook).remove)
            yield

    def _after(self, k: int, place: int, calls: list[int]) -> Any:
        def hook(_layer: nn.Module, given: tuple[Any, ...], _out: Any) -> Tensor:
            return self._thinned(k, place, calls, given[0])

        return hook

    def _before(self, k: int, place: int, calls: list[int]) -> Any:
        def hook(_layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            return (self._thinned(k, place, calls, given[0]), *given[1:])

        return hook

    def _thinned(self, k: int, place: int, calls: list[int], z: Tensor) -> Tensor:
        calls[place] += 1
        key = (k, place, calls[place], tuple(z.shape[1:]))
        if key not in self.kept:
            self.kept[key] = _drawn(self.layers[place][1], key, self.seed)
        scale, shift = self.kept[key]
        return z * scale.to(z) + shift.to(z)


def own(model: Model, seed: int) -> Masks:
    """Masks of the dropout layers that a model has."""
    found = [layer for net in networks(model) for layer in net.modules() if isinstance(layer, DROPOUT) and layer.p > 0]
    return Masks(tuple((layer, _learning(layer)) for layer in found), seed, after=True)


def inserted(model: Model, share: float, seed: int) -> Masks:
    """Masks of the inputs of each network's last linear layer."""
    linear = [[layer for layer in net.modules() if isinstance(layer, nn.Linear)] for net in networks(model)]
    return Masks(tuple((layers[-1], nn.Dropout(share)) for layers in linear if layers), seed, after=False)


def networks(model: Model) -> Sequence[nn.Module]:
    """The torch networks behind a model, through stages and ensembles; empty where there are none."""
    while model.guarded is not None:
        model = model.guarded.base
    source = source_of(model)
    if source is not None and isinstance(source.ask, Together):
        return [net for member in source.ask.members for net in networks(member)]
    return [source.ask.net] if source is not None and isinstance(source.ask, Normalized) else []


def _learning(layer: nn.Module) -> nn.Module:
    found = copy.deepcopy(layer)
    found._forward_hooks.clear()
    return found.train()


def _drawn(layer: nn.Module, key: tuple[int, int, int, tuple[int, ...]], seed: int) -> Line:
    """What a layer in training mode does to activations, read off zeros and ones at equal random numbers."""
    probe = torch.zeros(1, *key[-1])
    ends = []
    with torch.random.fork_rng([]), torch.no_grad():
        for end in (probe, probe + 1):
            torch.default_generator.manual_seed(int(digest(["dropout", seed, *key[:3]])[:15], 16))
            ends.append(layer.train()(end))
    return ends[1] - ends[0], ends[0]
