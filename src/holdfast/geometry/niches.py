"""Selection among several aims at once: fronts that nothing dominates, thinned by directions (NSGA-III)."""

import itertools

import torch
from torch import Tensor

PARTS = 6
"""Into how many parts directions divide each aim."""


def directions(aims: int, parts: int = PARTS) -> Tensor:
    """Evenly spread directions of length 1, those of Das and Dennis: `(directions, aims)` float64."""
    found = [w for w in itertools.product(range(parts + 1), repeat=aims) if sum(w) == parts]
    return torch.nn.functional.normalize(torch.tensor(found, dtype=torch.float64), dim=1)


def fronts(aims: Tensor) -> Tensor:
    """The front of each point, 0 for what nothing dominates: `(batch, n, aims)` -> `(batch, n)`; low aims are good."""
    a, b = aims[:, :, None], aims[:, None]
    beats = (a <= b).all(3) & (a < b).any(3)  # (batch, better, worse)
    front, left, k = torch.zeros(aims.shape[:2], dtype=torch.long), torch.ones(aims.shape[:2], dtype=torch.bool), 0
    while bool(left.any()):
        now = left & ~(beats & left[:, :, None]).any(1)
        now = torch.where(now.any(1, keepdim=True), now, left)
        front, left, k = torch.where(now, k, front), left & ~now, k + 1
    return front


def survivors(aims: Tensor, ways: Tensor, count: int, drawn: Tensor) -> Tensor:
    """The points that go on, `(batch, count)`: front by front, within one the nearest of each direction first.

    Args:
        aims: `(batch, n, aims)`, low is good.
        ways: Directions of length 1.
        count: How many.
        drawn: `(batch, n)` in [0, 1), the order of those that are alike.
    """
    front = fronts(aims)
    low, high = aims.amin(1, keepdim=True), aims.amax(1, keepdim=True)
    shares = (aims - low) / torch.where(high > low, high - low, 1.0)
    along = shares @ ways.T
    off = (shares.square().sum(2, keepdim=True) - along.square()).clamp(min=0).sqrt()
    least, way = off.min(2)
    rival = (way[:, :, None] == way[:, None]) & (front[:, :, None] == front[:, None])  # (batch, mine, other)
    key = least + 1e-9 * drawn
    place = (rival & (key[:, None] < key[:, :, None])).sum(2)
    order = front * aims.shape[1] ** 1.0 + place + drawn / 2
    order = torch.where(aims[:, :, 0] == aims[:, :, 0].amin(1, keepdim=True), order - 1, order)
    return order.argsort(dim=1, stable=True)[:, :count]
