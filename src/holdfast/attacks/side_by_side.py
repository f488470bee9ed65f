"""Ways and starts climbed side by side: a few rows with all their ways make as full a batch as many rows with one.

A pass over ten rows costs nearly as much time as one over ninety. So where an attack has several ways or starts to try
on each row, and few rows are left, it asks about all of them in one pass instead of one after the other.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from holdfast.attacks.probe import Probe
from holdfast.geometry.rows import take

Start = Callable[[], Tensor]
ABREAST = 8  # later starts that go side by side at most


def side_by_side(probe: Probe, order: Tensor, start: Start | None = None) -> Iterator[tuple[Probe, Tensor, Tensor]]:
    """Batches in which each row that is alive stands once for each of its ways, `order` `(batch, ways)`.

        for part, way, x in side_by_side(probe, order, start):
            self._climb(part, way, x)

    The body asks `part`, which is a probe, about points `x` of each clone and draws no random numbers. Rows come in
    parts of `probe.room` clones, or of one row's, and at most `probe.room` go through the model at once, so that memory
    does not grow. Neither the parts nor the company change a row's result: each way begins where it would begin if the
    ways went one after the other and takes the same steps. With `stop` a row ends at the first step at which one of its
    ways succeeds, else all ways run to their end; the books keep the nearest success and the strongest point of all, of
    equals the one of the first way, and all that the clones were asked is the row's cost.

    Under a query budget the ways go one after the other, since the clones of a row would have to share it. On a model
    that draws random numbers they go side by side: a clone is asked like any other row of a batch.

    Args:
        probe: Whose rows.
        order: Indices of ways, the first way first.
        start: A point of each row, `(batch, ...)`, from the probe's random numbers; asked once for each way, the first
            way first. None begins at the originals.

    Yields:
        A probe for one climb, the way of each of its rows, `(rows,)`, and where the climb begins, `(rows, ...)`.
    """
    ways = order.shape[1]
    if probe.bounded or ways <= 1:
        for way in order.T:
            yield probe, way, probe.x0 if start is None else start()
        return
    for rows in _parts(probe, ways):
        began = None if start is None else _begun(probe, rows, start, ways)
        part = probe.clones(rows, ways)
        yield part, order[rows].flatten(), part.x0 if began is None else began
        probe.absorb(rows, part)


def starts(probe: Probe, count: int) -> Iterator[tuple[int, Probe]]:
    """Probes for `count` starts of an attack, each start with its own random numbers; those after the first share.

        for turn, part in starts(probe, self.restarts):
            self._climb(part, part.region.sample(part.draw))

    The first start goes alone, on `probe` itself. Then each row that is alive stands there once for each of `ABREAST`
    further starts. Start r draws the same numbers whatever the count, the parts and the company, and every later start
    begins with what was known after the first one, so that none of it changes a result. Parts, ends, books and costs
    are those of `side_by_side`; so is the way of a query budget, under which starts go one after the other on `probe`
    itself, each with all that is known.

    Args:
        probe: Whose rows.
        count: Starts.

    Yields:
        The number of the first start in a probe, and the probe. What the attack finishes in a probe of later starts
        stays alive in `probe`.
    """
    if probe.bounded:
        for turn in probe.restarts(count):
            yield turn, probe
        return
    for turn in probe.restarts(1):
        yield turn, probe
    known = probe.known
    for first in range(1, count, ABREAST):
        turns = range(first, min(first + ABREAST, count))
        for rows in _parts(probe, len(turns)):
            part = probe.clones(rows, len(turns), known, turns)
            yield first, part
            probe.absorb(rows, part)


def _parts(probe: Probe, ways: int) -> tuple[Tensor, ...]:
    """The rows that are alive, as many at a time as have room with all their clones, and at least one."""
    rows = probe.alive.nonzero()[:, 0]
    return torch.split(rows, max(probe.room // ways, 1)) if len(rows) else ()


def _begun(probe: Probe, rows: Tensor, start: Start, ways: int) -> Tensor:
    """Starts for all ways of `rows`, a row's together; the random numbers of all other rows stand still."""
    alive, only = probe.draw.alive, torch.zeros_like(probe.alive)
    only[rows] = True
    probe.draw.alive = only
    began = torch.stack([take(start(), rows) for _ in range(ways)], 1)
    probe.draw.alive = alive
    return began.flatten(0, 1)
