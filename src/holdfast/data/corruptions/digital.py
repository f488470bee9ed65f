"""Digital: contrast, elastic, pixelate, JPEG. Pictures are `(n, channels, height, width)` in [0, 1]."""

import io

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from holdfast.data.corruptions.filters import smoothed
from holdfast.geometry.draw import Draw


def contrast(x: Tensor, draw: Draw, share: float) -> Tensor:
    """Each channel is drawn toward its mean."""
    mean = x.mean((2, 3), keepdim=True)
    return ((x - mean) * share + mean).clamp(0, 1)


def elastic_transform(x: Tensor, draw: Draw, push: float, sigma: float, tilt: float) -> Tensor:
    """A random affine map of three corners, then a smooth random displacement. Lengths are shares of the side."""
    height, width = x.shape[2:]
    side = min(height, width)
    middle, arm = torch.tensor([width // 2, height // 2]), side // 3
    first = torch.stack([middle + arm, middle + torch.tensor([arm, -arm]), middle - arm]).double()
    second = first + tilt * side * (2 * draw.uniform(3, 2).double().cpu() - 1)
    ones = torch.ones(*second.shape[:2], 1, dtype=torch.float64)
    back = torch.linalg.solve(torch.cat([second, ones], 2), first.expand(len(x), 3, 2))  # (n, 3, 2): target to source
    i, j = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([j, i, torch.ones_like(i)], -1).double() @ back[:, None]
    x = _sampled(x, places.to(x), True)
    shift = torch.stack([j, i], -1).to(x).expand(len(x), -1, -1, -1)
    if push:
        noise = 2 * draw.uniform(2, height, width) - 1
        move = push * side * smoothed(noise, sigma * side, truncate=3, edge="symmetric")
        shift = shift + move.permute(0, 2, 3, 1)
    return _sampled(x, shift, False).clamp(0, 1)


def pixelate(x: Tensor, draw: Draw, share: float) -> Tensor:
    """Averaged down to `share` of the size, and enlarged by repetition."""
    for dim in (2, 3):
        size = x.shape[dim]
        small = max(int(size * share), 1)
        there_and_back = boxes(small, size) @ boxes(size, small)
        x = (x.movedim(dim, -1) @ there_and_back.T.to(x)).movedim(-1, dim)
    return x.clamp(0, 1)


def boxes(before: int, after: int) -> Tensor:
    """The matrix that resizes by means over boxes, as Pillow does: `(after, before)`."""
    ratio = before / after
    reach = max(ratio, 1.0) / 2
    matrix = torch.zeros(after, before, dtype=torch.float64)
    for i in range(after):
        center = (i + 0.5) * ratio
        first, last = max(int(center - reach + 0.5), 0), min(int(center + reach + 0.5), before)
        matrix[i, first:last] = 1 / (last - first)
    return matrix


def jpeg_compression(x: Tensor, draw: Draw, quality: int) -> Tensor:
    """Stored as JPEG of that quality and read again, a picture at a time."""
    return recoded(x, quality)


def recoded(x: Tensor, quality: int, subsampling: str = "4:2:0") -> Tensor:
    """What is left of 8-bit pictures after a JPEG file, a picture at a time.

    Args:
        x: `(n, 1 or 3, height, width)` in [0, 1].
        quality: From 1 to 100.
        subsampling: Of the colors: "4:4:4", "4:2:2" or "4:2:0".
    """
    from PIL import Image

    found = []
    for picture in (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy():
        file, plain = io.BytesIO(), picture.squeeze(2) if picture.shape[2] == 1 else picture
        Image.fromarray(plain).save(file, "JPEG", quality=quality, subsampling=subsampling)
        found.append(np.asarray(Image.open(file)).reshape(picture.shape))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(x) / 255


def _sampled(x: Tensor, places: Tensor, corners: bool) -> Tensor:
    """Bilinear values at `(n, height, width, 2)` places (column, row), mirrored beyond the edge."""
    size = torch.tensor([x.shape[3], x.shape[2]]).to(x)
    grid = 2 * places / (size - 1).clamp(min=1) - 1 if corners else (2 * places + 1) / size - 1
    return functional.grid_sample(x, grid, padding_mode="reflection", align_corners=corners)
