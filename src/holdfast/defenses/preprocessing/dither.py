"""Few levels without contours, Floyd and Steinberg, "An adaptive algorithm for spatial grayscale", 1976."""

import dataclasses
from typing import Annotated, Literal

import torch
from torch import Tensor

from holdfast.core.params import Range
from holdfast.defenses.preprocessing._pictures import need_pictures, shares, values
from holdfast.defenses.preprocessing._stairs import soft_round
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box

ERRORS = ((1, -1, 3 / 16), (1, 0, 5 / 16), (1, 1, 1 / 16), (0, 1, 7 / 16))
"""Where the rounding error of a pixel goes: rows down, columns to the right, share."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dither(Stage):
    """Reduce every channel to 2^bits levels so that local means survive.

        diffusion:  x' <- the nearest level; its error goes to the right and to the row below by 7, 3, 5, 1 sixteenths
        ordered:    x' <- floor(levels * x + threshold[i, j]), thresholds of a Bayer matrix, the same at every x

    Ordered dithering is Bayer, "An optimum method for two-level rendition of continuous-tone pictures", ICC 1973.
    Its gradient is zero nearly everywhere; attacks go straight through the diffusion and back through a smooth
    staircase where the thresholds are fixed: deterministic quantization is what
    Athalye, Carlini and Wagner broke that way (ICML 2018, arXiv:1802.00420).

    Cost: ordered, one rounding; diffusion, width + 2 height steps that move along slanted lines of pixels.

    Args:
        bits: Bits a value.
        method: `diffusion` or `ordered`.
        side: Of the Bayer matrix; not used by diffusion.
    """

    bits: Annotated[int, Range(1, 16)] = 2
    method: Literal["diffusion", "ordered"] = "diffusion"
    side: Literal[2, 4, 8, 16] = 4

    @property
    def gradient(self) -> Gradient:
        """Straight through."""
        return "straight-through"

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The dithered pictures.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "Dither")
        top = 2**self.bits - 1
        levels = shares(x, space) * top
        found = diffused(levels, top) if self.method == "diffusion" else ordered(levels, top, bayer(self.side))
        return values(found / top, x, space)

    def twin(self, x: Tensor, space: Box) -> Tensor:
        """The identity for diffusion; a smooth staircase with the same edges for ordered thresholds."""
        if self.method == "diffusion":
            return x
        top = 2**self.bits - 1
        levels = shares(x, space) * top
        return values(soft_round(levels + placed(bayer(self.side), levels) - 0.5) / top, x, space)


def bayer(side: int) -> Tensor:
    """The thresholds of a Bayer matrix, (rank + 1/2) / side^2: `(side, side)`, `side` a power of two."""
    ranks = torch.zeros(1, 1, dtype=torch.float64)
    while len(ranks) < side:
        ranks = torch.cat([torch.cat([4 * ranks, 4 * ranks + 2], 1), torch.cat([4 * ranks + 3, 4 * ranks + 1], 1)])
    return (ranks + 0.5) / side**2


def ordered(levels: Tensor, top: int, thresholds: Tensor) -> Tensor:
    """Levels rounded up where they exceed what the threshold of their place leaves: `(n, channels, height, width)`."""
    return (levels + placed(thresholds, levels)).floor().clamp(0, top)


def placed(thresholds: Tensor, levels: Tensor) -> Tensor:
    """The thresholds repeated over a picture: `(height, width)`."""
    rows, columns = (torch.arange(size) % len(thresholds) for size in levels.shape[2:])
    return thresholds[rows][:, columns].to(levels)


def diffused(levels: Tensor, top: int) -> Tensor:
    """Error diffusion in reading order: `(n, channels, height, width)`.

    Pixel (i, j) waits for its left neighbor and three above, so all pixels with the same j + 2 i are done at once.
    """
    height, width = levels.shape[2:]
    work = torch.nn.functional.pad(levels, (1, 1, 0, 1))
    found = torch.empty_like(levels)
    for time in range(width + 2 * (height - 1)):
        i = torch.arange(max(0, (time - width + 2) // 2), min(height - 1, time // 2) + 1, device=levels.device)
        j = time - 2 * i
        old = work[:, :, i, j + 1]
        new = old.round().clamp(0, top)
        found[:, :, i, j] = new
        for down, right, share in ERRORS:
            work[:, :, i + down, j + 1 + right] += (old - new) * share
    return found
