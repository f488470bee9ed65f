"""Survival of storage: an image file keeps 256 levels, and an attack that dies there is a smaller danger."""

import torch
from torch import Tensor


def stored(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """The nearest of 256 equally spaced levels between the bounds, in `x`'s dtype and inside the bounds.

    Args:
        x: `(batch, ...)` inside the bounds.
        low: Lowest possible value, a number or a tensor that broadcasts to `x`.
        high: Highest possible value.
    """
    bottom, top = (torch.as_tensor(end, dtype=torch.float64, device=x.device) for end in (low, high))
    level = ((x.double() - bottom) / (top - bottom) * 255).round()
    back = (bottom + level / 255 * (top - bottom)).to(x.dtype)
    return torch.minimum(torch.maximum(back, bottom.to(x.dtype)), top.to(x.dtype))
