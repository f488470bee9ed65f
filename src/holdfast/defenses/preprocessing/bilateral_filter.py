"""Means over near and similar pixels, Tomasi and Manduchi, "Bilateral Filtering for Gray and Color Images", 1998."""

import dataclasses
from typing import Annotated

import torch
from torch import Tensor

from holdfast.core.errors import ParameterError
from holdfast.core.params import Positive, Range
from holdfast.defenses.preprocessing._pictures import need_pictures, padded, shares
from holdfast.models.stage import Stage
from holdfast.threats.space import Box

FAR = 80.0  # exp(-80) adds nothing to the pixel's own weight of 1, and numbers below it are slow


@dataclasses.dataclass(frozen=True, kw_only=True)
class BilateralFilter(Stage):
    """Average each pixel with those that are near it and look like it, so that edges stay.

        w[p, q] <- exp(-|p - q|^2 / (2 sigma^2) - mean square of (x[p] - x[q]) over channels / (2 tone^2))
        x'[p] <- sum over q in the window of w[p, q] x[q], divided by the sum of w[p, q]

    Differences of pixels are shares of the box's width, all channels share their weights, edges are mirrored. Smooth,
    so autograd is exact, through the weights too. Xie, Wu, van der Maaten, Yuille and He (CVPR 2019, arXiv:1812.03411)
    put such filters between the layers of networks that are trained adversarially; in front of a network that is not,
    it is one more smoothing, and those were broken by He et al., "Adversarial Example Defenses: Ensembles of Weak
    Defenses are not Strong", WOOT 2017, arXiv:1706.04701.

    Cost: `size`^2 differences of the whole batch; with gradients as many copies of it are kept.

    Args:
        size: Side of the window, odd; 1 changes nothing.
        sigma: Distance that counts as near, in pixels.
        tone: Difference that counts as alike, as a share of the box's width.
    """

    size: Annotated[int, Range(1, 63)] = 5
    sigma: Positive = 1.5
    tone: Positive = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            raise ParameterError("HF001", f"The 'size' parameter of BilateralFilter must be odd. Got {self.size}")

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The means.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "BilateralFilter")
        if self.size == 1:
            return x
        height, width = x.shape[2:]
        low, high = space.limits(x)
        reach = self.size // 2
        large = padded(x, reach, reach, "mirror")
        middle = shares(x, space) / self.tone
        around = padded(middle, reach, reach, "mirror")
        total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
        for i in range(self.size):
            for j in range(self.size):
                away = ((i - reach) ** 2 + (j - reach) ** 2) / self.sigma**2
                gap = (middle - around[:, :, i : i + height, j : j + width]).square().mean(1, keepdim=True)
                weight = torch.exp(-((gap + away) / 2).clamp(max=FAR))
                total = total + weight * large[:, :, i : i + height, j : j + width]
                weights = weights + weight
        return (total / weights).clamp(low, high)
