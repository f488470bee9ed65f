"""Class labels as one form: int64 indices `(n,)`, read from indices, a column, or one-hot rows."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError


def as_labels(y: Any, n: int, classes: tuple[str, ...]) -> tuple[Tensor, int]:
    """Labels `(n,)`, and the number of classes that they and the class names say.

    Args:
        y: Indices `(n,)` or `(n, 1)`, or one-hot rows `(n, classes)`; array or tensor of any number type.
        n: Number of samples.
        classes: Names of the classes, or nothing.

    Raises:
        DataError: HF101 where the labels can be read in no way or in more than one.
    """
    values = _numbers(y)
    if values.ndim not in (1, 2) or values.shape[0] != n or 0 in values.shape[1:]:
        raise DataError(
            "HF101",
            "The labels do not fit the samples",
            seen=f"labels of shape {values.shape} for {n} samples",
            expected=f"indices ({n},) or one-hot rows ({n}, classes)",
        )
    if values.ndim == 2 and values.shape[1] > 1:
        return _one_hot(values, classes)
    indices = values.reshape(-1)
    if not np.isfinite(indices.astype(np.float64)).all() or (indices != np.floor(indices)).any():
        raise DataError(
            "HF101",
            "The labels are no class indices",
            seen=f"the value {indices[indices != np.floor(indices)][0]}",
            expected="whole numbers from 0",
            fix="y = scores.argmax(1), or np.unique(y, return_inverse=True)[1]",
        )
    if n and indices.min() < 0:
        raise DataError(
            "HF101",
            "A label is negative",
            seen=f"labels from {indices.min():g} to {indices.max():g}",
            expected="class indices from 0",
            fix="y = np.unique(y, return_inverse=True)[1]",
        )
    top = int(indices.max()) + 1 if n else 0
    if classes and top > len(classes):
        raise DataError(
            "HF101",
            "A label has no class name",
            seen=f"label {top - 1} with {len(classes)} class names",
            expected=f"labels from 0 to {len(classes) - 1}",
            fix="y - 1 if the labels count from 1, else name every class",
        )
    if top > 1_000_000:
        raise DataError(
            "HF101",
            "The labels look like values, not classes",
            seen=f"the label {top - 1}",
            expected="class indices from 0",
        )
    return torch.from_numpy(indices.astype(np.int64)), len(classes) or top


def _numbers(y: Any) -> np.ndarray:
    values = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if values.dtype.kind not in "biuf":
        raise DataError(
            "HF101",
            "The labels are no numbers",
            seen=f"dtype {values.dtype}",
            expected="class indices from 0",
            fix="classes, y = np.unique(y, return_inverse=True); Dataset(x, y, classes=tuple(map(str, classes)))",
        )
    return values


def _one_hot(values: np.ndarray, classes: tuple[str, ...]) -> tuple[Tensor, int]:
    width = values.shape[1]
    if not (np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all()):
        raise DataError(
            "HF101",
            "The labels are neither indices nor one-hot rows",
            seen=f"shape {values.shape} with rows like {values[np.argmax((values != 0).sum(1))][:6].tolist()}",
            expected="in each row one 1 and otherwise 0",
            fix="y.argmax(1) if the largest value of a row marks its class",
        )
    if classes and len(classes) != width:
        raise DataError(
            "HF101",
            "The one-hot labels do not fit the class names",
            seen=f"{width} columns and {len(classes)} names",
            expected="one name for each column",
        )
    return torch.from_numpy(values.argmax(1).astype(np.int64)), width
