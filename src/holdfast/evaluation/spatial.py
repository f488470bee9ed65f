"""Turns and shifts, Engstrom et al., ICML 2019, arXiv:1712.02779: the worst of a grid, and of a few at random."""

import dataclasses
import itertools

import torch
from torch import Tensor

from holdfast.core.errors import DataError, ParameterError
from holdfast.core.progress import BatchDone, Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.evaluation import clusters
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.work import deciding, misled
from holdfast.geometry.draw import Draw
from holdfast.geometry.turning import turned
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Spatial:
    """Shares of right answers on the same samples.

    Args:
        clean: As they are.
        random: Turned and shifted at random, over all looks.
        worst_of_random: Right at every look.
        worst: Right as they are, and nowhere on the grid wrong and accepted: an upper bound for every turn and shift
            within the range.
        broken: Which samples were right and have a wrong answer on the grid that the model accepts, `(n,)`.
        how: The first place of the grid that broke them: degrees, rows down, columns to the right, `(n, 3)`; zeros
            for the others.
    """

    clean: Rate
    random: Rate
    worst_of_random: Rate
    worst: Rate
    broken: Tensor
    how: Tensor

    def __str__(self) -> str:
        return (
            f"right answers: clean {self.clean}, turned at random {self.random}, "
            f"worst of the random ones {self.worst_of_random}, worst of the grid {self.worst}"
        )


def spatial(
    model: Model,
    data: Dataset,
    *,
    rotate: float = 30.0,
    translate: float = 0.1,
    angles: int = 31,
    shifts: int = 5,
    looks: int = 10,
    seed: int = 0,
    batch: int = 256,
    on_event: Listener = silent,
) -> Spatial:
    """Turn and shift every picture over a grid, and count those that stay right everywhere.

    No gradient is followed: the landscape of turns has many valleys, and a grid beats descent (Engstrom et al.). What
    leaves the picture is lost, what comes in is black. Cost: 1 + `looks` forward passes a sample, and up to `angles` *
    `shifts`^2 for those that hold; broken samples leave.

    Args:
        model: A wrapped model.
        data: Pictures with labels.
        rotate: Largest turn to either side, in degrees.
        translate: Largest shift to each side, as a share of the side.
        angles: Turns of the grid; an odd number holds the middle.
        shifts: Shifts of the grid along each side; an odd number holds the middle.
        looks: Random places tried on every sample beside the grid.
        seed: Of the random places.
        batch: Rows sent through the model at once.
        on_event: Told after every turn; may raise `holdfast.Stop`.

    Raises:
        DataError: HF102 where the samples are no pictures, HF120 where there are none.
        ParameterError: HF001 for ranges or numbers that make no grid.
    """
    _check(data, rotate, translate, (angles, shifts, looks))
    show = _Show(settle(model, data.x), data, batch)
    reach = torch.tensor([rotate, *(translate * side for side in data.x.shape[2:])], dtype=torch.float64)
    ids = torch.arange(len(data)) if data.ids is None else data.ids
    places = reach * (2 * Draw(seed, "spatial", ids.tolist()).uniform(looks, 3).double() - 1)
    with show.model.borrowed():
        clean = deciding(show.model, data.x, batch) == data.y
        tries = torch.stack([show.right(torch.arange(len(data)), places[:, k]) for k in range(looks)])
        held, how = clean.clone(), torch.zeros(len(data), 3, dtype=torch.float64)
        for k, angle in enumerate(_steps(angles)):
            for down, across in itertools.product(_steps(shifts), repeat=2):
                rows = held.nonzero()[:, 0]
                if not len(rows):
                    break
                place = reach * torch.tensor([angle, down, across], dtype=torch.float64)
                fell = rows[show.fooled(rows, place.expand(len(rows), 3))]
                held[fell], how[fell] = False, place
            on_event(BatchDone("spatial", k + 1, angles, int(held.sum()), len(data)))
    return _counted(data, clean, tries, held, how)


@dataclasses.dataclass(frozen=True, eq=False)
class _Show:
    """A settled model and the pictures it is shown."""

    model: Model
    data: Dataset
    batch: int

    def right(self, rows: Tensor, places: Tensor) -> Tensor:
        """Whether it is right on these rows at these places, `(rows, 3)`."""
        return deciding(self.model, self._turned(rows, places), self.batch) == self.data.y[rows]

    def fooled(self, rows: Tensor, places: Tensor) -> Tensor:
        """Whether it is wrong there and accepts the picture."""
        return misled(deciding(self.model, self._turned(rows, places), self.batch), self.data.y[rows])

    def _turned(self, rows: Tensor, places: Tensor) -> Tensor:
        x = self.data.x[rows]
        low, high = Box(self.data.bounds).limits(x)
        return low + (high - low) * turned((x - low) / (high - low), places[:, 0], places[:, 1:])


def _counted(data: Dataset, clean: Tensor, tries: Tensor, held: Tensor, how: Tensor) -> Spatial:
    groups = clusters.of(data)
    named = clusters.named(groups)
    return Spatial(
        clean=clusters.share(clean.tolist(), groups, "samples"),
        random=clusters.share(tries.flatten().tolist(), named * len(tries), "samples, each look"),
        worst_of_random=clusters.share((tries.all(0) & clean).tolist(), groups, "samples"),
        worst=clusters.share(held.tolist(), groups, "samples"),
        broken=clean & ~held,
        how=how,
    )


def _steps(count: int) -> list[float]:
    """So many places from -1 to 1, the middle first, the far ones last; a single one is the middle."""
    return sorted((2 * k / (count - 1) - 1 for k in range(count)), key=abs) if count > 1 else [0.0]


def _check(data: Dataset, rotate: float, translate: float, counts: tuple[int, ...]) -> None:
    if not len(data):
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    if data.x.dim() != 4:
        raise DataError(
            "HF102",
            "Only pictures can be turned",
            seen=f"samples of shape {tuple(data.x.shape[1:])}",
            expected="(channels, height, width)",
        )
    if not (0 <= rotate <= 180 and 0 <= translate < 1) or min(counts) < 1:
        raise ParameterError(
            "HF001",
            "These turns and shifts make no grid",
            seen=f"rotate={rotate}, translate={translate}, angles, shifts, looks = {counts}",
            expected="rotate in [0, 180], translate in [0, 1), at least one of each",
        )
