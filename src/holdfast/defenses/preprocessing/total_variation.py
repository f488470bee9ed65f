"""Total variance minimization, Guo, Rana, Cisse and van der Maaten, ICLR 2018, arXiv:1711.00117."""

import dataclasses
from typing import Annotated

import torch
from torch import Tensor

from holdfast.core.params import Count, NonNegative, Range
from holdfast.defenses.preprocessing._pictures import need_pictures, shares, values
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box

RATIO = 8.0  # of the primal to the dual step, by experiment on pictures of 28 x 28 to 64 x 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class TotalVariation(Stage):
    """Forget a random share of the values and rebuild the simplest picture that fits the others.

        x' <- argmin over z of |keep * (z - x)|_2 + weight * TV(z)
        TV(z) = sum over channels of the 2-norms of the differences of neighboring rows, and of neighboring columns

    The norms are those of the paper, neither squared nor taken pixel by pixel. Solved by the primal-dual steps of
    Chambolle and Pock (J. Math. Imaging Vis. 40, 2011), a batch at once; forgotten values start at the mean of the
    others, so that nothing of them is left. Broken by Athalye, Carlini and Wagner, ICML 2018, arXiv:1802.00420: by
    gradients straight through it, averaged over passes.

    Cost: `steps` times a few operations on the batch.

    Args:
        drop: Probability that a value is forgotten, drawn anew in every pass; 0 forgets none and draws nothing.
        weight: Of the total variation, for values as shares of the box; up to some size kept values stay as they are,
            and only the gaps are filled. 0 with `drop=0` changes nothing.
        steps: Of the solver.
    """

    drop: Annotated[float, Range(0, 1, open_high=True)] = 0.5
    weight: NonNegative = 0.03
    steps: Count = 60

    @property
    def gradient(self) -> Gradient:
        """Straight through."""
        return "straight-through"

    @property
    def random(self) -> bool:
        """Whether values are forgotten."""
        return self.drop > 0

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The rebuilt pictures.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "TotalVariation")
        if not self.drop and not self.weight:
            return x
        keep = torch.rand_like(x) >= self.drop if self.drop else torch.ones_like(x, dtype=torch.bool)
        return values(rebuilt(shares(x, space), keep.to(x), self.weight, self.steps).clamp(0, 1), x, space)


def rebuilt(x: Tensor, keep: Tensor, weight: float, steps: int) -> Tensor:
    """An approximate minimizer: `(n, channels, height, width)`.

    Args:
        x: Pictures of about unit range.
        keep: 1 where a value counts, 0 where it is forgotten, of the same shape.
        weight: Of the total variation.
        steps: Of the solver.
    """
    x, keep = x.detach(), keep.detach()
    kept = keep.sum((2, 3), keepdim=True)
    mean = (x * keep).sum((2, 3), keepdim=True) / kept.clamp(min=1)
    z = torch.where(keep > 0, x, mean)
    ahead = z.clone()
    down, right = torch.zeros_like(x[:, :, 1:]), torch.zeros_like(x[:, :, :, 1:])
    primal, dual = RATIO / 8**0.5, 1 / RATIO / 8**0.5  # 8 bounds the squared norm of the differences
    for _ in range(steps):
        _cut(down.add_(ahead.diff(dim=2), alpha=dual), 3, weight)
        _cut(right.add_(ahead.diff(dim=3), alpha=dual), 2, weight)
        ahead.copy_(z)
        for dim, lines in ((2, down), (3, right)):
            z.narrow(dim, 0, lines.shape[dim]).add_(lines, alpha=primal)
            z.narrow(dim, 1, lines.shape[dim]).sub_(lines, alpha=primal)
        move = (z - x).mul_(keep)
        z.sub_(move.mul_(primal / move.square().sum((1, 2, 3), keepdim=True).sqrt().clamp(min=primal)))
        ahead.mul_(-1).add_(z, alpha=2)
    return z


def objective(z: Tensor, x: Tensor, keep: Tensor, weight: float) -> Tensor:
    """What is minimized: `(n,)`."""
    lines = z.diff(dim=2).norm(dim=3).flatten(1).sum(1) + z.diff(dim=3).norm(dim=2).flatten(1).sum(1)
    found: Tensor = (keep * (z - x)).flatten(1).norm(dim=1) + weight * lines
    return found


def _cut(lines: Tensor, dim: int, longest: float) -> None:
    """Each line along `dim` no longer than `longest`, in place."""
    lines.mul_((longest / lines.square().sum(dim, keepdim=True).sqrt().clamp(min=1e-30)).clamp(max=1))
