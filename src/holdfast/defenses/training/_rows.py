"""Data with more rows: changed copies of samples, beside their originals."""

import dataclasses

import torch
from torch import Tensor

from holdfast.data.dataset import Dataset


def enlarged(data: Dataset, rows: Tensor, x: Tensor) -> Dataset:
    """`data` and behind it the samples of `rows` with the inputs `x`, in the groups of their originals.

    Args:
        data: What there is.
        rows: Positions of the originals, `(n,)`.
        x: What became of them, `(n, ...)`.
    """
    groups = torch.arange(len(data)) if data.groups is None else data.groups
    ids = data.ids if data.ids is not None else torch.arange(len(data))
    fresh = int(ids.max()) + 1 + torch.arange(len(rows))
    return dataclasses.replace(
        data,
        x=torch.cat([data.x, x.to(data.x)]),
        y=torch.cat([data.y, data.y[rows]]),
        groups=torch.cat([groups, groups[rows]]),
        ids=torch.cat([ids, fresh]),
        masks=None if data.masks is None else torch.cat([data.masks, data.masks[rows]]),
    )
