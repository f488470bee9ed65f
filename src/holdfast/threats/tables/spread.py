"""Codes spread out for gradients: a column of few values as weights of these values, a gap as a number of its own."""

import dataclasses
import functools
import math

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Codes `(batch, features)` as wider rows `(batch, width)`, between which a linear function is exact.

    A column of few values becomes one weight for each of them: all 0 but a 1 at its own, and between two values their
    shares. A number keeps its place, 0 where it is missing; beside it stands 1 for a gap, where there may be one.

    Args:
        values: Of each column its values in ascending order, with NaN last where one may be missing; empty for numbers.
        gaps: Whether a number may be missing, by column.
    """

    values: tuple[tuple[float, ...], ...]
    gaps: tuple[bool, ...]

    @functools.cached_property
    def places(self) -> tuple[slice, ...]:
        """Where each column stands in the wider row."""
        sizes = [len(v) or 1 + gap for v, gap in zip(self.values, self.gaps, strict=True)]
        ends = [sum(sizes[: j + 1]) for j in range(len(sizes))]
        return tuple(slice(end - size, end) for end, size in zip(ends, sizes, strict=True))

    @property
    def width(self) -> int:
        """Of the wider rows."""
        return int(self.places[-1].stop)

    @functools.cached_property
    def first(self) -> Tensor:
        """Where each column begins in the wider row: `(features,)`."""
        return torch.tensor([place.start for place in self.places])

    @functools.cached_property
    def few(self) -> tuple[int, ...]:
        """The columns that became weights."""
        return tuple(j for j, v in enumerate(self.values) if v)

    def wide(self, x: Tensor) -> Tensor:
        """The wider rows of codes, differentiable: `(batch, width)`."""
        parts = list[Tensor]()
        for j, (values, gap) in enumerate(zip(self.values, self.gaps, strict=True)):
            if values:
                parts.append(_weights(x[:, j], values))
            else:
                parts += [x[:, j : j + 1].nan_to_num(0.0)] + [x[:, j : j + 1].isnan().to(x)] * gap
        return torch.cat(parts, 1)


def _weights(x: Tensor, values: tuple[float, ...]) -> Tensor:
    """Shares of the two values that a number lies between: `(batch, values)`."""
    gaps = math.isnan(values[-1])
    known = torch.tensor(values[:-1] if gaps else values, dtype=x.dtype, device=x.device)
    missing = x.isnan()
    if len(known) > 1:
        filled = torch.where(missing, known[0], x)
        low = (torch.searchsorted(known, filled.detach().contiguous(), right=True) - 1).clamp(0, len(known) - 2)
        share = ((filled - known[low]) / (known[low + 1] - known[low])).clamp(0, 1)[:, None]
        one = torch.nn.functional.one_hot(low, len(known)).to(x)
        made = (1 - share) * one + share * one.roll(1, 1)
    else:
        made = torch.ones((len(x), 1), dtype=x.dtype, device=x.device)
    made = torch.where(missing[:, None], 0.0, made)
    return torch.cat([made, missing.to(x)[:, None]], 1) if gaps else made
