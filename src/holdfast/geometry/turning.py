"""Pictures turned about their middle and shifted, bilinear, black where nothing was."""

import torch
from torch import Tensor
from torch.nn import functional


def turned(x: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Each picture turned, then shifted: `(batch, channels, height, width)`.

    Args:
        x: `(batch, channels, height, width)`, zero is black.
        angle: In degrees, counterclockwise as seen, `(batch,)`.
        shift: Down and to the right, in pixels, `(batch, 2)`.
    """
    height, width = x.shape[2:]
    turn = torch.deg2rad(angle.to(x))[:, None, None]
    rows = torch.arange(height, dtype=x.dtype, device=x.device) - (height - 1) / 2
    columns = torch.arange(width, dtype=x.dtype, device=x.device) - (width - 1) / 2
    down = rows[None, :, None] - shift[:, :1, None].to(x)
    across = columns[None, None, :] - shift[:, 1:, None].to(x)
    i = torch.cos(turn) * down + torch.sin(turn) * across
    j = torch.cos(turn) * across - torch.sin(turn) * down
    grid = torch.stack([2 * j / width, 2 * i / height], -1)
    return functional.grid_sample(x, grid, align_corners=False)
