"""Medians of small windows, Xu, Evans and Qi, "Feature Squeezing", NDSS 2018, arXiv:1704.01155."""

import dataclasses
from typing import Annotated

from torch import Tensor

from holdfast.core.params import Range
from holdfast.defenses.preprocessing._pictures import need_pictures, padded
from holdfast.models.stage import Stage
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class MedianSmoothing(Stage):
    """Replace each value by the median of the window around it, channel by channel; edges are mirrored and repeated.

        x'[i, j] <- median of x[i - size // 2 ..., j - size // 2 ...], size values each way

    Of an even number of values the upper middle one is taken. Feature Squeezing uses `size=2`. A median is one of the
    window's values, so the gradient goes to that pixel and is exact wherever no two values tie. Broken by He et al.,
    "Adversarial Example Defenses: Ensembles of Weak Defenses are not Strong", WOOT 2017, arXiv:1706.04701.

    Cost: a selection among size^2 values a pixel, and as much memory.

    Args:
        size: Side of the window in pixels; 1 changes nothing.
    """

    size: Annotated[int, Range(1, 31)] = 2

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The medians.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "MedianSmoothing")
        if self.size == 1:
            return x
        before = self.size // 2
        windows = padded(x, before, self.size - 1 - before, "symmetric").unfold(2, self.size, 1).unfold(3, self.size, 1)
        middle: Tensor = windows.flatten(4).kthvalue(self.size**2 // 2 + 1, dim=4).values
        return middle.clamp(*space.limits(x))
