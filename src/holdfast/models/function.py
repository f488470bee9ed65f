"""Any predict function: arrays in; probabilities, logits, labels or one-hot rows out."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.models.borrow import borrowed
from holdfast.models.model import Model
from holdfast.models.outputs import Output
from holdfast.models.source import Source
from holdfast.models.tables import Frames
from holdfast.threats.space import Box
from holdfast.threats.tables.tabular import Tabular


def from_function(
    predict: Callable[[np.ndarray], Any],
    space: Box,
    *,
    output: Output | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Wrap a function of a numpy batch. No gradients; every call gets an array of its own.

    Args:
        predict: `(batch, ...)` array in the data's units and floating type -> `(batch,)` or `(batch, classes)`; in a
            Tabular space a pandas data frame of raw rows.
        space: What an input is.
        output: What it returns; None to see it on the first batch.
        classes: Number of classes; needed where the function returns labels that `settle` cannot count.
        name: What reports call it.
    """
    ask = Asked(_rowwise(predict, space)) if isinstance(space, Tabular) else Asked(predict)
    source = Source(ask=ask, output=output, classes=classes)
    called = name or str(getattr(predict, "__name__", type(predict).__name__))
    return source.model(
        Model(
            space=space,
            name="function" if called == "<lambda>" else called,
            adapter="function",
            borrowed=functools.partial(borrowed),
        )
    )


def _rowwise(predict: Callable[[Any], Any], space: Tabular) -> Callable[[np.ndarray], Any]:
    frames = Frames(space)
    return lambda x: predict(frames(x))


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """A numpy function as a torch function; `flat` and `double` are what scikit-learn wants."""

    predict: Callable[[np.ndarray], Any]
    flat: bool = False
    double: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs, on the device of `x`."""
        array = np.array(x.detach().cpu().numpy(), dtype=np.float64 if self.double else None, copy=True)
        answer = self.predict(array.reshape(len(array), -1) if self.flat else array)
        return to_tensor(answer).to(x.device)


def to_tensor(answer: Any) -> Tensor:
    """What a function returned as a tensor of its own.

    Raises:
        ModelError: HF204 where it is no array of numbers.
    """
    if isinstance(answer, Tensor):
        return answer.detach().clone()
    with contextlib.suppress(ValueError, TypeError):
        array = np.asarray(answer)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
        if array.dtype.kind in "biuf":
            return torch.from_numpy(np.array(array, dtype=np.int64 if array.dtype.kind in "biu" else array.dtype))
    raise ModelError(
        "HF204",
        "The function returns no array of numbers",
        seen=f"{type(answer).__name__}: {answer!r:.60}",
        expected="(batch,) or (batch, classes) numbers",
        fix="map class names to 0, 1, ... before returning",
    )
