"""Means over similar patches, Buades, Coll and Morel, "A non-local algorithm for image denoising", CVPR 2005."""

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
Odd = Annotated[int, Range(1, 63)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NonLocalMeans(Stage):
    """Average each pixel with the pixels near it whose surroundings look alike.

        w[p, q] <- exp(-mean square of (patch at p - patch at q) / h^2),   h = strength * width / 255
        x'[p] <- sum over q in the search window of w[p, q] x[q], divided by the sum of w[p, q]

    The 11-3-4 of Feature Squeezing (Xu, Evans and Qi, NDSS 2018, arXiv:1704.01155) is the default. All channels share
    their weights; edges are mirrored. Smooth, so autograd is exact. Broken by He et al., "Adversarial Example Defenses:
    Ensembles of Weak Defenses are not Strong", WOOT 2017, arXiv:1706.04701.

    Cost: `search`^2 differences of the whole batch; with gradients as many copies of it are kept.

    Args:
        search: Side of the window that is searched, odd; 1 changes nothing.
        patch: Side of the patches that are compared, odd.
        strength: Differences that count as similar, in 255ths of the box's width.
    """

    search: Odd = 11
    patch: Odd = 3
    strength: Positive = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("search", "patch"):
            value = getattr(self, name)
            if value % 2 == 0:
                raise ParameterError("HF001", f"The '{name}' parameter of NonLocalMeans must be odd. Got {value}")

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The means.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "NonLocalMeans")
        if self.search == 1:
            return x
        height, width = x.shape[2:]
        low, high = space.limits(x)
        reach, half = self.search // 2, self.patch // 2
        large = padded(x, reach + half, reach + half, "mirror")
        unit = shares(x, space) * (255 / self.strength / self.patch / x.shape[1] ** 0.5)
        unit = padded(unit, reach + half, reach + half, "mirror")
        middle = _part(unit, reach, reach, height + 2 * half, width + 2 * half)
        total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
        for i in range(2 * reach + 1):
            for j in range(2 * reach + 1):
                other = _part(unit, i, j, height + 2 * half, width + 2 * half)
                distance = _boxes(_boxes((middle - other).square().sum(1, keepdim=True), 2, self.patch), 3, self.patch)
                weight = torch.exp(-distance.clamp(max=FAR))
                total = total + weight * _part(large, i + half, j + half, height, width)
                weights = weights + weight
        return (total / weights).clamp(low, high)


def _boxes(x: Tensor, dim: int, size: int) -> Tensor:
    """Sums of `size` neighbors along a dimension."""
    count = x.shape[dim] - size + 1
    found = x.narrow(dim, 0, count)
    for k in range(1, size):
        found = found + x.narrow(dim, k, count)
    return found


def _part(x: Tensor, i: int, j: int, height: int, width: int) -> Tensor:
    return x[:, :, i : i + height, j : j + width]
