"""Walks over leaf tuples: the boxes in which a row falls into the same leaf of every tree.

A tuple names a region for each tree; their boxes meet in the box of the tuple, whose nearest point to the row is known.
A neighbor has another region in one tree. Only a tree that alone holds a limit at which that point stands can bring it
nearer by giving way, so only such trees are looked at. A cost is a pair: what is to fall, and what breaks ties.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.compiled import compiled, inner

Array = NDArray[Any]
Boxes = tuple[Array, Array, Array, Array, Array]
"""Where the limits of each region start, `(regions + 1,)`; their feature, lowest and highest value, `(limits,)` each;
the first region of each tree, `(trees + 1,)`."""

Aim = tuple[Array, Array, Array, Array, Array]
"""What each region adds, `(regions, outputs)`; the base; whether sums are float32, their divisor, scale and shifts;
which decisions reach the goal, `(classes,)`; how far a lead may be off by rounding, and the lead that is asked for
beyond that, negative where the ensemble's own arithmetic decides what is that close."""

Prices = tuple[float, Array, Array, Array]
"""The norm's exponent; what a unit of each feature counts, whether a change counts that however far it goes, and what a
unit counts among equals, `(features,)` each."""

NEARER = 1e-12
"""Relative: what is nearer by less is as near, as sums are rounded."""


@compiled
def walk(x: Array, boxes: Boxes, aim: Aim, prices: Prices, chosen: Array) -> int:
    """Go to the nearest neighbor that reaches the goal until none is nearer than the tuple; the steps made.

    Args:
        x: The row, `(features,)`.
        boxes: Its regions, see `Boxes`.
        aim: What they add, and what is wanted, see `Aim`.
        prices: What a change costs, see `Prices`.
        chosen: The tuple, `(trees,)`; changed in place.
    """
    ends, owners, steps = np.empty((4, len(x))), np.empty((2, len(x)), np.int64), 0
    while True:
        measure(chosen, boxes, ends, owners)
        region, _ = step(x, boxes, aim, prices, chosen, ends, owners, np.empty((0, 3)))
        if region < 0:
            return steps
        first = boxes[4]
        tree = 0
        while first[tree + 1] <= region:
            tree += 1
        chosen[tree], steps = region, steps + 1


@compiled
def nearer(x: Array, boxes: Boxes, aim: Aim, prices: Prices, chosen: Array) -> Array:
    """All neighbors that reach the goal and are nearer, `(n, 3)`: region, cost, what breaks ties; as for `walk`."""
    ends, owners, found = np.empty((4, len(x))), np.empty((2, len(x)), np.int64), np.empty((boxes[4][-1] + 1, 3))
    measure(chosen, boxes, ends, owners)
    held = step(x, boxes, aim, prices, chosen, ends, owners, found)[1]
    return found[:held]


@compiled
def reaches(chosen: Array, aim: Aim) -> bool:
    """Whether a tuple reaches the goal."""
    return reached(totals_of(chosen, aim), chosen, aim, -1, -1)


@compiled
def box(chosen: Array, boxes: Boxes, features: int) -> Array:
    """Where all regions of a tuple meet: lowest and highest value of each feature, `(2, features)`."""
    ends, owners = np.empty((4, features)), np.empty((2, features), np.int64)
    measure(chosen, boxes, ends, owners)
    return ends[:2].copy()


@compiled
def holding(point: Array, boxes: Boxes) -> Array:
    """The tuple of a point, `(trees,)`; -1 for a tree that has no region there."""
    start, limit_of, lows, highs, first = boxes
    found = np.full(len(first) - 1, -1, np.int64)
    for tree in range(len(found)):
        for region in range(first[tree], first[tree + 1]):
            inside = True
            for i in range(start[region], start[region + 1]):
                if point[limit_of[i]] < lows[i] or point[limit_of[i]] > highs[i]:
                    inside = False
                    break
            if inside:
                found[tree] = region
                break
    return found


@compiled
def filled(order: Array, gains: Array, x: Array, boxes: Boxes, weight: Array, reach: float) -> Array:
    """A tuple put together tree by tree: of the regions that meet those before it, the one that gains most.

    Args:
        order: Of the trees.
        gains: What each region adds to the lead of another class, `(regions,)`.
        x: The row.
        boxes: Its regions.
        weight: What a unit of each feature counts: of equal gains the nearest region is taken.
        reach: How far regions may be from the row in each feature, in these units.
    """
    start, limit_of, lows, highs, first = boxes
    found, floor, roof = np.full(len(order), -1, np.int64), np.full(len(x), -np.inf), np.full(len(x), np.inf)
    for f in range(len(x)):
        if x[f] == x[f] and weight[f] > 0:
            floor[f], roof[f] = x[f] - reach / weight[f], x[f] + reach / weight[f]
    for tree in order:
        near, took = np.inf, -1
        for region in range(first[tree], first[tree + 1]):
            if took >= 0 and gains[region] < gains[took]:
                continue
            meets, far = True, 0.0
            for i in range(start[region], start[region + 1]):
                f = limit_of[i]
                low, high = max(lows[i], floor[f]), min(highs[i], roof[f])
                if low > high:
                    meets = False
                    break
                far += weight[f] * gap(x[f], low, high)
            if meets and (took < 0 or gains[region] > gains[took] or far < near):
                took, near = region, far
        if took < 0:
            return np.full(len(order), -1, np.int64)
        found[tree] = took
        for i in range(start[took], start[took + 1]):
            f = limit_of[i]
            floor[f], roof[f] = max(floor[f], lows[i]), min(roof[f], highs[i])
    return found


@compiled
def thinned(x: Array, boxes: Boxes, aim: Aim, prices: Prices, chosen: Array) -> bool:
    """Take back every feature that the goal can do without, the smallest change first; whether there was one.

    Args:
        x: The row.
        boxes: Its regions.
        aim: What they add, and what is wanted.
        prices: What a change costs.
        chosen: The tuple; changed in place.
    """
    ends, owners, point, far = np.empty((4, len(x))), np.empty((2, len(x)), np.int64), x.copy(), np.zeros(len(x))
    measure(chosen, boxes, ends, owners)
    for f in range(len(x)):
        far[f] = gap(x[f], ends[0, f], ends[1, f])
        if far[f] > 0:
            point[f], far[f] = min(max(x[f], ends[0, f]), ends[1, f]), max(prices[1][f], prices[3][f]) * far[f]
    fewer = False
    for f in np.argsort(far):
        if point[f] != x[f] and far[f] > 0:
            there, point[f] = point[f], x[f]
            found = holding(point, boxes)
            if found.min() >= 0 and reached(totals_of(found, aim), found, aim, -1, -1):
                chosen[:], fewer = found, True
            else:
                point[f] = there
    return fewer


@inner
def measure(chosen: Array, boxes: Boxes, ends: Array, owners: Array) -> None:
    """The box of a tuple in the first two rows of `ends`; in the others what it is without the tree that holds it."""
    start, limit_of, lows, highs, _ = boxes
    ends[0], ends[2], ends[1], ends[3] = -np.inf, -np.inf, np.inf, np.inf
    owners[:] = -1
    for tree in range(len(chosen)):
        for i in range(start[chosen[tree]], start[chosen[tree] + 1]):
            f = limit_of[i]
            if lows[i] > ends[0, f]:
                ends[2, f], ends[0, f], owners[0, f] = ends[0, f], lows[i], tree
            elif lows[i] > ends[2, f]:
                ends[2, f] = lows[i]
            if highs[i] < ends[1, f]:
                ends[3, f], ends[1, f], owners[1, f] = ends[1, f], highs[i], tree
            elif highs[i] < ends[3, f]:
                ends[3, f] = highs[i]


@inner
def gap(value: float, low: float, high: float) -> float:
    """From a value to the nearest one between two ends."""
    return low - value if value < low else value - high if value > high else 0.0


@inner
def priced(far: float, f: int, prices: Prices) -> float:
    """What a gap adds to a cost, or is one of in Linf."""
    p, weight, flat, _ = prices
    if far == 0.0:
        return 0.0
    if p == 0.0:
        return 1.0
    one = float(weight[f] if flat[f] else weight[f] * far)
    return one * one if p == 2.0 else one


@inner
def cost_of(x: Array, prices: Prices, ends: Array, owners: Array, tree: int) -> tuple[float, float]:
    """What the nearest point of a tuple costs, and among equals, once a tree has given way; -1 for none."""
    cost, ties = 0.0, 0.0
    for f in range(len(x)):
        far = gap(x[f], *walls(f, tree, ends, owners))
        if far > 0:
            one = priced(far, f, prices)
            cost = max(cost, one) if prices[0] == np.inf else cost + one
            ties += prices[3][f] * far
    return cost, ties


@inner
def walls(f: int, tree: int, ends: Array, owners: Array) -> tuple[float, float]:
    """Lowest and highest value of a feature once a tree has given way."""
    low = ends[2, f] if owners[0, f] == tree else ends[0, f]
    return low, ends[3, f] if owners[1, f] == tree else ends[1, f]


@inner
def step(
    x: Array, boxes: Boxes, aim: Aim, prices: Prices, chosen: Array, ends: Array, owners: Array, every: Array
) -> tuple[int, int]:
    """The region that makes the nearest neighbor, -1 for none; with room in `every` all that are nearer, how many."""
    bound = np.zeros(len(chosen), np.bool_)
    for f in range(len(x)):
        side = 0 if x[f] < ends[0, f] else 1
        if gap(x[f], ends[0, f], ends[1, f]) > 0 and ends[2 + side, f] != ends[side, f]:
            bound[owners[side, f]] = True
    now, tied = cost_of(x, prices, ends, owners, -2)
    least, then, took, held = now, tied, -1, 0
    totals, others = totals_of(chosen, aim), np.empty(len(aim[1]))
    for tree in range(len(chosen)):
        if not bound[tree]:
            continue
        fell, broke = cost_of(x, prices, ends, owners, tree)
        for region in range(boxes[4][tree], boxes[4][tree + 1]):
            cost, ties = with_region(region, tree, x, boxes, prices, ends, owners, fell, broke)
            falls = cost < now * (1 - NEARER) or (cost <= now and ties < tied * (1 - NEARER))
            if region == chosen[tree] or not falls or (took >= 0 and (cost, ties) >= (least, then)):
                continue
            for output in range(len(others)):
                others[output] = totals[output] + aim[0][region, output] - aim[0][chosen[tree], output]
            if reached(others, chosen, aim, tree, region):
                if len(every):
                    every[held, 0], every[held, 1], every[held, 2] = region, cost, ties
                    held += 1
                else:
                    took, least, then = region, cost, ties
    return took, held


@inner
def with_region(
    region: int, tree: int, x: Array, boxes: Boxes, prices: Prices, ends: Array, owners: Array, cost: float, ties: float
) -> tuple[float, float]:
    """What a neighbor costs whose tree has this region instead; infinite where it does not meet the others."""
    start, limit_of, lows, highs, _ = boxes
    for i in range(start[region], start[region + 1]):
        f = limit_of[i]
        low, high = walls(f, tree, ends, owners)
        before = gap(x[f], low, high)
        low, high = max(low, lows[i]), min(high, highs[i])
        if low > high:
            return np.inf, np.inf
        after = gap(x[f], low, high)
        if after > before:
            one = priced(after, f, prices)
            cost = max(cost, one) if prices[0] == np.inf else cost + (one - priced(before, f, prices))
            ties += prices[3][f] * (after - before)
    return cost, ties


@inner
def totals_of(chosen: Array, aim: Aim) -> Array:
    """What a tuple adds up to, in the units of the leaves and in float64."""
    values, base, rest = aim[0], aim[1], aim[2]
    found = np.empty(len(base))
    for output in range(len(base)):
        total = base[output] + rest[3 + output] * rest[1] / rest[2]
        for region in chosen:
            total += values[region, output]
        found[output] = total
    return found


@inner
def reached(totals: Array, chosen: Array, aim: Aim, tree: int, region: int) -> bool:
    """Whether sums decide as wanted; where they are close, those of the tuple with another region in one tree."""
    wanted, slack, clear = aim[3], aim[4][0], aim[4][1]
    held, lost = -np.inf, -np.inf
    for label in range(len(wanted)):
        total = (totals[0] if label else 0.0) if len(totals) == 1 else totals[label]
        if wanted[label]:
            held = max(held, total)
        else:
            lost = max(lost, total)
    if held == -np.inf or held - lost < -slack:
        return False
    if clear >= 0 or held - lost > slack:
        return bool(held - lost > slack + max(clear, 0.0))
    return bool(wanted[decided(chosen, aim, tree, region)])


@inner
def decided(chosen: Array, aim: Aim, tree: int, region: int) -> int:
    """The decision in the ensemble's own arithmetic; of equal sums the lower class."""
    values, base, rest, wanted, _ = aim
    label, most = 0, 0.0 if len(base) == 1 else -np.inf
    for output in range(len(base)):
        total = base[output]
        for at in range(len(chosen)):
            total = rounded(total + values[region if at == tree else chosen[at], output], rest[0])
        total = rounded(rounded(total / rest[1], rest[0]) * rest[2], rest[0]) + rest[3 + output]
        if total > most:
            label, most = (1 if len(base) == 1 else output), total
    return label


@inner
def rounded(value: float, single: float) -> float:
    """To float32 where `single` is not zero."""
    return float(np.float32(value)) if single else value
