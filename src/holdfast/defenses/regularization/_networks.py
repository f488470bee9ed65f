"""Trainings whose network is changed before the first step and plain again after the last."""

import copy
import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.learning.train import Factory, Train
from holdfast.models.model import Model
from holdfast.models.networks import build
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized
from holdfast.models.wrap import wrap
from holdfast.threats.tables.tabular import Tabular

Change = Callable[[nn.Module], None]
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def layers(net: nn.Module) -> list[nn.Module]:
    """Linear layers and convolutions, in the order in which the network names them.

    Raises:
        ModelError: HF265 where there are none.
    """
    found: list[nn.Module] = [layer for layer in net.modules() if isinstance(layer, LAYERS)]
    if not found:
        raise ModelError(
            "HF265",
            "There is no layer that this defense could change",
            seen=type(net).__name__,
            expected="nn.Linear or nn.Conv1d, 2d, 3d among its modules",
        )
    return found


def changed(of: Train, change: Change, seed: int) -> Train:
    """The same training of a changed network, whether it is named, made by a function or taken from a model.

    Args:
        of: The plain training.
        change: Changes a network in place; a record, because its fields enter the training's identity.
        seed: Of random numbers that the change draws where the network comes from a model.
    """
    made = dataclasses.replace(of, network=_Changed(of.network, of.width, of.depth, change))
    if of.start is None or not isinstance(ask := _ask(of.start), Normalized):
        return made
    net = copy.deepcopy(ask.net)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        change(net)
    return dataclasses.replace(made, start=_wrapped(of.start, ask, net, of.start.name))


def plain(model: Model, undo: Change, of: Train, x: Tensor) -> Model:
    """The trained model with its network changed back, settled on `x` under the name that a plain training gives."""
    ask = _ask(model)
    if not isinstance(ask, Normalized):
        raise ModelError("HF220", "Only wrapped torch modules can be changed back", seen=repr(model))
    undo(ask.net)
    return settle(_wrapped(model, ask, ask.net, of.network if isinstance(of.network, str) else model.name), x)


@dataclasses.dataclass(frozen=True)
class _Changed:
    """Makes a network and changes it."""

    network: str | Factory
    width: int
    depth: int
    change: Change

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """A fresh one, its weights as those of the plain network."""
        if isinstance(self.network, str):
            options = {key: value for key, value in (("width", self.width), ("depth", self.depth)) if value}
            net = build(self.network, shape=shape, classes=classes, **options)
        else:
            net = self.network(shape, classes)
        self.change(net)
        return net


def _ask(model: Model) -> object:
    source = source_of(model)
    return None if source is None else source.ask


def _wrapped(model: Model, ask: Normalized, net: nn.Module, name: str) -> Model:
    space = model.space if isinstance(model.space, Tabular) else model.space.bounds
    return wrap(net, space, output="logits", mean=ask.mean, std=ask.std, name=name, classes=model.classes)
