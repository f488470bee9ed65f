"""An affine map of the values, LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998."""

import dataclasses
import math
from typing import Annotated

from torch import Tensor

from holdfast.core.params import Range
from holdfast.defenses.preprocessing._pictures import shares, values
from holdfast.models.stage import Stage
from holdfast.threats.space import Box

Finite = Annotated[float, Range(-math.inf, math.inf, open_low=True, open_high=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rescale(Stage):
    """Stretch and shift every value, as shares of the box, and clamp it to the bounds.

        u <- (x - low) / width,   x' <- low + width * clamp(factor * u + shift, 0, 1)

    `Rescale(factor=-1, shift=1)` inverts a picture. No defense by itself: what is clamped has no gradient, and that is
    the true one. Means and deviations of the training data belong inside the model: `hf.wrap(net, mean=..., std=...)`.

    Cost: one multiplication.

    Args:
        factor: Of the share.
        shift: Added to it, as a share of the box's width.
    """

    factor: Finite = 1.0
    shift: Finite = 0.0

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The rescaled input."""
        if self.factor == 1 and self.shift == 0:
            return x
        return values((shares(x, space) * self.factor + self.shift).clamp(0, 1), x, space)
