"""Small sets that scikit-learn brings: digits (Alpaydin, 1998), breast cancer (Street, 1993), wine (Forina, 1991)."""

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.data.dataset import Dataset, Splits
from holdfast.data.ranges import Bounds

MARGIN = 0.1
"""How far the bounds of a measured feature reach beyond what the training part shows, as a share of its range."""


def digits() -> Splits:
    """1,797 handwritten digits, 8 x 8 pixels with 17 gray levels, as images in [0, 1]; `divided` makes the parts."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = torch.from_numpy(found.images[:, None].astype(np.float32) / 16)
    return divided(
        Dataset(
            x,
            torch.from_numpy(found.target),
            classes=tuple(map(str, range(10))),
            name="digits",
            license="CC BY 4.0 (UCI 80)",
        )
    )


def breast_cancer() -> Splits:
    """569 tumors by 30 measurements of cell nuclei; classes malignant, benign; bounds as `measured` says."""
    from sklearn.datasets import load_breast_cancer

    return _table(load_breast_cancer(), "breast_cancer", "CC BY 4.0 (UCI 17)")


def wine() -> Splits:
    """178 wines of three cultivars by 13 chemical measurements; bounds as `measured` says."""
    from sklearn.datasets import load_wine

    return _table(load_wine(), "wine", "CC BY 4.0 (UCI 109)")


def _table(found: Any, name: str, license: str) -> Splits:
    x = torch.from_numpy(found.data)
    whole = Dataset(
        x,
        torch.from_numpy(found.target),
        wide(found.data),
        classes=tuple(found.target_names),
        features=tuple(found.feature_names),
        name=name,
        license=license,
    )
    return measured(divided(whole))


def measured(parts: Splits) -> Splits:
    """The same measurements with bounds for each feature that the training part sets.

    No law bounds a measurement, so the bounds are a choice and stated as one: what the training part shows, widened
    on each side by a tenth of that range, and never below 0 where no training value is (lengths, areas and
    concentrations cannot be negative). The test part has no say in them; the few of its values that lie beyond are
    clipped to the bound.
    """
    low, high = bounds = widened(parts.train.x.numpy())

    def bounded(part: Dataset) -> Dataset:
        x = torch.clamp(part.x, torch.tensor(low, dtype=part.x.dtype), torch.tensor(high, dtype=part.x.dtype))
        return dataclasses.replace(part, x=x, bounds=bounds)

    return Splits(bounded(parts.train), bounded(parts.test), None if parts.val is None else bounded(parts.val))


def widened(x: NDArray[Any]) -> Bounds:
    """Bounds of each column of `(n, features)`: its range, wider by `MARGIN` on each side, at 0 where none is below."""
    low, high = x.min(0).astype(np.float64), x.max(0).astype(np.float64)
    width = np.where(high > low, high - low, 1.0)
    lower = np.where(low >= 0, np.maximum(low - MARGIN * width, 0), low - MARGIN * width)
    return tuple(lower.tolist()), tuple((high + MARGIN * width).tolist())


def wide(x: NDArray[Any]) -> tuple[float, float]:
    """Bounds that hold every value, until better ones are known."""
    return float(x.min()) - 1, float(x.max()) + 1


def divided(whole: Dataset) -> Splits:
    """A random 70 / 10 / 20 percent for train / val / test, the same in every version and on every machine."""
    rest, test = whole.divide(0.8, seed=0)
    train, val = rest.divide(0.875, seed=1)
    return Splits(
        *(dataclasses.replace(part, split=name) for part, name in ((train, "train"), (test, "test"), (val, "val")))
    )
