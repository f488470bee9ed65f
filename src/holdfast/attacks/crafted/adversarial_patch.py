"""Adversarial patch, Brown et al., 2017, arXiv:1712.09665; as a sticker Eykholt et al., CVPR 2018, arXiv:1707.08945."""

import dataclasses
from typing import Annotated, Literal

import torch
from torch import Tensor

from holdfast.attacks.crafted._making import climbed, ready
from holdfast.core.errors import DataError
from holdfast.core.params import Count, NonNegative, Positive, Range, Share, check
from holdfast.core.progress import BatchDone, Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.geometry.draw import Draw
from holdfast.geometry.pasting import Pose, middle_of, pasted
from holdfast.models.model import Model
from holdfast.threats.space import Box

# What common inks on white paper look like under white light: sRGB values near those of coated offset print.
INKS = (
    (0.96, 0.96, 0.95),
    (0.14, 0.12, 0.13),
    (0.00, 0.62, 0.88),
    (0.90, 0.00, 0.49),
    (1.00, 0.93, 0.00),
    (0.89, 0.12, 0.15),
    (0.00, 0.60, 0.30),
    (0.18, 0.19, 0.55),
    (0.94, 0.55, 0.10),
    (0.50, 0.50, 0.50),
    (0.76, 0.76, 0.76),
    (0.54, 0.36, 0.20),
    (0.95, 0.70, 0.75),
    (0.55, 0.78, 0.90),
    (0.62, 0.80, 0.35),
    (0.45, 0.20, 0.50),
)
NEAR = 4.0  # weight of a squared distance of colors where inks begin to be searched
TOLD = 25  # steps between two events


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialPatch:
    """A square picture that breaks whatever it is put on, made for many pictures, places, turns and lights at once.

        patch <- Adam on the mean over pictures and placements of grad min(loss(paste(x, patch)), most)

    With `on="object"` it is a sticker: it lies inside the mask of the labeled object, is as large as the object allows,
    and covers `area` of it. With `colors="print"` every cell has one of 16 colors that a printer can print: two thirds
    of the steps look for any colors, the others mix the inks near them, ever less, and each cell ends as one ink. The
    patch is lit as its place is: its white is as bright as the brightest spots there, give or take `light`.

    Cost: `steps` forward and backward passes over a batch.

    Args:
        area: Share of the picture, or of the object, that it covers.
        on: Anywhere on the picture, or on the labeled object (`Dataset.masks`).
        colors: Any, or printable ones.
        cells: Its own height and width in cells.
        steps: Forward and backward passes.
        batch: Pictures in a pass.
        rate: Of Adam.
        turn: Largest turn to either side, in degrees.
        scale: Largest relative change of its side.
        shift: How far its middle may lie from the object's, as a share of the object's size.
        light: Largest relative change of its brightness against that of its place.
        most: Log-odds of the goal after which a picture has no say.
        target: The class to reach; None for any wrong one.
    """

    area: Annotated[float, Range(0, 1, open_low=True)] = 0.1
    on: Literal["picture", "object"] = "picture"
    colors: Literal["any", "print"] = "any"
    cells: Count = 12
    steps: Count = 300
    batch: Count = 64
    rate: Positive = 0.1
    turn: NonNegative = 20.0
    scale: Share = 0.15
    shift: NonNegative = 0.1
    light: Share = 0.2
    most: Positive = 9.0
    target: int | None = None

    def __post_init__(self) -> None:
        check(self)

    def craft(self, model: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> "Patch":
        """Make it on some pictures; judge it on others.

        Args:
            model: A wrapped model that torch can differentiate.
            data: Pictures, with masks for `on="object"`.
            seed: Of the first colors, the order of the pictures and the placements.
            on_event: Told as it goes; may raise `holdfast.Stop`.

        Raises:
            DataError: HF102 for samples that are no color pictures, or have no masks.
            ModelError: HF240 for a model that is not wrapped.
            ThreatError: HF304 for a model without gradients, HF305 for an impossible target.
        """
        _check(self, data)
        model, draw = ready(model, data, self.target), torch.Generator().manual_seed(seed)
        inks = torch.tensor(INKS).to(data.x) if self.colors == "print" else None
        turn = self.steps if inks is None else 2 * self.steps // 3
        first = 0.5 + 0.05 * torch.randn(data.x.shape[1], self.cells, self.cells, generator=draw)
        leaf = first.clamp(0, 1).to(data.x).requires_grad_()
        adam = torch.optim.Adam([leaf], lr=self.rate)
        with model.borrowed():
            for i in range(self.steps):
                if inks is not None and i == turn:
                    leaf = _likeness(leaf.detach(), inks).requires_grad_()
                    adam = torch.optim.Adam([leaf], lr=self.rate)
                part = data.take(torch.randperm(len(data), generator=draw)[: self.batch])
                with torch.enable_grad():
                    patch = (
                        leaf
                        if inks is None or i < turn
                        else _mixed(leaf, inks, 1 + 4 * (i - turn) / (self.steps - turn))
                    )
                    shown = Patch(patch, self).put_on(part, seed=seed + 1 + i)
                    value = climbed(model, shown, part.y, self.target, self.most)
                (leaf.grad,) = torch.autograd.grad(-value, [leaf])
                adam.step()
                if i < turn:
                    leaf.data.clamp_(0, 1)
                if (i + 1) % TOLD == 0 or i + 1 == self.steps:
                    on_event(BatchDone("craft", i + 1, self.steps, 0, 0))
        return Patch(leaf.detach() if inks is None else inks[leaf.argmax(0)].permute(2, 0, 1), self)


@dataclasses.dataclass(frozen=True, eq=False)
class Patch:
    """A finished patch.

    Args:
        pixels: `(channels, cells, cells)` in [0, 1].
        made: How it was made, and how it is placed.
    """

    pixels: Tensor
    made: AdversarialPatch

    @property
    def target(self) -> int | None:
        """The class it was made to reach; None for any wrong one."""
        return self.made.target

    def apply(self, data: Dataset, seed: int = 0) -> Dataset:
        """The pictures with the patch on them, placed anew for every sample and seed."""
        _check(self.made, data)
        with torch.no_grad():
            return dataclasses.replace(data, x=self.put_on(data, seed))

    def control(self, seed: int = 0) -> "Patch":
        """The same cells in random order: what covering alone does."""
        draw = torch.Generator().manual_seed(seed)
        flat = self.pixels.flatten(1)
        return Patch(flat[:, torch.randperm(flat.shape[1], generator=draw)].reshape(self.pixels.shape), self.made)

    def put_on(self, data: Dataset, seed: int) -> Tensor:
        """Pictures `(n, channels, height, width)`, differentiable in the patch."""
        x, pose = data.x, self.pose(data, seed)
        low, high = Box(data.bounds).limits(x)
        where = data.masks if self.made.on == "object" else None
        bare = (x - low) / (high - low)
        return low + (high - low) * pasted(bare, self.pixels, pose.center, pose.side, pose.angle, pose.light, where)

    def pose(self, data: Dataset, seed: int) -> Pose:
        """Where it lies on each picture, anew for every sample and seed."""
        made, x = self.made, data.x
        low, high = Box(data.bounds).limits(x)
        ids = torch.arange(len(x)) if data.ids is None else data.ids
        u = Draw(seed, "patch", ids.tolist(), x).uniform(5)
        swing = 2 * u - 1
        size = torch.tensor(x.shape[2:]).to(x)
        if made.on == "object" and data.masks is not None:
            middle, extent = (part.to(x) for part in middle_of(data.masks))
            side = made.area**0.5 * extent * (1 + made.scale * swing[:, 2])
            center = middle + made.shift * extent[:, None] * swing[:, :2]
        else:
            side = (made.area * size.prod()).sqrt() * (1 + made.scale * swing[:, 2])
            room = (size - side[:, None]).clamp(min=0)
            center = side[:, None] / 2 - 0.5 + room * u[:, :2]
        white = _brightest((x - low) / (high - low), data.masks if made.on == "object" else None)
        return Pose(center, side.clamp(min=1), made.turn * swing[:, 3], (1 + made.light * swing[:, 4]) * white)


def _brightest(x: Tensor, where: Tensor | None) -> Tensor:
    """The brightness that 5 % of the places exceed, in each picture or in each object: `(batch,)`."""
    value = x.amax(1)
    if where is not None:
        value = torch.where(where, value, torch.nan)
    return value.flatten(1).nanquantile(0.95, dim=1).nan_to_num(1.0)


def _likeness(colors: Tensor, inks: Tensor) -> Tensor:
    """How near each cell's color is to each ink: `(inks, cells, cells)`, 0 for the same."""
    return -NEAR * (colors - inks[:, :, None, None]).square().sum(1)


def _mixed(wish: Tensor, inks: Tensor, sharp: float) -> Tensor:
    """Colors of the cells, `(3, cells, cells)`: inks by the softmax of what is wished, less mixed where `sharp`."""
    return torch.einsum("khw,kc->chw", torch.softmax(sharp * wish, 0), inks)


def _check(made: AdversarialPatch, data: Dataset) -> None:
    if data.x.dim() != 4 or data.x.shape[1] not in (1, 3) or (made.colors == "print" and data.x.shape[1] != 3):
        raise DataError(
            "HF102",
            "A patch is put on pictures",
            seen=f"samples of shape {tuple(data.x.shape[1:])}",
            expected="(3, height, width)" if made.colors == "print" else "(1 or 3 channels, height, width)",
        )
    if made.on == "object" and data.masks is None:
        raise DataError(
            "HF102",
            'A patch on="object" needs to know where the object is',
            seen="no masks",
            expected="Dataset(..., masks=(n, height, width))",
            fix='on="picture", or data with masks such as road_signs',
        )
