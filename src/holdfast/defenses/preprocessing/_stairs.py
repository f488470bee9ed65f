"""A smooth staircase, for the way back through roundings."""

import math

import torch
from torch import Tensor

STEEP = 5.0  # the slope is 2.5 where a value is about to be rounded the other way, 0.07 where it lies on a level


def soft_round(u: Tensor) -> Tensor:
    """A differentiable rounding to whole numbers, the same shape.

        floor(u) + 1/2 + tanh(a (u - floor(u) - 1/2)) / (2 tanh(a / 2)),   a = 5

    Agustsson and Theis, "Universally Quantized Neural Networks", NeurIPS 2020, arXiv:2006.09952. Its slope tells an
    attack which values its budget can carry over an edge; that of the identity is the same for those it cannot.
    """
    floor = u.detach().floor()
    found: Tensor = floor + 0.5 + torch.tanh(STEEP * (u - floor - 0.5)) / (2 * math.tanh(STEEP / 2))
    return found
