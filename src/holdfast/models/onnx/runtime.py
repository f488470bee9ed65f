"""onnxruntime for the answers: any number of rows through graphs of any batch, shapes checked before."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError, some
from holdfast.models.onnx.graph import Inlet
from holdfast.models.onnx.session import line

Rows = TypeVar("Rows", Tensor, np.ndarray[Any, Any])
LARGEST = (1 << 31) - 1
"""Bytes of a message of protobuf; a larger graph cannot be handed over."""


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """One output of a session: batch -> raw outputs, no gradients.

    Args:
        session: An onnxruntime InferenceSession.
        inlet: Its input.
        output: Name of the output.
    """

    session: Any
    inlet: Inlet
    output: str

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs, on the device of `x`."""
        rows = fitted(x.detach().cpu(), self.inlet).numpy()
        found = in_pieces(self.run, rows, self.inlet.batch)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            raise ModelError(
                "HF204", f"The output '{self.output}' holds no numbers", seen=str(getattr(found, "dtype", type(found)))
            )
        whole = found.astype(np.int64) if found.dtype.kind in "biu" else found
        return torch.from_numpy(np.array(whole, copy=True)).to(x.device)

    def run(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The output for rows that fit."""
        kind = np.dtype(self.inlet.dtype)
        try:
            answer = self.session.run([self.output], {self.inlet.name: np.ascontiguousarray(rows, kind)})[0]
        except Exception as error:  # the library's own kinds, none of which it names in public
            raise ModelError(
                "HF221",
                "onnxruntime cannot take these inputs",
                seen=f"shape {rows.shape}, {line(error)}",
                fix="check that they are the model's; a graph that holds a number of rows: export it with a free one",
            ) from error
        return tabled(answer)


@dataclasses.dataclass(frozen=True, eq=False)
class Decided:
    """The model's own labels as class indices: batch -> `(batch,)`.

    Args:
        asked: The output of labels.
        names: What it calls the classes, in order.
    """

    asked: Asked
    names: tuple[Any, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Decisions `(batch,)`.

        Raises:
            ModelError: HF204 for a label that is none of the names.
        """
        rows = fitted(x.detach().cpu(), self.asked.inlet).numpy()
        said = in_pieces(self.asked.run, rows, self.asked.inlet.batch).reshape(-1).tolist()
        places = {name: place for place, name in enumerate(self.names)}
        strange = next((name for name in said if name not in places), None)
        if strange is not None:
            known = some(self.names)
            raise ModelError("HF204", "The label is none of the model's classes", seen=repr(strange), expected=known)
        return torch.tensor([places[name] for name in said], dtype=torch.int64, device=x.device)


def written(model: Any) -> bytes:
    """A ModelProto as bytes, the same ones each time.

    Raises:
        ModelError: HF276 for one that is too large.
    """
    if (size := model.ByteSize()) > LARGEST:
        raise ModelError("HF276", "The ONNX model is too large", seen=f"{size} bytes", expected=f"at most {LARGEST}")
    return bytes(model.SerializeToString(deterministic=True))


def fitted(x: Tensor, inlet: Inlet) -> Tensor:
    """A batch in the shape that the graph wants: flat rows where it takes a table.

    Raises:
        ModelError: HF221 where the sizes differ.
    """
    if inlet.shape is None:
        return x
    if len(inlet.shape) == 2 and x.dim() > 2:
        x = x.reshape(len(x), -1)
    wanted = inlet.shape[1:]
    if x.dim() != len(inlet.shape) or any(w not in (None, s) for w, s in zip(wanted, x.shape[1:], strict=True)):
        raise ModelError(
            "HF221",
            "The model cannot take these inputs",
            seen=f"inputs of shape {tuple(x.shape[1:])}",
            expected=f"'{inlet.name}' of shape {tuple(w or 'any' for w in wanted)}",
            fix="check that these data are the model's, and their shape",
        )
    return x


def in_pieces(ask: Callable[[Rows], Rows], x: Rows, batch: int | None) -> Rows:
    """Ask a graph of a fixed batch about any number of rows; the last piece is filled up with its last row."""
    if batch is None or len(x) == batch or not len(x):
        return ask(x)
    found: list[Any] = []
    for start in range(0, len(x), batch):
        piece = x[start : start + batch]
        rows = np.minimum(np.arange(batch), len(piece) - 1)
        found.append(ask(piece[rows])[: len(piece)])
    joined: Rows = torch.cat(found) if isinstance(x, Tensor) else np.concatenate(found)
    return joined


def tabled(answer: Any) -> np.ndarray[Any, Any]:
    """An output as an array: one dictionary a row becomes a column for each key, in the order of the keys."""
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        keys = sorted(answer[0])
        return np.asarray([[row[key] for key in keys] for row in answer], np.float32)
    return np.asarray(answer)
