"""Adam's direction for each row, Kingma and Ba, ICLR 2015, arXiv:1412.6980."""

import torch
from torch import Tensor

FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8


class Adam:
    """Means of a gradient and of its square, corrected for their start at zero.

    Args:
        like: A tensor of the gradient's shape.
    """

    def __init__(self, like: Tensor):
        self.first, self.second, self.count = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, gradient: Tensor) -> Tensor:
        """First mean over root of the second, each coordinate about 1 in size: `(batch, ...)`."""
        self.count += 1
        self.first = FIRST * self.first + (1 - FIRST) * gradient
        self.second = SECOND * self.second + (1 - SECOND) * gradient.square()
        return self.first / (1 - FIRST**self.count) / self.root()

    def root(self) -> Tensor:
        """What the last direction was divided by: `(batch, ...)`."""
        return (self.second / (1 - SECOND**self.count)).sqrt() + SMALL
