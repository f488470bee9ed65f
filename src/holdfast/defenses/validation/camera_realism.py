"""Traces of a camera, after Fan and de Queiroz, "Identification of bitmap compression history", IEEE TIP 2003."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Detector, Score
from holdfast.defenses.validation._statistics import applying
from holdfast.models.model import Model
from holdfast.threats.space import Box, Image

LEAST = 5  # pixels of a side: fewer have no inside
KNOTS = 33  # quantiles that a statistic's distribution is kept as
OUTER = 0.005  # the outermost of them, on either side
FLOOR = 0.05  # spread, in natural logarithms, below which nobody tells two pictures apart


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraRealism(Detector):
    """Reject pictures that no camera of the clean data would take.

    Seven statistics are asked: the steepest contrast between neighbors, total variation, the noise level, the noise of
    the quietest blocks, the share of saturated values, the borders of JPEG blocks, the detail of color beside that of
    brightness. Each has a usual range on clean pictures; too little is as unusual as too much. Ranks make them
    comparable:

        z_k = quantile of the normal distribution at the rank of statistic k among clean pictures
        score = max over k of |z_k|

    Ranks are interpolated, and go on as straight lines beyond the clean ones. The threshold is set for the score, so
    the stated rate of false alarms is that of all statistics together. The reason of a rejection is the statistic that
    is farthest out. Every statistic has its true gradient, so an attack that knows them can hold them down while it
    changes the class: statistics of inputs alone stop nobody who knows them (Carlini and Wagner, "Adversarial Examples
    Are Not Easily Detected", AISec 2017, arXiv:1705.07263). `validation/_statistics.py` has a source for each.

    Cost: seven filters over the picture, no pass through the model.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
    """

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The quantiles of every statistic on clean pictures.

        Raises:
            DataError: HF134 where the data are no pictures, or too small ones.
        """
        if not isinstance(data.space, Image) or min(data.x.shape[2:]) < LEAST:
            raise DataError(
                "HF134",
                "A camera's traces need pictures",
                seen=f"samples of shape {tuple(data.x.shape[1:])}",
                expected=f"(1, 3 or 4 channels, height, width) of at least {LEAST} x {LEAST} pixels",
                fix="hf.defenses.RangeCheck() for tables",
            )
        return Traces.of(data)


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
