"""JPEG that torch can differentiate, Shin and Song, "JPEG-resistant Adversarial Images", NIPS 2017 workshop.

Every step of the codec but the rounding is linear or a clamp; the rounding of a coefficient c becomes
round(c) + (c - round(c))^3. Pictures are `(n, 1 or 3, height, width)` with values from 0 to 255.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from holdfast.defenses.preprocessing._pictures import padded

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Steps of brightness at quality 50, ITU-T T.81, table K.1."""

CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""Steps of color at quality 50, table K.2."""

COLORS = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
"""Brightness and two color differences of red, green and blue, ITU-T T.871."""

REDUCED = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}
"""How many pixels down and across share a color."""


def soft_jpeg(x: Tensor, quality: int, subsampling: str) -> Tensor:
    """The picture after compression with soft rounding: `(n, 1 or 3, height, width)`, 0 to 255."""
    if x.shape[1] == 1:
        return _coded(x, steps(LUMINANCE, quality)).clamp(0, 255)
    height, width = x.shape[2:]
    down, across = REDUCED[subsampling]
    matrix = torch.tensor(COLORS, dtype=torch.float64)
    planes = torch.einsum("dc,nchw->ndhw", matrix.to(x), x)
    light = _coded(planes[:, :1], steps(LUMINANCE, quality))
    color = _filled(planes[:, 1:], down, across)
    if down * across > 1:
        color = avg_pool2d(color, (down, across))
    color = _coded(color + 128, steps(CHROMINANCE, quality)).clamp(0, 255) - 128
    if down * across > 1:
        size = [color.shape[2] * down, color.shape[3] * across]
        narrow = color.shape[3] <= 2  # there the codec repeats colors, elsewhere it draws lines between them
        wide = interpolate(color, size) if narrow else interpolate(color, size, mode="bilinear", align_corners=False)
        color = wide[:, :, :height, :width]
    back = torch.linalg.inv(matrix).to(x)
    return torch.einsum("cd,ndhw->nchw", back, torch.cat([light.clamp(0, 255), color], 1)).clamp(0, 255)


def steps(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """The quantization steps that the Independent JPEG Group's library takes at a quality: `(8, 8)`."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(table) * scale + 50) // 100).clamp(1, 255)


def _coded(plane: Tensor, step: Tensor) -> Tensor:
    """Blocks of 8 x 8, cosine transform, soft rounding and back: `(n, channels, height, width)`."""
    n, channels, height, width = plane.shape
    large = _filled(plane, 8, 8) - 128
    rows, columns = large.shape[2] // 8, large.shape[3] // 8
    blocks = large.reshape(n, channels, rows, 8, columns, 8).transpose(3, 4)
    cosine = _cosine().to(plane)
    found = _soft(cosine @ blocks @ cosine.T / step.to(plane)) * step.to(plane)
    back = (cosine.T @ found @ cosine).transpose(3, 4).reshape(n, channels, *large.shape[2:])
    return back[:, :, :height, :width] + 128


def _soft(c: Tensor) -> Tensor:
    near = c.detach().round()
    return near + (c - near) ** 3


def _cosine() -> Tensor:
    """The orthonormal cosine transform of 8 values, a row a frequency."""
    k, i = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)
    matrix = torch.cos((2 * i + 1) * k * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _filled(x: Tensor, down: int, across: int) -> Tensor:
    """The last row and column repeated until the sides are multiples."""
    rows, columns = -x.shape[2] % down, -x.shape[3] % across
    return padded(x, 0, max(rows, columns), "replicate")[:, :, : x.shape[2] + rows, : x.shape[3] + columns]
