"""Random numbers for pictures: those of picture i depend on the seed and on i alone, whatever else is drawn with it."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

WIDTH = 2048
"""Uniform numbers that one picture may use."""


class Dice:
    """The random numbers of a batch of pictures, handed out from left to right.

    Args:
        seed: Seed of the set.
        ids: Number of each picture.
    """

    def __init__(self, seed: int, ids: Sequence[int]) -> None:
        self._sources = [source(seed, f"picture {i}") for i in ids]
        self._block = torch.stack([torch.rand(WIDTH, generator=made) for made in self._sources])
        self._used = 0

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()) -> Tensor:
        """Numbers between low and high: `(batch, *shape)`."""
        count = int(torch.Size(shape).numel())
        taken = self._block[:, self._used : self._used + count]
        self._used += count
        return (low + (high - low) * taken).reshape(len(self._sources), *shape)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers: `(batch, *shape)`."""
        return torch.stack([torch.randn(shape, generator=made) for made in self._sources])


def source(seed: int, what: str) -> torch.Generator:
    """A generator of its own for everything that has a name."""
    key = hashlib.blake2b(f"road_signs {seed} {what}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)
