"""Memory that runs out: how it is told, and asking in smaller parts."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

SAYINGS = (  # in lower case; torch on a processor, cuBLAS, ONNX Runtime, TensorFlow, XLA, C++
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
    "failed to allocate memory",
    "oom when allocating",
    "resource_exhausted",
    "bad_alloc",
)


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that memory did not suffice.

    On a processor torch raises a bare RuntimeError, and other libraries errors of their own: those are told by what
    they say.
    """
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if any(saying in str(error).lower() for saying in SAYINGS):
            return True
        error = error.__cause__
    return False


def in_parts(ask: Callable[[Tensor], T], x: Tensor) -> list[T]:
    """What `ask` says about all rows at once; about halves, quarters and so on where memory runs out.

    A smaller part is asked only after the failed one has let go of what it held.

    Args:
        ask: Rows -> an answer.
        x: Rows, at least one.
    """
    size = len(x)
    while True:
        try:
            return [ask(rows) for rows in torch.split(x, size)]
        except Exception as error:  # looked at, and raised again unless it speaks of memory
            if size == 1 or not out_of_memory(error):
                raise
        size = (size + 1) // 2
