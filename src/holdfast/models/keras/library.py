"""Keras itself: which objects are its models, how it is imported, what layers a model has."""

import os
import sys
from collections.abc import Iterator
from typing import Any

from holdfast.core.extras import need

BACKEND = "KERAS_BACKEND"
DEFAULT = "torch"
"""The backend where nobody chose one: it is always there."""


def is_model(x: object) -> bool:
    """Whether it is a model of Keras, of any version. Imports nothing that is not there already."""
    tops = {kind.__module__.partition(".")[0] for kind in type(x).__mro__ if kind.__name__ == "Model"}
    return bool(tops & {"keras", "tf_keras"} & set(sys.modules))


def library() -> Any:
    """Keras, on the backend that the environment or an earlier import chose, else on torch.

    Raises:
        MissingExtra: HF701 or HF702 where it cannot be imported.
    """
    if "keras" in sys.modules or os.environ.get(BACKEND):
        return need("keras", "keras")
    os.environ[BACKEND] = DEFAULT
    try:
        return need("keras", "keras")
    finally:
        del os.environ[BACKEND]


def layers_of(layer: Any) -> Iterator[Any]:
    """Every layer inside a layer, in the order in which they were made, those of nested models too."""
    inside = [*getattr(layer, "layers", ())] or [getattr(layer, "layer", None)]
    for one in inside:
        if one is not None:
            yield one
            yield from layers_of(one)


def type_of(model: Any) -> str:
    """The floating type of a model's numbers, as numpy calls it; float32 where it has none."""
    types = (str(variable.dtype) for variable in model.weights)
    return next((name for name in types if "float" in name), "float32")
