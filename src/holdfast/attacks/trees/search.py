"""Best-first search for the nearest box with another decision, after Kantchelian, Tygar and Joseph, ICML 2016.

A node is a box of inputs. Inside it every tree answers with the best of the leaves that meet the box within a radius;
the smallest radius at which these best answers add up to another decision bounds the distance of all inputs of the box
from below (Chen et al., NeurIPS 2019, arXiv:1906.03849). Where the chosen leaves meet each other, a point of their
meeting is that far: in Linf the distance of a meeting of boxes is the largest of their distances. Where they do not,
the box is cut between two of them. The smallest bound of the open nodes grows, and ends at the distance.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.models.trees.compiled import compiled, inner

Array = NDArray[Any]
ROOM = 64
"""Nodes that there is room for at first."""

FOUND = -2
"""Instead of a feature to cut: the leaves meet."""


def nearest(  # noqa: D417
    order: Array, tree_of: Array, far: Array, start: Array, limit_of: Array, lows: Array, highs: Array, values: Array,
    gains: Array, offset: Array, slack: Array, sums: tuple[Array, Array], label: int, trees: int,
    features: int, budget: int, within: float, narrow: bool,
) -> tuple[float, float, int, Array]:  # fmt: skip
    """The distance of the nearest point with another decision, a lower bound of it, boxes looked at, chosen leaves.

    The leaves are one for each tree; none where no such point was found nearer than `within`. All room is made here:
    what allocates nothing compiles in half the time.

    Args:
        order: The regions, nearest first; `regions` made what describes them.
        values: What a region adds, `(regions, outputs)`.
        gains: What it adds to each other class's lead over the label, `(classes, regions)`.
        offset: The lead before the first tree, `(classes,)`.
        slack: How far sums may be off, `(2, classes)`: the running one, and the check by leaves.
        sums: Base; whether sums are float32, their divisor, scale and shifts.
        label: The class to leave.
        trees: How many; `features`: numbers in a row; `budget`: boxes to look at, at most.
        within: Distances from here on are of no interest.
        narrow: Whether inputs are float32.
    """
    ends, meets = _open(features), _open(features)
    chosen, taken = np.full(trees, -1), np.full(trees, -1)
    bound, size, roots = np.zeros(5), 2 * len(gains) + ROOM, len(gains) - 1
    bound[3], bound[4] = float(narrow), within
    keys, heap, links, limits = np.zeros(size), np.zeros(size, np.int64), np.full((size, 4), -1), np.zeros((size, 4))
    heap[:roots] = np.arange(roots)[::-1]
    links[:roots, 1] = np.delete(np.arange(len(gains)), label)
    counts = np.array([roots, roots, 0])  # waiting, made, looked at
    while _goes_on(counts, keys, heap, bound[4], budget):
        if counts[1] + 2 > len(keys):
            keys, heap = (np.concatenate([one, np.zeros_like(one)]) for one in (keys, heap))
            links, limits = np.concatenate([links, np.full_like(links, -1)]), np.concatenate([limits, limits])
        _search(
            order, tree_of, far, start, limit_of, lows, highs, values, gains, offset, np.ascontiguousarray(slack.T),
            sums, label, ends, meets, chosen, taken, bound, keys, heap, links, limits, counts, budget,
        )  # fmt: skip
    best = float(bound[4])
    lower = min(best, float(keys[heap[0]])) if counts[0] else best
    return best, lower, int(counts[2]), taken if taken[0] >= 0 else taken[:0]


def _open(features: int) -> Array:
    """Lowest and highest value of every feature, as yet without limits: `(2, features)`."""
    return np.stack([np.full(features, -np.inf), np.full(features, np.inf)])


def _goes_on(counts: Array, keys: Array, heap: Array, best: float, budget: int) -> bool:
    return bool(counts[0] and keys[heap[0]] < best and counts[2] < budget)


@compiled
def _search(
    order: Array, tree_of: Array, far: Array, start: Array, limit_of: Array, lows: Array, highs: Array, values: Array,
    gains: Array, offset: Array, slack: Array, sums: tuple[Array, Array], label: int, ends: Array, meets: Array,
    chosen: Array, taken: Array, bound: Array, keys: Array, heap: Array, links: Array, limits: Array, counts: Array,
    budget: int,
) -> None:  # fmt: skip
    """Look at boxes until none that waits is nearer than the best one, the budget ends or there is no more room.

    A node of `links` is its parent, class, the feature that was limited and the feature to cut; of `limits` the ends of
    the first, and of the cut.
    """
    floor, roof, waiting, count, looked = ends[0], ends[1], counts[0], counts[1], counts[2]
    while waiting and keys[heap[0]] < bound[4] and looked < budget and count + 2 <= len(keys):
        node = heap[0]
        waiting = sink(heap, keys, waiting)
        other, cut = links[node, 1], links[node, 3]
        f = max(cut, 0)
        wall(node, links, limits, floor, roof)
        lo, hi = floor[f], roof[f]
        for side in range(2 if cut >= 0 else 1):
            if cut >= 0:
                floor[f] = max(lo, limits[node, 3]) if side else lo
                roof[f] = hi if side else min(hi, limits[node, 2])
            deeper = look(
                keys[node], order, tree_of, far, start, limit_of, lows, highs, values, gains[other], offset[other],
                slack[other], sums, label, other, floor, roof, meets[0], meets[1], chosen, bound, bound[4],
            )  # fmt: skip
            looked += 1
            if deeper == FOUND:
                bound[4] = bound[0]
                for tree in range(len(chosen)):
                    taken[tree] = chosen[tree]
            elif deeper >= 0:
                keys[count], limits[count, 0], limits[count, 1] = bound[0], floor[f], roof[f]
                limits[count, 2], limits[count, 3] = bound[1], bound[2]
                links[count, 0], links[count, 1], links[count, 2], links[count, 3] = node, other, cut, deeper
                waiting, count = rise(heap, keys, waiting, count), count + 1
        floor[f], roof[f] = -np.inf, np.inf
        clear(node, links, floor, roof)
    counts[0], counts[1], counts[2] = waiting, count, looked


@inner
def wall(node: int, links: Array, limits: Array, floor: Array, roof: Array) -> None:
    """Put up the limits of a node and its ancestors."""
    while node >= 0:
        f = links[node, 2]
        if f >= 0:
            floor[f], roof[f] = max(floor[f], limits[node, 0]), min(roof[f], limits[node, 1])
        node = links[node, 0]


@inner
def clear(node: int, links: Array, floor: Array, roof: Array) -> None:
    """Take them down again."""
    while node >= 0:
        if links[node, 2] >= 0:
            floor[links[node, 2]], roof[links[node, 2]] = -np.inf, np.inf
        node = links[node, 0]


@inner
def look(
    key: float, order: Array, tree_of: Array, far: Array, start: Array, limit_of: Array, lows: Array, highs: Array,
    values: Array, gains: Array, offset: float, slack: Array, sums: tuple[Array, Array], label: int,
    other: int, floor: Array, roof: Array, meet_lo: Array, meet_hi: Array, chosen: Array, bound: Array, best: float,
) -> int:  # fmt: skip
    """Bound a box whose distance is at least `key`: FOUND where its chosen leaves meet, else the feature to cut, or -1.

    Writes the chosen leaves, and into `bound` the radius and the two ends of the cut. A box whose bound reaches `best`
    has no cut.
    """
    for tree in range(len(chosen)):
        chosen[tree] = -1
    missing, total, radius, reached = len(chosen), offset, key, False
    for region in order:
        if far[region] > radius:
            if missing == 0 and total >= -slack[0] and leads(chosen, values, sums, label, other, slack[1]):
                reached = True
                break
            radius = far[region]
            if radius >= best:
                return -1
        tree = tree_of[region]
        if chosen[tree] >= 0 and gains[region] <= gains[chosen[tree]]:
            continue
        meets = True
        for i in range(start[region], start[region + 1]):
            if lows[i] > roof[limit_of[i]] or highs[i] < floor[limit_of[i]]:
                meets = False
                break
        if not meets:
            continue
        if chosen[tree] < 0:
            missing, total = missing - 1, total + gains[region]
        else:
            total += gains[region] - gains[chosen[tree]]
        chosen[tree] = region
    if not reached and (missing or not leads(chosen, values, sums, label, other, slack[1])):
        return -1
    bound[0] = radius
    cut = conflict(chosen, start, limit_of, lows, highs, meet_lo, meet_hi, bound)
    if cut >= 0:
        return cut
    if leads(chosen, values, sums, label, other, 0.0):
        return FOUND
    return narrower(chosen, start, limit_of, lows, highs, floor, roof, bound)


@inner
def leads(chosen: Array, values: Array, sums: tuple[Array, Array], label: int, other: int, slack: float) -> bool:
    """Whether the chosen leaves, added as the ensemble adds them, decide for the other class; ties: the lower one."""
    base, rest = sums
    one, two = 0.0, 0.0
    for place in range(2):
        output = (0 if place else -1) if len(base) == 1 else (label if place else other)
        if output >= 0:
            total = base[output]
            for region in chosen:
                total = rounded(total + values[region, output], rest[0])
            total = rounded(rounded(total / rest[1], rest[0]) * rest[2], rest[0]) + rest[3 + output]
            if place:
                two = total
            else:
                one = total
    if len(base) == 1:
        return bool(two > -slack) if other == 1 else bool(two <= slack)
    return bool(one >= two - slack) if other < label or slack > 0 else bool(one > two)


@inner
def rounded(value: float, single: float) -> float:
    """To float32 where `single` is not zero: sums, products and quotients of float32 come out as if computed in it."""
    return float(np.float32(value)) if single else value


@inner
def conflict(
    chosen: Array, start: Array, limit_of: Array, lows: Array, highs: Array, meet_lo: Array, meet_hi: Array,
    bound: Array,
) -> int:  # fmt: skip
    """The feature to cut where the chosen leaves do not meet, or -1.

    The cut is taken where most leaves stand on both of its sides; `bound` takes its two ends.
    """
    for region in chosen:
        for i in range(start[region], start[region + 1]):
            f = limit_of[i]
            meet_lo[f], meet_hi[f] = max(meet_lo[f], lows[i]), min(meet_hi[f], highs[i])
    cut, most = -1, -1.0
    for region in chosen:
        for i in range(start[region], start[region + 1]):
            f = limit_of[i]
            if meet_lo[f] > meet_hi[f]:
                below, above, first = 0.0, 0.0, np.inf
                for rival in chosen:
                    for j in range(start[rival], start[rival + 1]):
                        if limit_of[j] == f:
                            if lows[j] > meet_hi[f]:
                                above += 1.0
                                first = min(first, lows[j])
                            if highs[j] < meet_lo[f]:
                                below += 1.0
                meet_lo[f], meet_hi[f] = -np.inf, np.inf  # seen
                if min(above, below) > most:
                    cut, most = f, min(above, below)
                    bound[2] = first
    for region in chosen:
        for i in range(start[region], start[region + 1]):
            meet_lo[limit_of[i]], meet_hi[limit_of[i]] = -np.inf, np.inf
    if cut >= 0:
        bound[1] = before(bound[2], bound[3])
    return cut


@inner
def narrower(
    chosen: Array, start: Array, limit_of: Array, lows: Array, highs: Array, floor: Array, roof: Array, bound: Array
) -> int:
    """A cut that takes a part off a box which the chosen leaves do not fill; -1 where they do."""
    for region in chosen:
        for i in range(start[region], start[region + 1]):
            f = limit_of[i]
            if np.isfinite(lows[i]) and lows[i] > floor[f]:
                bound[1], bound[2] = before(lows[i], bound[3]), lows[i]
                return int(f)
            if np.isfinite(highs[i]) and highs[i] < roof[f]:
                bound[1], bound[2] = highs[i], -before(-highs[i], bound[3])
                return int(f)
    return -1


@inner
def before(value: float, narrow: float) -> float:
    """The float before, of the type of the inputs: float32 where `narrow` is not zero."""
    if narrow:
        return float(np.nextafter(np.float32(value), np.float32(-np.inf)))
    return float(np.nextafter(value, -np.inf))


@inner
def rise(heap: Array, keys: Array, waiting: int, node: int) -> int:
    """Put a node into a heap: the lowest key first, the youngest among equals; how many wait now."""
    at = waiting
    heap[at] = node
    while at > 0:
        above = (at - 1) // 2
        one, two = heap[at], heap[above]
        if keys[one] > keys[two] or (keys[one] == keys[two] and one < two):
            break
        heap[at], heap[above] = two, one
        at = above
    return waiting + 1


@inner
def sink(heap: Array, keys: Array, waiting: int) -> int:
    """Take the first node out of a heap; how many wait now."""
    waiting -= 1
    heap[0], at = heap[waiting], 0
    while 2 * at + 1 < waiting:
        child = 2 * at + 1
        if child + 1 < waiting:
            one, two = heap[child], heap[child + 1]
            if keys[two] < keys[one] or (keys[two] == keys[one] and two > one):
                child += 1
        one, two = heap[at], heap[child]
        if keys[one] < keys[two] or (keys[one] == keys[two] and one > two):
            break
        heap[at], heap[child] = two, one
        at = child
    return waiting
