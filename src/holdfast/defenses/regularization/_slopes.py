"""Squared lengths of gradients over the inputs, in widths of the box, so that strengths mean the same in any units."""

import torch
from torch import Tensor

from holdfast.threats.space import Box


def squared(value: Tensor, x: Tensor, space: Box) -> Tensor:
    """|gradient of the scalar `value` over x, times the width of the box|^2 of each row: `(batch,)`, differentiable."""
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    low, high = space.limits(x.detach())
    return (slope * (high - low)).float().flatten(1).square().sum(1)
