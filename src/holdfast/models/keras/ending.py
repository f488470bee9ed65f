"""The softmax or sigmoid that a Keras model ends in, and the model without it: there is no slope at 0 and 1."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from holdfast.models.keras.library import layers_of, library, type_of

ENDINGS = ("softmax", "sigmoid", "log_softmax", "log_sigmoid")
CLOSE = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Ending:
    """What a model is asked for instead of its last activation.

    Args:
        model: The model to be called.
        name: The activation that was cut off, empty for none.
        linear: Whether the last layer is known to have no activation.
        opened: A context in which the model answers with what goes into the activation.
    """

    model: Any
    name: str = ""
    linear: bool = False
    opened: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext


def ending_of(model: Any) -> Ending:
    """Look at the last layer; the model itself stays as it is, and its layers are shared.

    The last layer of a sequential or functional model is known. In any other model, a subclassed one or one with other
    models inside, the only layer with such an activation is tried on two random inputs: it is the last one, if its
    activation of what the model says without it is what the model says.
    """
    last = _last(model)
    if last is None:
        return _tried(model)
    keras = library()
    if _share_of_one(_name(last) or type(last).__name__.lower(), model.outputs[0]):
        return Ending(model)
    if isinstance(last, keras.layers.Softmax) and last in model.layers and _over_classes(last):
        return Ending(keras.Model(model.inputs, last.input), "softmax")
    if not _plain(last):
        return Ending(model)
    name = _name(last)
    if name in ENDINGS:
        return Ending(model, name, opened=lambda: _without(last))
    return Ending(model, linear=name == "linear")


def _last(model: Any) -> Any:
    """The layer that makes the model's only output; None where it is not one of its layers, used once."""
    if not getattr(model, "outputs", None):
        return None
    if isinstance(model, library().Sequential):
        last = model.layers[-1]
        return _last(last) if hasattr(last, "layers") else last
    for layer in reversed(model.layers):
        try:
            made = layer.output
        except (AttributeError, ValueError):  # called never, or in several places
            continue
        if made is model.outputs[0]:
            return None if hasattr(layer, "layers") else layer
    return None


def _tried(model: Any) -> Ending:
    found = [layer for layer in layers_of(model) if _plain(layer) and _name(layer) in ENDINGS]
    given = getattr(model, "inputs", None)
    shape = given[0].shape if given else (model.get_build_config() or {}).get("input_shape")
    if len(found) != 1 or not isinstance(shape, list | tuple) or not all(isinstance(n, int) for n in shape[1:]):
        return Ending(model)
    keras, last = library(), found[0]
    rows = np.random.default_rng(0).random((2, *shape[1:]))
    x = keras.ops.convert_to_tensor(rows, dtype=type_of(model))
    said = model(x, training=False)
    with _without(last):
        inside = model(x, training=False)
    if isinstance(said, list | tuple | dict) or said.shape != inside.shape or _share_of_one(_name(last), said):
        return Ending(model)
    one, other = (keras.ops.convert_to_numpy(value).astype(np.float64) for value in (last.activation(inside), said))
    same = bool(np.allclose(one, other, atol=CLOSE))
    return Ending(model, _name(last), opened=lambda: _without(last)) if same else Ending(model)


def _plain(layer: Any) -> bool:
    """Whether the activation of a layer is the last that happens in it; of a class of one's own nobody knows."""
    layers = library().layers
    return type(layer) in (layers.Dense, layers.EinsumDense, layers.Activation)


def _share_of_one(name: str, answer: Any) -> bool:
    """Whether it is a softmax over one column, which is always 1 whatever goes into it."""
    return "softmax" in name and answer.shape[-1] == 1


def _over_classes(layer: Any) -> bool:
    return layer.axis in (-1, 1) and hasattr(layer.input, "shape") and len(layer.input.shape) == 2


def _name(layer: Any) -> str:
    return str(getattr(getattr(layer, "activation", None), "__name__", ""))


@contextlib.contextmanager
def _without(layer: Any) -> Iterator[None]:
    before = layer.activation
    layer.activation = library().activations.linear
    try:
        yield
    finally:
        layer.activation = before
