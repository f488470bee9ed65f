"""The step control that Auto-PGD and CAPGD share: Croce and Hein, ICML 2020, arXiv:2003.01690, algorithm 1."""

import math

import torch
from torch import Tensor

from holdfast.geometry.rows import pick


class Halving:
    """Step control of APGD: the step halves, and the climb goes on from its best point, where progress was too slow.

    Args:
        steps: Of the climb.
        rising: Share of the steps between checkpoints that must raise the loss.
        step: The first step.
        x: Where the climb begins, `(batch, ...)`.
        zero: `(batch,)`, of the loss's type.
    """

    def __init__(self, steps: int, rising: float, step: float, x: Tensor, zero: Tensor):
        self._ends, self._rising = checkpoints(steps), rising
        self.step, self._rose, self._top, self._then = zero + step, zero, zero - math.inf, zero - math.inf
        self._last, self._halved = zero + math.inf, torch.ones_like(zero, dtype=torch.bool)
        self._best, self._slope = x, x.new_zeros(())

    def judged(self, i: int, x: Tensor, slope: Tensor, way: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
        """Where to step from and which way, after step `i` has found `slope` and `loss` at `x` and would go `way`."""
        better = loss > self._top
        self._rose, self._last = self._rose + (loss > self._last), loss
        self._best, self._slope = pick(better, x, self._best), pick(better, slope, self._slope)
        self._top = torch.where(better, loss, self._top)
        if i not in self._ends:
            return x, way
        slow, stuck = self._rose <= self._rising * self._ends[i], ~self._halved & (self._top <= self._then)
        self._halved, self._rose, self._then = slow | stuck, torch.zeros_like(self._rose), self._top
        self.step = torch.where(self._halved, self.step / 2, self.step)
        return pick(self._halved, self._best, x), pick(self._halved, self._slope, way)


def checkpoints(steps: int) -> dict[int, int]:
    """Moves after which progress is judged, with the number of moves since the last: 22 %, then 3 % less, >= 6 %."""
    length, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    ends, at = {}, 0
    while at + length <= steps:
        at += length
        ends[at] = length
        length = max(length - less, least)
    return ends
