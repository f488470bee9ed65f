"""What transformations of pictures share: the refusal of anything else, the box as [0, 1], padding, local windows."""

import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.threats.space import Box


def need_pictures(x: Tensor, method: str, channels: tuple[int, ...] = ()) -> None:
    """Refuse what is no batch of pictures.

    Args:
        x: `(batch, ...)`.
        method: Who asks.
        channels: Numbers of channels it can take, empty for any.

    Raises:
        DataError: HF131 for inputs that are not `(batch, channels, height, width)`, or have other channels.
    """
    if x.dim() == 4 and (not channels or x.shape[1] in channels):
        return
    numbers = " or ".join(map(str, channels))
    raise DataError(
        "HF131",
        f"{method} works on pictures",
        seen=f"inputs of shape {tuple(x.shape[1:])}",
        expected="(channels, height, width)" + (f" with {numbers} channels" if channels else ""),
    )


def shares(x: Tensor, space: Box) -> Tensor:
    """Each value as its share of the way from the lower to the upper bound: `(batch, ...)` in [0, 1].

    Between equal bounds, which constant columns of a table have, it is 0.
    """
    low, high = space.limits(x)
    return (x - low) / torch.where(high > low, high - low, 1)


def values(u: Tensor, x: Tensor, space: Box) -> Tensor:
    """Shares back in the units of `x`, of its type: what `shares` undoes. Rounding leads beyond no bound."""
    low, high = space.limits(x)
    found: Tensor = low + u.to(x.dtype) * (high - low)
    return found - (found.detach() - high).clamp(min=0)


def padded(x: Tensor, before: int, after: int, edge: str) -> Tensor:
    """Pictures that go on beyond their four edges.

    Args:
        x: `(batch, channels, height, width)`.
        before: Pixels above and to the left.
        after: Pixels below and to the right.
        edge: `symmetric` (mirrored, the edge repeated), `mirror` (not repeated), or `replicate`.
    """
    for dim in (2, 3):
        size = x.shape[dim]
        x = x.index_select(dim, _places(torch.arange(-before, size + after, device=x.device), size, edge))
    return x


def _places(places: Tensor, size: int, edge: str) -> Tensor:
    if edge == "replicate":
        return places.clamp(0, size - 1)
    period = 2 * size if edge == "symmetric" else max(2 * size - 2, 1)
    turned = places.remainder(period)
    return torch.minimum(turned, period - (edge == "symmetric") - turned)
