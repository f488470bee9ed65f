"""A multilayer perceptron with rectified units."""

import math

from torch import Tensor, nn


class Mlp(nn.Module):
    """`depth` hidden layers of `width` units each, then the logits.

    Args:
        shape: Of one input, flattened first.
        classes: Number of logits.
        width: Units of a hidden layer.
        depth: Hidden layers.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 64, depth: int = 2):
        super().__init__()
        sizes = [math.prod(shape)] + [width] * depth
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)])
        self.head = nn.Linear(width, classes)
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, *shape)` -> logits `(batch, classes)`."""
        x = x.flatten(1)
        for layer in self.hidden:
            x = layer(x).relu()
        return self.head(x)  # type: ignore[no-any-return]
