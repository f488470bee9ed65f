"""What a defense costs when it answers: time and memory of a pass, beside the undefended model."""

import dataclasses
import time
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from holdfast.evaluation.bench.timing import Clock, alternated, over
from holdfast.models.model import Model

ROWS = 64  # inputs of a pass
REPEAT = 7  # times that each side runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passes:
    """A pass of the same inputs through the undefended and the defended model.

    Args:
        rows: Inputs at once.
        plain, defended: Medians of processor seconds.
        ratio: `defended / plain`.
        bytes_plain, bytes_defended: Most tensor memory held at once: inputs, weights and what lies between.
        bytes_ratio: `bytes_defended / bytes_plain`.
    """

    rows: int
    plain: float
    defended: float
    ratio: float
    bytes_plain: int
    bytes_defended: int
    bytes_ratio: float


def passes(plain: Model, defended: Model, x: Tensor, clock: Clock = time.process_time) -> Passes:
    """Time and memory of a pass; the sides take turns, A B A B, and medians count.

    A detector's question belongs to a pass: a deployed model asks it every time.

    Args:
        plain: The undefended model.
        defended: The other one.
        x: Inputs; the first 64 are used.
        clock: Seconds; those of this process's processor unless given.
    """
    x = x[:ROWS]
    for model in (plain, defended):  # the first pass pays for what libraries set up
        _asked(model, x)
    one, other = alternated(lambda: _asked(plain, x), lambda _: _asked(defended, x), REPEAT, clock)
    sizes = [held(model, x) for model in (plain, defended)]
    return Passes(
        rows=len(x),
        plain=one.median,
        defended=other.median,
        ratio=over(other.median, one.median),
        bytes_plain=sizes[0],
        bytes_defended=sizes[1],
        bytes_ratio=over(sizes[1], sizes[0]),
    )


def held(model: Model, x: Tensor) -> int:
    """Bytes of all tensors that live at once in a pass, at most; inputs and weights are counted when they are used."""
    with _Held() as seen:
        _asked(model, x)
    return int(seen.peak)


def _asked(model: Model, x: Tensor) -> Tensor:
    with model.borrowed(), torch.no_grad():
        return model.answer(x).scores


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds a tensor's memory when an operation first touches it, and takes it off when it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_flatten((args, kwargs, made))[0]:
            if isinstance(value, Tensor):
                self._count(value)
        return made

    def _count(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        if storage in self.known:
            return
        self.known.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.now -= size
