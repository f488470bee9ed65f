"""Fewer bits a value, Xu, Evans and Qi, "Feature Squeezing", NDSS 2018, arXiv:1704.01155."""

import dataclasses
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from holdfast.core.params import Range
from holdfast.defenses.preprocessing._stairs import soft_round
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitDepth(Stage):
    """Round every value to one of 2^bits levels between the bounds.

        x' <- low + round((x - low) / width * (2^bits - 1)) / (2^bits - 1) * width

    Its gradient is zero nearly everywhere, so attacks go back through a smooth staircase. Broken by He et al.,
    "Adversarial Example Defenses: Ensembles of Weak Defenses are not Strong", WOOT 2017, arXiv:1706.04701.

    Cost: one rounding.

    Args:
        bits: Bits a value.
    """

    bits: Annotated[int, Range(1, 16)] = 4

    @property
    def gradient(self) -> Gradient:
        """Straight through."""
        return "straight-through"

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The rounded input."""
        return self._levels(x, space, torch.round)

    def twin(self, x: Tensor, space: Box) -> Tensor:
        """The input on a smooth staircase with the same levels."""
        return self._levels(x, space, soft_round)

    def _levels(self, x: Tensor, space: Box, rounding: Callable[[Tensor], Tensor]) -> Tensor:
        low, high = space.limits(x)
        levels = 2**self.bits - 1
        rounded: Tensor = low + rounding((x - low) / (high - low) * levels) / levels * (high - low)
        return rounded
