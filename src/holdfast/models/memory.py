"""Answers that are remembered by the digest of a row, where equal rows are answered alike: none is paid twice."""

import collections
import dataclasses
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.models.model import Model
from holdfast.models.source import Source, source_of

REMEMBERED = 200_000  # rows


@dataclasses.dataclass(eq=False)
class Remembering:
    """A torch function of a batch that asks a model without gradients about new rows alone.

    Args:
        ask: batch -> raw outputs, a row each.
        sent: batch -> what the model is sent, `(n, ...)`; rows that are equal there are one question.
        kept: Answers by the digest of a row, the oldest first.
        asked, known: Rows that were asked, and rows that were answered from what was remembered.
    """

    ask: Callable[[Tensor], Tensor]
    sent: Callable[[Tensor], np.ndarray]
    kept: "collections.OrderedDict[bytes, np.ndarray]" = dataclasses.field(
        default_factory=collections.OrderedDict, repr=False
    )
    asked: int = 0
    known: int = 0
    alone: Any = dataclasses.field(default_factory=threading.RLock, repr=False)

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs, on the device of `x`."""
        if not len(x):
            return self.ask(x)
        with self.alone:
            keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in self.sent(x)]
            first = dict(reversed([(key, i) for i, key in enumerate(keys)]))
            new = [i for key, i in reversed(first.items()) if key not in self.kept]
            if new:
                found = self.ask(x[torch.tensor(new, device=x.device)]).detach().cpu().numpy()
                self.kept.update(zip([keys[i] for i in new], found, strict=True))
            self.asked, self.known = self.asked + len(new), self.known + len(keys) - len(new)
            out = np.stack([self.kept[key] for key in keys])
            while len(self.kept) > REMEMBERED:
                self.kept.popitem(last=False)
        return torch.from_numpy(out).to(x.device)

    def anew(self, x: Tensor) -> Tensor:
        """Raw outputs that nobody remembers; counted like others."""
        with self.alone:
            self.asked += len(x)
            return self.ask(x)


def remembering(model: Model) -> Model:
    """The model with its answers remembered from the next `settle` on, up to 200,000 rows of them.

    Every audit and every attack settles anew, so what an earlier one was told is gone: the weights may have changed.
    Where two passes over the first 32 rows differ, or a row is answered otherwise alone, nothing is remembered.

    Raises:
        ModelError: HF207 for a model with gradients, whose answers cost no more than the memory.
    """
    source = source_of(model)
    if source is None or source.slope is not None or model.guarded is not None:
        raise ModelError(
            "HF207",
            "remember= is for functions and estimators that are asked without gradients",
            seen=repr(model),
            fix="leave it out",
        )
    return dataclasses.replace(source, remember=True).model(model)


def forgotten(source: Source) -> Source:
    """The source, and nothing that it was told before."""
    return dataclasses.replace(source, ask=source.ask.ask) if isinstance(source.ask, Remembering) else source


def kept(source: Source) -> Source:
    """The source with what it will be told remembered, where that was asked for."""
    return dataclasses.replace(source, ask=Remembering(source.ask, source.sent or _rows)) if source.remember else source


def _rows(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().cpu().numpy())
