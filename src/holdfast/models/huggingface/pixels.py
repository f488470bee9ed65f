"""What an image processor of transformers does to a picture, as a differentiable layer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from holdfast.core.errors import ModelError
from holdfast.threats.space import Box

WHITE = 255.0
"""The brightest value of a picture as processors take it."""

MODES = {2: "bilinear", 3: "bicubic"}
WARPED = 384
"""From this size on a processor with `crop_pct` warps pictures instead of cropping them."""

KNOWN = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_flip_channel_order", "do_convert_rgb")
Size = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steps:
    """A processor's settings, in the order in which they come.

    Args:
        scale: What makes an input a picture of 0 to 255.
        size: Height and width after resizing; None for the shortest edge or none.
        shortest: Length of the shortest edge after resizing; None where `size` says it.
        mode: How numbers between pixels are found; None for a way that torch does not have.
        crop: Height and width of what is cut out of the middle.
        rescale: Factor, offset: `x * factor - offset`.
        mean: Taken off each channel.
        std: The rest is divided by it.
        flip: Whether red and blue change places.
    """

    scale: float
    size: Size | None = None
    shortest: int | None = None
    mode: str | None = "bilinear"
    crop: Size | None = None
    rescale: tuple[float, float] = (1.0, 0.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    flip: bool = False

    @property
    def said(self) -> tuple[str, ...]:
        """The steps that do something, for reports and fingerprints."""
        resized = self.size or (self.shortest and f"shortest edge {self.shortest}")
        shown = [
            resized and f"resize({resized}, {self.mode})",
            self.crop and f"center crop{self.crop}",
            self._scaled != (1.0, 0.0) and f"pixels * {self._scaled[0]:.6g} - {self._scaled[1]:.6g}",
            f"normalize(mean={self.mean}, std={self.std})",
            self.flip and "flip channels",
        ]
        return tuple(str(one) for one in shown if one)

    @property
    def _scaled(self) -> tuple[float, float]:
        return round(self.scale * self.rescale[0], 12), self.rescale[1]


def steps_of(processor: Any, space: Box) -> Steps:
    """The steps of an image processor.

    Args:
        processor: One of transformers, or its settings.
        space: What an input is: its bounds are [0, 1] or [0, 255].

    Raises:
        ModelError: HF296 for steps or bounds that it cannot do.
    """
    told = processor.to_dict() if hasattr(processor, "to_dict") else processor
    if not isinstance(told, Mapping):
        raise refused("This is no image processor", type(processor).__name__, "one of transformers, or its settings")
    others = [key for key, value in told.items() if key.startswith("do_") and value and key not in KNOWN]
    if others:
        raise refused("The image processor has steps that cannot become part of the model", others, list(KNOWN))
    try:
        return _read(told, _scale(space))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise refused(
            "The image processor's settings cannot be read", f"{error!r:.120}", "those of transformers"
        ) from error


def _read(told: Mapping[str, Any], scale: float) -> Steps:
    size, shortest, crop = None, None, None
    if told.get("do_resize"):
        size, shortest = _sized(told["size"])
        share = told.get("crop_pct")
        if share is not None and shortest is not None:
            inside = (shortest, shortest)
            if shortest < WARPED:
                crop, shortest = inside, int(shortest / share)
            else:
                size, shortest = inside, None
    if told.get("do_center_crop"):
        crop = _sized(told["crop_size"])[0]
        if crop is None:
            raise ValueError(f"crop_size {told['crop_size']}")
    factor = float(told.get("rescale_factor", 1 / WHITE)) if told.get("do_rescale") else 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    if told.get("do_normalize"):
        mean, std = _numbers(told["image_mean"]), _numbers(told["image_std"])
    if told.get("include_top"):  # EfficientNet's divides once more
        std = tuple(one * other for one, other in zip(std, _numbers(told["image_std"]), strict=True))
    return Steps(
        scale=scale,
        size=size,
        shortest=shortest,
        mode=MODES.get(int(told.get("resample", 2))),
        crop=crop,
        rescale=(factor, 1.0 if told.get("rescale_offset") else 0.0),
        mean=mean,
        std=std,
        flip=bool(told.get("do_flip_channel_order")),
    )


class Pixels(nn.Module):
    """The steps on a batch of pictures; pictures that have the size already are not resized.

    Args:
        steps: What is done.
    """

    def __init__(self, steps: Steps):
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        """`(n, channels, height, width)` as the network takes it.

        Raises:
            ModelError: HF296 for pictures that cannot be brought to that size, or of another number of channels.
        """
        steps = self.steps
        if x.dim() != 4 or len(steps.mean) not in (1, x.shape[1]) or len(steps.std) not in (1, x.shape[1]):
            seen, channels = tuple(x.shape[1:]), max(len(steps.mean), len(steps.std))
            raise refused("The image processor is for other pictures", seen, f"({channels}, height, width)")
        x = self._cropped(self._resized(x * steps.scale))
        x = x * steps.rescale[0] - steps.rescale[1]
        mean, std = (x.new_tensor(values)[:, None, None] for values in (steps.mean, steps.std))
        x = (x - mean) / std
        return x.flip(1) if steps.flip else x

    def _resized(self, x: Tensor) -> Tensor:
        steps, (height, width) = self.steps, x.shape[-2:]
        wanted = steps.size
        if steps.shortest is not None:
            short, long = min(height, width), max(height, width)
            longer = int(steps.shortest * long / short)
            wanted = (steps.shortest, longer) if height <= width else (longer, steps.shortest)
        if wanted in (None, (height, width)):
            return x
        if steps.mode is None:
            raise refused("Pictures cannot be resized in the processor's way", f"{height} x {width}", f"{wanted}")
        made = interpolate(x, wanted, mode=steps.mode, antialias=True)
        return made.clamp(0, WHITE) if steps.mode == "bicubic" else made

    def _cropped(self, x: Tensor) -> Tensor:
        if self.steps.crop is None:
            return x
        (height, width), (inner, wide) = x.shape[-2:], self.steps.crop
        if inner > height or wide > width:
            raise refused(
                "Pictures are smaller than what is cut out of them", f"{height} x {width}", f"{inner} x {wide}"
            )
        top, left = (height - inner) // 2, (width - wide) // 2
        return x[..., top : top + inner, left : left + wide]


def _scale(space: Box) -> float:
    low, high = (torch.as_tensor(end, dtype=torch.float64) for end in space.bounds)
    if bool((low == 0).all()) and bool((high == 1).all()):
        return WHITE
    if bool((low == 0).all()) and bool((high == WHITE).all()):
        return 1.0
    raise refused("Behind an image processor inputs are pixels", f"bounds {space.bounds}", "(0, 1) or (0, 255)")


def _sized(size: Any) -> tuple[Size | None, int | None]:
    """Height and width, or the length of the shortest edge."""
    if isinstance(size, int):
        return (size, size), None
    found = {key: int(value) for key, value in dict(size).items() if value is not None}
    if set(found) == {"height", "width"}:
        return (found["height"], found["width"]), None
    if set(found) == {"shortest_edge"}:
        return None, found["shortest_edge"]
    raise ValueError(f"size {found}")


def _numbers(values: Any) -> tuple[float, ...]:
    return (float(values),) if isinstance(values, int | float) else tuple(float(value) for value in values)


def refused(what: str, seen: object, expected: object) -> ModelError:
    """The error for a processor that cannot become part of a model."""
    return ModelError(
        "HF296", what, seen=seen, expected=expected, fix="do that step yourself, or say wrap(model, mean=..., std=...)"
    )
