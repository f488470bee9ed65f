"""Structural similarity: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, IEEE Trans. Image Processing, 2004.

Gaussian window of 11 x 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03, windows that lie wholly inside the image, mean
over windows, then over channels. Images with a side below 11 pixels take the largest odd window that fits, the same
sigma, its weights summing to 1 again: a value of its own kind, not comparable with that of large images.
"""

import torch
from torch import Tensor

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def ssim(clean: Tensor, changed: Tensor, span: float) -> Tensor:
    """Of each row: `(batch,)` float64, 1 for equal images.

    Args:
        clean: `(batch, channels, height, width)`.
        changed: The same shape.
        span: Highest minus lowest possible value.
    """
    x, y = clean.double(), changed.double()
    window = _window(min(WINDOW, *x.shape[2:]))
    mean_x, mean_y = _average(x, window), _average(y, window)
    var_x, var_y = _average(x * x, window) - mean_x**2, _average(y * y, window) - mean_y**2
    both = _average(x * y, window) - mean_x * mean_y
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * both + c2) / (var_x + var_y + c2)
    return (light * structure).flatten(1).mean(1)


def _window(side: int) -> Tensor:
    """Gaussian weights of the largest odd length up to `side`, summing to 1."""
    side -= 1 - side % 2
    offsets = torch.arange(side, dtype=torch.float64) - side // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return weights / weights.sum()


def _average(x: Tensor, window: Tensor) -> Tensor:
    """Weighted mean of every window inside the image, rows then columns."""
    channels = x.shape[1]
    window = window.to(x.device)
    down = window.reshape(1, 1, -1, 1).expand(channels, -1, -1, -1)
    across = window.reshape(1, 1, 1, -1).expand(channels, -1, -1, -1)
    return torch.nn.functional.conv2d(torch.nn.functional.conv2d(x, down, groups=channels), across, groups=channels)
