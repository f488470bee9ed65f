"""Keras 3 models behind `wrap`: channels turned, softmax endings cut open, gradients of any backend."""

import copy
import functools
import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.models.borrow import borrowed
from holdfast.models.keras.bridge import Foreign, Jax, TensorFlow
from holdfast.models.keras.ending import Ending, ending_of
from holdfast.models.keras.layout import Turn, layout_of
from holdfast.models.keras.library import library, type_of
from holdfast.models.model import Model
from holdfast.models.outputs import Output
from holdfast.models.source import Source
from holdfast.models.torch_module import Normalized, Numbers, numbers_of, shown
from holdfast.threats.space import Box


def from_keras(
    model: Any,
    space: Box,
    *,
    output: Output | None = None,
    mean: Numbers = None,
    std: Numbers = None,
    classes: int | None = None,
    name: str | None = None,
    layout: str | None = None,
) -> Model:
    """Wrap a functional, sequential or subclassed model of Keras 3; it is always asked with `training=False`.

    Args:
        model: A built model with one input and one output.
        space: What an input is.
        output: What it returns; None to look at its last layer, else at the first batch.
        mean: Taken off the input, one number or one per channel.
        std: The rest is divided by it.
        classes: Number of classes, where known.
        name: What reports call it.
        layout: "channels-last" or "channels-first"; None to see it (`layout_of`).

    Raises:
        ModelError: HF290 for a model that cannot be wrapped, HF204 for output="logits" where it ends in a softmax,
            HF206 for an impossible mean or std.
    """
    shape, inside = _checked(model)
    ending, output, notes = _read(model, output)
    turn = Turn(layout=layout_of(model, layout), shape=shape)
    net = Called(_asked(ending), turn)
    ask = Normalized(net, numbers_of(mean, "mean"), numbers_of(std, "std"))
    stages = () if mean is None and std is None else (f"normalize(mean={shown(mean, 0)}, std={shown(std, 1)})",)
    pictures = () if shape is not None and len(shape) < 3 else (turn.layout,)
    smooth = output != "labels" and inside
    if not inside:
        notes = (*notes, "the model takes whole numbers, so there is no gradient")
    source = Source(ask=ask, slope=ask if smooth else None, output=output, classes=classes)
    return source.model(
        Model(
            space=space,
            name=name or type(model).__name__,
            adapter=f"keras ({library().config.backend()})",
            notes=notes,
            stages=(*stages, *pictures),
            parameters=functools.partial(digest_of, model),
            borrowed=functools.partial(borrowed, net),
        )
    )


def _read(model: Any, output: Output | None) -> tuple[Ending, Output | None, tuple[str, ...]]:
    """The model as it is asked, what it then returns, and what there is to remark."""
    ending = Ending(model) if output == "labels" else ending_of(model)
    if ending.name and output == "logits":
        raise ModelError(
            "HF204",
            f"The model ends in {ending.name}, so its outputs are no logits",
            seen='output="logits"',
            fix="leave output= away",
        )
    if ending.name:
        return ending, "logits", (f"the {ending.name} at the end was cut open: scores are what goes into it",)
    return ending, "logits" if output is None and ending.linear else output, ()


class Called(nn.Module):
    """A Keras model as torch asks it.

    Args:
        net: The model on torch, or a `Foreign` one.
        turn: How inputs are turned.
    """

    def __init__(self, net: nn.Module, turn: Turn):
        super().__init__()
        self.net, self.turn = net, turn

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs."""
        answer: Tensor = self.net(self.turn.into(x))
        return answer


class Native(nn.Module):
    """A model on the torch backend: a torch module already, asked as deployed.

    Args:
        ending: The model without its last activation.
    """

    def __init__(self, ending: Ending):
        super().__init__()
        self.net, self.opened = ending.model, ending.opened

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs."""
        with self.opened():
            answer: Tensor = self.net(x, training=False)
        return answer


def _asked(ending: Ending) -> nn.Module:
    backend = library().config.backend()
    if backend == "torch":
        return Native(ending)
    dtype = getattr(torch, type_of(ending.model))
    if backend == "jax":
        return Foreign(Jax(ending), dtype)
    if backend == "tensorflow":
        return Foreign(TensorFlow(ending), dtype)
    raise ModelError(
        "HF290", "Keras computes on a backend without gradients", seen=backend, expected="torch, jax or tensorflow"
    )


class Mapping(nn.Module):
    """A model whose answers have the form of its inputs, an autoencoder say: channels first on both sides.

    Args:
        model: A built Keras model with one input and one output.
    """

    def __init__(self, model: Any):
        super().__init__()
        shape, _ = _checked(model)
        self.turn = Turn(layout=layout_of(model), shape=shape)
        self.net = _asked(Ending(model))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, ...)` like `x`."""
        return self.turn.back(self.net(self.turn.into(x)), x)


def mapping(model: Any) -> Mapping:
    """A copy of a Keras model as a torch module from batches to batches of the same shape.

    Raises:
        ModelError: HF290 for a model that cannot be asked so.
    """
    _checked(model)
    return Mapping(copy.deepcopy(model))


def digest_of(model: Any) -> bytes:
    """BLAKE2b of types, shapes and bytes of all weights in their order; the same on every backend."""
    made = hashlib.blake2b(digest_size=16)
    for variable in model.weights:
        made.update(f"{variable.dtype} {tuple(variable.shape)}".encode())
        made.update(_bytes_of(variable.value))
    return made.digest()


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return np.ascontiguousarray(library().ops.convert_to_numpy(value)).tobytes()


def _checked(model: Any) -> tuple[tuple[int | None, ...] | None, bool]:
    """The shape of one input, None where it is not known, and whether it is made of floating numbers."""
    keras = library()
    if not isinstance(model, keras.Model) or int(keras.__version__.partition(".")[0]) < 3:
        raise _refused(
            "Only models of Keras 3 can be wrapped", f"{type(model).__module__}.{type(model).__name__}", "keras.Model"
        )
    if not model.built:
        raise _refused("This Keras model has no weights yet", type(model).__name__, "a model that was built or trained")
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    several = len((model.get_build_config() or {}).get("shapes_dict", ())) if inputs is None else len(inputs)
    if several > 1 or (outputs is not None and len(outputs) != 1):
        raise _refused(
            "A Keras model with several inputs or outputs cannot be wrapped",
            f"{several} inputs, {len(outputs or [0])} outputs",
            "one of each",
            fix="keras.Model(input, output) with the one that decides",
        )
    if inputs is None:
        return None, True
    if isinstance(given := getattr(model, "input", None), dict):
        raise _refused("The input of this Keras model is a dictionary", sorted(given), "one tensor")
    return tuple(inputs[0].shape[1:]), "float" in str(inputs[0].dtype)


def _refused(what: str, seen: object, expected: str, fix: str | None = None) -> ModelError:
    return ModelError("HF290", what, seen=seen, expected=expected, fix=fix)
