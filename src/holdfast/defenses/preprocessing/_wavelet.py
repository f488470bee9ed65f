"""The orthogonal Haar transform of pictures, and the soft thresholds of BayesShrink between its halves.

Haar, "Zur Theorie der orthogonalen Funktionensysteme", 1910; Chang, Yu and Vetterli, "Adaptive Wavelet Thresholding for
Image Denoising and Compression", IEEE Transactions on Image Processing 2000.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

NONE = 1e-12  # variance of a signal that is none


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """A picture's means and details at half its size, both times 2: an orthogonal transform.

    Args:
        x: `(batch, channels, height, width)`; an odd side is filled up with its last line.

    Returns:
        Means `(batch, channels, ...)`, and details `(batch, 3, channels, ...)`: across, down, diagonal.
    """
    x = pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    a, b, c, d = x[:, :, ::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]
    details = torch.stack([a - b + c - d, a + b - c - d, a - b - c + d], 1)
    return (a + b + c + d) / 2, details / 2


def unhaar(means: Tensor, details: Tensor, height: int, width: int) -> Tensor:
    """The picture again, without what it was filled up with: `(batch, channels, height, width)`."""
    across, down, diagonal = details.unbind(1)
    rows = [
        torch.stack([means + across + sign * (down + diagonal), means - across + sign * (down - diagonal)], 4)
        for sign in (1, -1)
    ]
    lines = torch.stack(rows, 3).flatten(4, 5)  # (batch, channels, height / 2, 2, width)
    return lines.flatten(2, 3)[:, :, :height, :width] / 2


def shrunk(x: Tensor, sigma: float, depth: int) -> Tensor:
    """Pictures without what looks like noise: the details of each scale, direction and channel under a soft threshold.

        T = sigma^2 / sqrt(max(mean of d^2 - sigma^2, 0)),   d <- sign(d) max(|d| - T, 0)

    Args:
        x: `(batch, channels, height, width)`.
        sigma: Deviation of the noise.
        depth: Scales, as many as the picture has.
    """
    height, width = x.shape[2:]
    if not sigma or not depth or min(height, width) < 2:
        return x
    means, details = haar(x)
    signal = (details.square().mean((3, 4), keepdim=True) - sigma**2).clamp(min=NONE).sqrt()
    details = details.sign() * (details.abs() - sigma**2 / signal).relu()
    return unhaar(shrunk(means, sigma, depth - 1), details, height, width)
