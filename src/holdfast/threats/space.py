"""What an input is: a box of real numbers, an image."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError

Bound = float | tuple[float, ...]


@dataclasses.dataclass(frozen=True, repr=False)
class Box:
    """Any real tensor between two bounds; its shape is that of the first batch.

    Args:
        bounds: Lowest and highest value, in the data's own units: two numbers, or two tuples with a number per feature.
    """

    bounds: tuple[Bound, Bound] = (0.0, 1.0)

    def __post_init__(self) -> None:
        low, high = (torch.as_tensor(b, dtype=torch.float64) for b in self.bounds)
        if not bool((low < high).all()) or not bool(torch.isfinite(high - low).all()):
            raise DataError(
                "HF103", "Bounds need finite numbers with low < high", seen=self.bounds, fix="bounds=(0, 1)"
            )

    def limits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of each entry, expanded to `x`: `(batch, ...)` each."""
        low, high = (torch.as_tensor(b, dtype=torch.float64).to(x).expand_as(x) for b in self.bounds)
        return low, high

    def batch(self, x: object) -> Tensor:
        """Numbers `(batch, ...)`, in an array or a list, as a tensor.

        Raises:
            DataError: HF106 for anything else.
        """
        try:
            return torch.as_tensor(np.asarray(x))
        except (TypeError, ValueError) as error:
            raise DataError(
                "HF106", "The inputs are no numbers", seen=type(x).__name__, expected="an array (batch, ...) of numbers"
            ) from error

    def validate(self, x: Tensor) -> Tensor:
        """Whether each row is finite and inside the bounds: `(batch,)`."""
        low, high = self.limits(x)
        return ((x >= low) & (x <= high)).flatten(1).all(1)

    def describe(self, before: Tensor, after: Tensor) -> str:
        """The difference of two single inputs in a line."""
        change = (after.double() - before.double()).flatten()
        moved = int((change != 0).sum())
        return f"{moved} of {change.numel()} {self.entry}s moved, by at most {float(change.abs().max()):.4g}"

    def seen(self, x: Tensor) -> "Box":
        """The space again once a batch has shown its shape: an Image for what looks like images."""
        return space_of(x, self.bounds)

    def sample(self, x: Tensor, draw: torch.Generator) -> Tensor:
        """Random inputs of the space, as many as `x` has and shaped like them: `(batch, ...)`."""
        low, high = self.limits(x)
        return low + (high - low) * torch.rand(x.shape, generator=draw, dtype=torch.float64).to(x)

    @property
    def entry(self) -> str:
        """What one number of an input is called."""
        return "feature"

    def __repr__(self) -> str:
        low, high = (b if isinstance(b, int | float) else f"{min(b):g} ... {max(b):g}" for b in self.bounds)
        return f"{type(self).__name__}([{low}, {high}])"


@dataclasses.dataclass(frozen=True, repr=False)
class Image(Box):
    """A box with channels, height and width: `(batch, channels, height, width)`."""

    @property
    def entry(self) -> str:
        """What one number of an input is called."""
        return "pixel"


def space_of(x: Tensor, bounds: tuple[Bound, Bound] = (0.0, 1.0)) -> Box:
    """The space of a batch: an Image for `(batch, 1 | 3 | 4, height, width)`, else a Box."""
    return Image(bounds) if x.dim() == 4 and x.shape[1] in (1, 3, 4) else Box(bounds)
