"""LT-Attack on tree ensembles, Zhang, Zhang and Hsieh, NeurIPS 2020, arXiv:2010.11598."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.trees.ground import Array, Ground
from holdfast.core.params import Count

CYCLE = 3
"""Of so many starts the last one is random."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeafTuple(Attack):
    """Walk over the boxes in which a tree ensemble is constant, from one that reaches the goal to ever nearer ones.

        C = (a leaf of each tree whose boxes meet)      x(C) = the point of their meeting that is nearest to the input
        C <- the nearest of its neighbors that reach the goal, until none is nearer than C itself

    A neighbor has another leaf in one tree; only trees that alone hold a limit at which x(C) stands can come nearer.
    The walk ends at a local minimum, which no change of one leaf betters: an upper bound of `hf.exact_distance` for
    milliseconds, where a proof may take exponentially long. Missing values stay missing, and the categories of a model
    that splits on sets stay as they are. In a table so do one-hot groups; all other columns move, in their steps,
    ranges and directions. Where a schema has relations, or a threat a second sum, the walk keeps to possible rows.

    Cost: two questions for each start at most; the walk itself asks the arrays of the ensemble alone.

    Deviations: the paper starts from random points, by bisection. Here these are each third start, around the nearest
    point so far, and wherever nothing else is found; the others take tree by tree, in random order, the leaf that
    speaks most for another class within a reach around the input that is bisected, which begins far nearer. Of equally
    near neighbors, as in Linf and L0, that with the smaller sum of changes is taken. But in Linf, single features that
    the goal can do without are taken back at the end of a walk, which then goes on; the paper has no L0.

    Args:
        restarts: Starts, each walked to its end.
        tries: Random points tried for a start.
    """

    needs: ClassVar = frozenset({"trees"})
    norms: ClassVar = (0.0, 1.0, 2.0, math.inf)
    tables: ClassVar = True
    minimal: ClassVar = True

    restarts: Count = 20
    tries: Count = 20

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return 2 * self.restarts

    def search(self, probe: Probe) -> None:
        """Find starts and walk."""
        if not probe.alive.any():
            return
        ground = Ground.of(probe)
        for turn in probe.restarts(self.restarts):
            missing = probe.alive.clone()
            for strict in (False, True):  # again, on clear leads alone, where the model does not confirm a close one
                greedy = turn % CYCLE < CYCLE - 1
                starts = _greedy(probe, ground, turn - turn // CYCLE, missing, strict) if greedy else {}
                starts |= self._random(probe, ground, missing & _mask(probe, starts), strict)
                missing = _refused(probe, ground.walked(starts, strict))

    def _random(self, probe: Probe, ground: Ground, only: Tensor, strict: bool) -> dict[int, Array]:
        """Tuples of random points, for some rows: ever less noise on the nearest point, or ever more on the input."""
        width, found = ground.rows.shape[1], dict[int, Array]()
        known, nearest = torch.isfinite(probe.distance), probe.nearest.cpu().numpy().reshape(ground.rows.shape)
        for k in probe.steps(self.tries):
            missing = only & _mask(probe, found)
            if not bool((missing & probe.alive).any()):
                break
            u = probe.draw.uniform(width, only=missing).double().cpu().numpy()
            for i in (missing & probe.alive).nonzero()[:, 0].tolist():
                (low, high), row = ground.ends(i), ground.rows[i].astype(float)
                room = high - low
                if known[i]:
                    part = np.abs(nearest[i] - row) / np.where(room > 0, room, 1.0)
                    reach = (1 - k / self.tries) * float(np.nan_to_num(part).max())
                    noisy = nearest[i] + reach * room * (2 * u[i] - 1)
                else:
                    noisy = row + min(2 * (k + 1) / self.tries, 1.0) * (low + room * u[i] - row)
                point = ground.snapped(noisy, i)
                start = ground.held(i, point, strict)
                if start is not None:
                    found[i] = ground.toward(i, point, start, strict)
        return found


def _greedy(probe: Probe, ground: Ground, turn: int, only: Tensor, strict: bool) -> dict[int, Array]:
    """Tuples put together from leaves that speak for another class, the trees in random order."""
    order = probe.draw.uniform(len(ground.field.trees.roots), only=only).argsort(dim=1, stable=True).cpu().numpy()
    rows = (probe.alive & only).nonzero()[:, 0].tolist()
    made = {i: ground.filled(i, order[i], turn, strict) for i in rows}
    return {i: start for i, start in made.items() if start is not None}


def _refused(probe: Probe, points: dict[int, Array]) -> Tensor:
    """Ask the model about a point of each row; where it does not decide as its arrays do: `(batch,)`."""
    x = probe.x0.reshape(len(probe.x0), -1).clone()
    for i, point in points.items():
        x[i] = torch.from_numpy(point).to(x)
    only = ~_mask(probe, points)
    margin = probe.margin(x.reshape(probe.x0.shape), only=only)
    return only & probe.alive & (margin >= 0)


def _mask(probe: Probe, found: dict[int, Array]) -> Tensor:
    """The rows that are not among those found: `(batch,)`."""
    mask = torch.ones_like(probe.alive)
    mask[list(found)] = False
    return mask
