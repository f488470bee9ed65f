"""A box as the image of unbounded variables: Carlini and Wagner's change of variables."""

import math

import torch
from torch import Tensor

from holdfast.geometry.rows import expand, norm

SLACK = 0.1  # how much wider than the box the range of tanh is


class Cube:
    """The change of variables `x = middle + half * tanh(v)`, kept inside the box.

    The range of tanh is a tenth wider than the box and `v` stays where `x` is inside, because a value exactly on its
    bound would otherwise have slope zero and never move.

    Args:
        low, high: The box, expanded to `x0`.
        x0: The originals, `(batch, ...)`.

    Attributes: `start`, the `v` of `x0`; `width`, the box's, `(batch,)`.
    """

    def __init__(self, low: Tensor, high: Tensor, x0: Tensor):
        self.low, self.high = low, high
        self.middle = (low + high) / 2
        self.half = (1 + SLACK) * (high - low) / 2
        self.width = (high - low).flatten(1).amax(1)
        self.edge = math.atanh(1 / (1 + SLACK))
        t = (x0 - self.middle) / torch.where(self.half > 0, self.half, 1.0)
        self.start = self.clamp(torch.log((1 + t) / (1 - t)) / 2)  # torch.atanh is not the same in every batch

    def point(self, v: Tensor) -> Tensor:
        """The input that `v` stands for: `(batch, ...)`."""
        return torch.minimum(torch.maximum(self.middle + self.half * torch.tanh(v), self.low), self.high)

    def share(self, d: Tensor) -> Tensor:
        """The largest change of a value, as a fraction of half its range, of those that have one: `(batch,)`."""
        return norm(torch.where(self.half > 0, d / torch.where(self.half > 0, self.half, 1.0), 0.0), torch.inf)

    def rate(self, v: Tensor) -> Tensor:
        """Derivative of the input, in widths of the box, by `v`: `(batch, ...)`."""
        return self.half / expand(self.width, v) * (1 - torch.tanh(v).square())

    def clamp(self, v: Tensor) -> Tensor:
        """The nearest `v` whose input is inside the box."""
        return v.clamp(-self.edge, self.edge)
