"""Random size and place, Xie, Wang, Zhang, Ren and Yuille, ICLR 2018, arXiv:1711.01991."""

import dataclasses
from typing import Annotated, Literal

import torch
from torch import Tensor

from holdfast.core.errors import ParameterError
from holdfast.core.params import Range, Share
from holdfast.defenses.preprocessing._pictures import need_pictures
from holdfast.models.stage import Stage
from holdfast.threats.space import Box

Ratio = Annotated[float, Range(0, 4, open_low=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResizePad(Stage):
    """Resize each picture to a random size and lay it at a random place of a canvas of a fixed size.

        size <- uniform among the whole sizes between `smallest` and `largest` times the picture's
        x' <- fill, but for the resized picture at a uniform place

    Each row draws its own size and place. The paper enlarges pictures of 299 to 299 ... 330 on a canvas of 331, nearest
    neighbors: `ResizePad(smallest=1.0, largest=330 / 299, canvas=331 / 299, method="nearest")`, for models that take
    such a size. The defaults keep the size. The map is linear, so its gradient is exact. Broken by Athalye, Carlini and
    Wagner, ICML 2018, arXiv:1802.00420: the mean gradient of several passes.

    Cost: two products with a matrix of the picture's side, for each channel.

    Args:
        smallest: Lowest size, relative to the picture's.
        largest: Highest size, no larger than the canvas.
        canvas: Size of what comes out, relative to the picture's.
        method: `bilinear` or `nearest`.
        fill: Of the canvas, as a share of the way from the lower to the upper bound.
    """

    smallest: Ratio = 0.85
    largest: Ratio = 1.0
    canvas: Ratio = 1.0
    method: Literal["bilinear", "nearest"] = "bilinear"
    fill: Share = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.smallest <= self.largest <= self.canvas:
            seen = f"{self.smallest:g}, {self.largest:g}, {self.canvas:g}"
            raise ParameterError(
                "HF001",
                "The 'smallest', 'largest' and 'canvas' parameters of ResizePad must not fall in this order. "
                f"Got {seen}",
            )

    @property
    def random(self) -> bool:
        """Whether more than one size or place is possible."""
        return not self.smallest == self.largest == self.canvas

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The pictures on their canvas.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "ResizePad")
        if self.smallest == self.largest == self.canvas == 1:
            return x
        share = torch.rand(len(x), device=x.device) if self.random else torch.zeros(len(x), device=x.device)
        down, across = (self._laid(x.shape[dim], share, x) for dim in (2, 3))
        found = down[:, None] @ x @ across[:, None].transpose(2, 3)
        low, high = (limit[:, :, :1, :1] for limit in space.limits(x))
        bare = 1 - down.sum(2)[:, None, :, None] * across.sum(2)[:, None, None]
        return torch.clamp(found + bare * (low + self.fill * (high - low)), low, high)

    def _laid(self, size: int, share: Tensor, x: Tensor) -> Tensor:
        """Along one side, the weight of every pixel in every pixel of the canvas: `(n, canvas, size)`."""
        first, last, canvas = (max(1, round(ratio * size)) for ratio in (self.smallest, self.largest, self.canvas))
        sizes = (first + (share * (last - first + 1)).long()).clamp(max=last)
        room = canvas - sizes + 1
        start = (torch.rand(len(x), device=x.device) * room).long().clamp(max=room - 1) if self.random else room // 2
        return weights(size, sizes, start, canvas, self.method).to(x)


def weights(size: int, sizes: Tensor, start: Tensor, canvas: int, method: str) -> Tensor:
    """Matrices that resize a line and lay it on a canvas, float64: `(n, canvas, size)`.

    Args:
        size: Pixels of the line.
        sizes: What each row is resized to, `(n,)`.
        start: Where it begins on the canvas, `(n,)`.
        canvas: Pixels of the canvas.
        method: `bilinear` (corners not aligned) or `nearest`.
    """
    place = torch.arange(canvas, device=sizes.device) - start[:, None]
    inside = (place >= 0) & (place < sizes[:, None])
    ratio = size / sizes.double()[:, None]
    pixels = torch.arange(size, device=sizes.device)
    if method == "nearest":
        source = (place * ratio + 1e-9).floor().clamp(0, size - 1)
        matrix = (source[:, :, None] == pixels).double()
    else:
        source = ((place + 0.5) * ratio - 0.5).clamp(0, size - 1)
        matrix = (1 - (source[:, :, None] - pixels).abs()).clamp(min=0)
    return matrix * inside[:, :, None]
