"""Box-constrained L-BFGS, Szegedy et al., ICLR 2014, arXiv:1312.6199."""

import contextlib
import dataclasses
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Positive
from holdfast.geometry.rows import norm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lbfgs(Attack):
    """Minimize squared distance plus constant times the goal's cross-entropy inside the box, for the least constant.

        minimize |x - x0|^2 / width^2 + c * log(1 + exp(-log-odds(x)))    with low <= x <= high,    by L-BFGS-B

    A line search finds the least constant whose minimizer reaches the goal: up by tens until one does, then bisection.
    The log-odds are those of one way of reaching the goal: of the target, or of the class whose boundary is nearest to
    first order against the true one. Their cross-entropy has a gradient on a saturated model too.

    Cost: one forward and `ways` backward passes, then at most about `searches` * `steps` forward and backward passes,
    in practice a tenth to a whole of that. SciPy minimizes one row at a time, so every pass holds a single input and a
    batch is no faster than its rows: tens of times slower than the batched attacks on a large network. It is here for
    its place in history and as a check on the others.

    Deviations: squared distance, smooth at the input, where the paper has the distance; the first constant is the one
    that would suffice where the log-odds are linear, times `constant`.

    Args:
        steps: Forward and backward passes for each constant; a line search under way may take some more.
        searches: Constants tried.
        ways: Ways among which the nearest is chosen, smallest margin first.
        constant: First constant, as a multiple of the one that suffices where the log-odds are linear.
    """

    norms: ClassVar = (2.0,)
    minimal: ClassVar = True
    scheduled: ClassVar = True

    steps: Count = 50
    searches: Count = 8
    ways: Count = 9
    constant: Positive = 2.0

    def search(self, probe: Probe) -> None:
        """Search the constant of every row, one row after the other."""
        ways = probe.clean.argsort(dim=1, stable=True)[:, : self.ways]
        w, f = probe.jacobian(probe.x0, ways)
        size = norm(w.flatten(0, 1), 2).reshape(f.shape)
        k = (f.abs() / size).nan_to_num(torch.inf, torch.inf).argmin(1, keepdim=True)
        way, f, size = (v.gather(1, k)[:, 0] for v in (ways, f, size))
        width = (probe.region.high - probe.region.low).flatten(1).amax(1)
        first = torch.where(size > 0, 4 * f.abs() / (size * width).square(), 1.0)
        for i in probe.alive.nonzero()[:, 0].tolist():
            self._search_row(_Row(probe, i, way, float(width[i])), self.constant * float(first[i]))

    def _search_row(self, row: "_Row", c: float) -> None:
        low, high = 0.0, np.inf
        for _ in range(self.searches):
            reached = row.minimize(c, self.steps)
            if row.ended:
                return
            low, high = (low, c) if reached else (c, high)
            c = 10 * c if high == np.inf else (low + high) / 2


class _Row:
    """One row as SciPy sees it: a vector of displacements in widths of the box."""

    def __init__(self, probe: Probe, row: int, way: Tensor, width: float):
        self.probe, self.row, self.way, self.width = probe, row, way, width
        x0 = probe.x0[row].double()
        self.bounds = [
            ((edge[row].double() - x0) / width).flatten().cpu().numpy()
            for edge in (probe.region.low, probe.region.high)
        ]
        self.only = torch.arange(len(probe.x0), device=x0.device) == row

    @property
    def ended(self) -> bool:
        """Whether the row may ask no more."""
        return not bool(self.probe.alive[self.row])

    def log_odds(self, margins: Tensor, scores: Tensor) -> Tensor:
        """Log p / (1 - p) of the chosen way: `(batch,)`."""
        chosen = margins[torch.arange(len(margins), device=margins.device), self.way]
        return -torch.logsumexp(chosen, 1)

    def minimize(self, c: float, steps: int) -> bool:
        """Whether the minimizer for the constant `c` reaches the goal."""
        from scipy.optimize import Bounds, minimize

        margin = np.inf

        def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal margin
            g, loss, margin = self.ask(u)
            entropy, share = np.logaddexp(0.0, -loss), np.exp(-np.logaddexp(0.0, loss))
            return float(u @ u + c * entropy), 2 * u - c * share * g

        start = np.zeros_like(self.bounds[0])
        with contextlib.suppress(_EndedError):  # budget spent, or success: the probe has kept what was found
            result = minimize(
                objective, start, jac=True, method="L-BFGS-B", bounds=Bounds(*self.bounds), options={"maxfun": steps}
            )
            objective(result.x)
        return margin < 0

    def ask(self, u: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Gradient by `u`, log-odds and margin at a displacement; only this row is asked."""
        x0, region = self.probe.x0, self.probe.region
        step = torch.zeros_like(x0)
        step[self.row] = torch.from_numpy(self.width * u).to(x0).reshape(x0.shape[1:])
        x = torch.minimum(torch.maximum(x0 + step, region.low), region.high)
        g, loss, margin = self.probe.slope(x, self.log_odds, only=self.only)
        if self.ended:  # by this very question, or before it
            raise _EndedError
        flat = g[self.row].double().flatten().cpu().numpy()
        return self.width * flat, float(loss[self.row]), float(margin[self.row])


class _EndedError(Exception):
    """The row may ask no more: its way out of SciPy."""
