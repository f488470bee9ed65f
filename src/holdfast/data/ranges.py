"""Value ranges of inputs: bounds in one form, and the usual mistakes of range (a forgotten normalization) noticed."""

from typing import Any

import torch
from torch import Tensor

from holdfast.core.errors import DataError

Bounds = tuple[float, float] | tuple[tuple[float, ...], tuple[float, ...]]
"""Two numbers, or two tuples with a number for each feature."""

ROUNDING = 1e-6
"""Share of the range by which a value may lie outside and still be rounding: it is set to the bound."""

KNOWN = {
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "mean 0.5, std 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "MNIST": ((0.1307,), (0.3081,)),
}


def as_bounds(bounds: Any, shape: tuple[int, ...]) -> Bounds:
    """Bounds as two floats, or as two tuples with a number for each feature of samples shaped `(features,)`.

    Raises:
        DataError: HF103 where they are no pair, not finite, empty, or shaped unlike a sample.
    """
    try:
        low, high = (torch.as_tensor(end, dtype=torch.float64) for end in bounds)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            "HF103",
            "The bounds cannot be read",
            seen=repr(bounds)[:80],
            expected="a pair (low, high)",
            fix="bounds=(0, 1)",
        ) from error
    if any(end.dim() and (len(shape) != 1 or end.shape != shape) for end in (low, high)):
        raise DataError(
            "HF103",
            "The bounds do not fit the samples",
            seen=f"shapes {tuple(low.shape)} and {tuple(high.shape)}",
            expected=f"two numbers, or two rows of shape {tuple(shape)}",
        )
    if not bool((low < high).all()) or not bool((high - low).isfinite().all()):
        raise DataError(
            "HF103", "Bounds need finite numbers with low < high", seen=show((low, high)), fix="bounds=(0, 1)"
        )
    if low.dim() == high.dim() == 0:
        return float(low), float(high)
    low, high = (end.expand(shape) for end in (low, high))
    return tuple(low.tolist()), tuple(high.tolist())


def inside(x: Tensor, bounds: Bounds) -> Tensor:
    """The same values, those outside by rounding only set to the bound.

    Raises:
        DataError: HF105 for NaN or infinite values, HF104 for values outside.
    """
    if x.numel() == 0:
        return x
    finite = x.isfinite()
    if not bool(finite.all()):
        rows = (~finite).flatten(1).any(1)
        raise DataError(
            "HF105",
            "The data hold values that are no numbers (NaN or infinite)",
            seen=f"{int(rows.sum())} of {len(x)} samples, first row {int(rows.int().argmax())}",
            expected="finite numbers",
            fix="drop those rows or fill the gaps, e.g. with sklearn.impute.SimpleImputer",
        )
    low, high = (torch.as_tensor(end, dtype=x.dtype) for end in bounds)
    slack = ROUNDING * (high - low)
    if bool((x < low - slack).any()) or bool((x > high + slack).any()):
        raise DataError(
            "HF104",
            "Data outside the declared range",
            seen=f"[{float(x.min()):.4g}, {float(x.max()):.4g}]",
            expected=f"{show(bounds)}{reason(x, bounds)}",
            fix=_fix(x, bounds),
        )
    return x.clamp(low, high)


def reason(x: Tensor, bounds: Bounds) -> str:
    """What the data look like, as the tail of a sentence: `. The data look mean/std-normalized (ImageNet)`."""
    if x.is_floating_point() and looks_normalized(x):
        return f". The data look mean/std-normalized{known(x)}"
    if x.dim() >= 3 and float(x.min()) >= 0 and 1 < float(x.max()) <= 255 and show(bounds) == "[0, 1]":
        return ". The data look like 8-bit values"
    return ""


def looks_normalized(x: Tensor) -> bool:
    """Whether values `(batch, ...)` look as if a mean had been subtracted and a standard deviation divided out."""
    values = x.double()
    if values.numel() < 2 or not bool(values.isfinite().all()):
        return False
    mean, std = float(values.mean()), float(values.std())
    return float(values.min()) < -0.2 and -1.5 < mean < 1.5 and 0.4 < std < 2.5 and float(values.abs().max()) < 12


def known(x: Tensor) -> str:
    """` (ImageNet)` where images `(batch, channels, height, width)` fill the range that its normalization gives."""
    if x.dim() != 4:
        return ""
    low, high = x.amin((0, 2, 3)).double(), x.amax((0, 2, 3)).double()
    for name, (mean, std) in KNOWN.items():
        center, scale = torch.tensor(mean).double(), torch.tensor(std).double()
        if len(center) == x.shape[1]:
            below, above = (low * scale + center), (high * scale + center)
            if bool((below.abs() < 0.06).all()) and bool(((above - 1).abs() < 0.06).all()):
                return f" ({name})"
    return ""


def _fix(x: Tensor, bounds: Bounds) -> str:
    if looks_normalized(x):
        return "pass the raw data, and give mean= and std= to wrap(model, ...)"
    if "8-bit" in reason(x, bounds):
        return "pass x / 255, or bounds=(0, 255) to both the data and wrap(model, ...)"
    return "declare the true range of the data, bounds=(low, high), for both the data and wrap(model, ...)"


def show(bounds: Any) -> str:
    """`[0, 1]`, or `[low, high] for each feature` with the outermost ends."""
    low, high = (torch.as_tensor(end, dtype=torch.float64) for end in bounds)
    each = "" if low.dim() == 0 and high.dim() == 0 else " at most, each feature its own"
    return f"[{float(low.min()):g}, {float(high.max()):g}]{each}"
