"""Where a gradient of codes leads: columns toward their ends, as many as a threat lets change."""

import torch
from torch import Tensor

from holdfast.threats.tables.genomes import Genomes


def ahead(pool: Genomes, x: Tensor, g: Tensor, step: Tensor) -> Tensor:
    """Rows, not yet possible ones, on the way along `g`; all `(batch, features)`, `step` `(batch, 1)` in (0, 1].

    What a slot promises is the gradient times the way from the original to the end that it points to.
    """
    region, x0 = pool.region, pool.region.x0
    low, high, schema = pool.low, pool.high, pool.region.schema
    now, start = x.nan_to_num(0.0), x0.nan_to_num(0.0)
    end = torch.where(g > 0, high, torch.where(g < 0, low, now))
    moved = now + step * (end - now)
    moved = torch.where(moved.sub(now).abs() < pool.unit, now + pool.unit * (end - now).sign(), moved)
    moved = torch.where(g == 0, x, torch.minimum(torch.maximum(moved, low), high))
    promise = g * (end - start)
    by_slot = torch.zeros((len(x), len(region.ruler.slots)), dtype=torch.float64)
    by_slot = by_slot.index_add(1, pool.slot, promise.double())
    for k, columns in enumerate(map(list, region.ruler.slots)):
        if len(columns) > 1:
            first = g[:, columns].argmax(1)
            moved[:, columns] = torch.nn.functional.one_hot(first, len(columns)).to(moved)
            by_slot[:, k] = g[:, columns].amax(1) - (g[:, columns] * x0[:, columns]).sum(1)
    by_slot = torch.where(region.movable & (by_slot > 0), by_slot, 0.0)
    kept = _kept(pool, by_slot, step)
    still = (by_slot > 0) & ~kept  # promise something, not enough
    chosen, back = kept[:, pool.slot], still[:, pool.slot]
    found = torch.where(chosen, moved, torch.where(back, x0, x))
    fixed = torch.tensor([feature.immutable for feature in schema.features])
    return torch.where(fixed, x0, found)


def _kept(pool: Genomes, promise: Tensor, step: Tensor) -> Tensor:
    """The slots that move: all where columns are limited each by itself, else those that promise most."""
    region = pool.region
    most = torch.full((len(promise),), float("inf"), dtype=torch.float64)
    for place, (measure, _) in enumerate(region.limits):
        if measure == "features":
            most = torch.minimum(most, region.limit(place))
        if measure in ("cost", "l1"):
            share = (step[:, 0] * promise.shape[1] / 4).ceil().clamp(min=1)
            most = torch.minimum(most, share)
            promise = promise / region.ruler.price.clamp(min=1e-12) if measure == "cost" else promise
    rank = promise.argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)
    return (rank < most[:, None]) & (promise > 0)
