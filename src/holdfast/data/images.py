"""8-bit images in one form: float32 `(n, channels, height, width)`, scaled to [0, 1] unless told otherwise."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_images(x: NDArray[Any], bounds: Any = None) -> Tensor:
    """8-bit images `(n, height, width)`, `(n, height, width, channels)` or `(n, channels, height, width)` as NCHW.

    Args:
        x: Values from 0 to 255.
        bounds: `(0, 255)` keeps these units, None scales them to [0, 1].
    """
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[1] not in (1, 3, 4) and x.shape[3] in (1, 3, 4):
        x = np.moveaxis(x, 3, 1)
    values = torch.from_numpy(np.array(x)).float()
    return values if eight_bit(bounds) else values / 255


def eight_bit(bounds: Any) -> bool:
    """Whether the bounds say that values run from 0 to 255."""
    try:
        return tuple(float(end) for end in bounds) == (0.0, 255.0)
    except (TypeError, ValueError):
        return False
