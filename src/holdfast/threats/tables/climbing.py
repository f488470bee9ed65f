"""Where a gradient of codes leads: columns toward their ends, as many as a threat lets change."""

import torch
from torch import Tensor

from holdfast.threats.tables.genomes import Genomes
from holdfast.threats.tables.spread import Spread


def ahead(pool: Genomes, x: Tensor, g: Tensor, step: Tensor, spread: Spread | None = None) -> Tensor:
    """Rows, not yet possible ones, on the way along `g`: `(batch, features)`.

    What a slot promises is the gradient times the way from the original to the end that it points to; of a column whose
    levels have gradients of their own the highest one within reach less that of the original's level.

    Args:
        pool: Originals, limits and schema.
        x: Rows `(batch, features)`.
        g: Gradients, `(batch, features)`, or `(batch, width)` of `spread`.
        step: Share of the way to go, `(batch, 1)` in (0, 1].
        spread: How codes are spread out for `g`.
    """
    region, x0 = pool.region, pool.region.x0
    low, high, schema = pool.low, pool.high, pool.region.schema
    every, g = g, (g if spread is None else _narrow(g, spread))
    now, start = x.nan_to_num(0.0), x0.nan_to_num(0.0)
    end = torch.where(g > 0, high, torch.where(g < 0, low, now))
    moved = now + step * (end - now)
    moved = torch.where(moved.sub(now).abs() < pool.unit, now + pool.unit * (end - now).sign(), moved)
    moved = torch.where(g == 0, x, torch.minimum(torch.maximum(moved, low), high))
    by_slot = torch.zeros((len(x), len(region.ruler.slots)), dtype=torch.float64)
    by_slot = by_slot.index_add(1, pool.slot, (g * (end - start)).double())
    for k, columns in enumerate(map(list, region.ruler.slots)):
        if len(columns) > 1:
            first = g[:, columns].argmax(1)
            moved[:, columns] = torch.nn.functional.one_hot(first, len(columns)).to(moved)
            by_slot[:, k] = g[:, columns].amax(1) - (g[:, columns] * x0[:, columns]).sum(1)
    for j in () if spread is None else spread.few:
        if spread is not None and len(region.ruler.slots[int(pool.slot[j])]) == 1:
            moved[:, j], by_slot[:, int(pool.slot[j])] = _level(pool, spread, j, every)
    by_slot = torch.where(region.movable & (by_slot > 0), by_slot, 0.0)
    kept = _kept(pool, by_slot, step)
    still = (by_slot > 0) & ~kept  # promise something, not enough
    chosen, back = kept[:, pool.slot], still[:, pool.slot]
    found = torch.where(chosen, moved, torch.where(back, x0, x))
    return torch.where(schema.ranges.immutable, x0, found)


def _narrow(g: Tensor, spread: Spread) -> Tensor:
    """Gradients of codes, of a column of weights that toward the better of both ends: `(batch, features)`."""
    found = g[:, spread.first]
    for j in spread.few:
        known = [i for i, value in enumerate(spread.values[j]) if value == value]
        part = g[:, spread.places[j]]
        found[:, j] = part[:, known[-1]] - part[:, known[0]]
    return found


def _level(pool: Genomes, spread: Spread, j: int, g: Tensor) -> tuple[Tensor, Tensor]:
    """The value of a column with the highest gradient within reach, and what it promises: `(batch,)` each."""
    feature, x0 = pool.region.schema.features[j], pool.region.x0
    values = torch.tensor(spread.values[j], dtype=torch.float64)
    part = g[:, spread.places[j]].double()
    within = (values >= pool.low[:, j, None]) & (values <= pool.high[:, j, None])
    within = torch.where(values.isnan(), feature.missing and feature.direction == "both", within)
    start = (values == x0[:, j, None]) | (values.isnan() & x0[:, j, None].isnan())
    reached = torch.where(within | start, part, -torch.inf)
    return values[reached.argmax(1)], reached.amax(1) - (part * start).sum(1)


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
