"""Peak signal-to-noise ratio: 10 log10(range^2 / mean squared change), in decibels."""

import torch
from torch import Tensor


def psnr(clean: Tensor, changed: Tensor, span: float) -> Tensor:
    """Of each row: `(batch,)` float64; inf where nothing changed.

    Args:
        clean: `(batch, ...)` in the data's own units.
        changed: The same shape.
        span: Highest minus lowest possible value.
    """
    error = (changed.double() - clean.double()).flatten(1).square().mean(1)
    return 10 * torch.log10(span**2 / error)
