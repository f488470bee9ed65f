"""What passes through the model tell an attack."""

from typing import NamedTuple

from torch import Tensor


class Slope(NamedTuple):
    """One forward and one backward pass."""

    gradient: Tensor  # (batch, ...), of the loss; zero where nothing was asked
    loss: Tensor  # (batch,), higher = closer to the goal
    margin: Tensor  # (batch,), negative = reached, by more than the model's noise


class Jacobian(NamedTuple):
    """One forward pass and one backward pass for each way."""

    gradients: Tensor  # (batch, ways, ...), of the margins; zero where nothing was asked
    margins: Tensor  # (batch, ways), negative = that way has reached the goal, by more than the model's noise
