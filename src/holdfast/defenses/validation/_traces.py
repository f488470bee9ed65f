"""How unusual the statistics of a picture are among those of clean ones: the score of `CameraRealism`."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.data.dataset import Dataset
from holdfast.defenses.validation._statistics import applying
from holdfast.threats.space import Box

KNOTS = 33  # quantiles that a statistic's distribution is kept as
OUTER = 0.005  # the outermost of them, on either side
FLOOR = 0.05  # spread, in natural logarithms, below which nobody tells two pictures apart


@dataclasses.dataclass(frozen=True, eq=False)
class Traces:
    """The score of `CameraRealism`.

    Args:
        space: Of the pictures.
        names: Of the statistics.
        knots: Their clean quantiles, ascending, `(statistics, KNOTS)` float64.
        ranks: What normal quantile each knot stands for, `(KNOTS,)`.
    """

    space: Box
    names: tuple[str, ...]
    knots: Tensor
    ranks: Tensor

    @staticmethod
    def of(data: Dataset) -> "Traces":
        """Learned from clean pictures, in batches."""
        names, space = tuple(applying(data.x.shape[1:])), data.space
        with torch.no_grad():
            found = torch.cat([measured(rows, space, names) for rows in torch.split(data.x, 256)])
        levels = torch.linspace(OUTER, 1 - OUTER, KNOTS, dtype=torch.float64)
        ranks = math.sqrt(2) * torch.erfinv(2 * levels - 1)
        return Traces(space, names, torch.quantile(found, levels, dim=0).T + FLOOR * ranks, ranks)

    def __call__(self, x: Tensor) -> Tensor:
        """How unusual each picture is: `(batch,)` of the type of `x`."""
        return self.unusual(measured(x, self.space, self.names)).amax(1).to(x.dtype)

    def unusual(self, found: Tensor) -> Tensor:
        """|z| of every statistic: `(batch, statistics)` -> the same."""
        knots, ranks = self.knots.to(found.device), self.ranks.to(found.device)
        values = found.T.contiguous()  # (statistics, batch)
        below = (torch.searchsorted(knots, values.detach()) - 1).clamp(0, KNOTS - 2)
        left, right = knots.gather(1, below), knots.gather(1, below + 1)
        share = (values - left) / (right - left)
        return (ranks[below] + share * (ranks[below + 1] - ranks[below])).abs().T

    def told(self, x: Tensor) -> list[str]:
        """The statistic that is farthest out, its value and its usual range, for each picture."""
        with torch.no_grad():
            found = measured(x, self.space, self.names)
            worst = self.unusual(found).argmax(1).tolist()
        usual = (self.knots - FLOOR * self.ranks)[:, [0, -1]].exp()
        return [
            f"{self.names[k]} {float(found[i, k].exp()):.3g}, usually {usual[k, 0]:.3g} to {usual[k, 1]:.3g}"
            for i, k in enumerate(worst)
        ]


def measured(x: Tensor, space: Box, names: tuple[str, ...]) -> Tensor:
    """Statistics of pictures in their own units: `(batch, statistics)` float64, natural logarithms."""
    low, high = space.limits(x)
    scaled = ((x - low) / (high - low)).double()
    known = applying(x.shape[1:])
    return torch.stack([known[name](scaled) for name in names], 1)
