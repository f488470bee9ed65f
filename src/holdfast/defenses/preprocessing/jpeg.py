"""JPEG compression, Dziugaite, Ghahramani and Roy, "The effect of JPG compression", 2016, arXiv:1608.00853."""

import dataclasses
from typing import Annotated, Literal

from torch import Tensor

from holdfast.core.params import Range
from holdfast.data.corruptions.digital import recoded
from holdfast.defenses.preprocessing._jpeg import soft_jpeg
from holdfast.defenses.preprocessing._pictures import need_pictures, shares, values
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jpeg(Stage):
    """Store each picture as an 8-bit JPEG file and read it again, with the codec that is deployed (Pillow).

        x' <- decode(encode(round(255 (x - low) / width)))

    The way back is differentiable JPEG: cosine transform, color differences and subsampling as in the codec, and
    the rounding of a coefficient c by round(c) + (c - round(c))^3. That broke it: Shin and Song, "JPEG-resistant
    Adversarial Images", NIPS 2017 workshop on machine learning and computer security.

    Cost: the codec on one picture after the other, about 0.2 ms for one of 32 x 32; backward a few matrix products.

    Args:
        quality: From 1 to 100, higher for larger files.
        subsampling: Whether pixels share a color: none, two across, or two by two; no matter to gray pictures.
    """

    quality: Annotated[int, Range(1, 100)] = 75
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"

    @property
    def gradient(self) -> Gradient:
        """Straight through, by differentiable JPEG."""
        return "straight-through"

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The pictures after a file each.

        Raises:
            DataError: HF131 for inputs that are no pictures of 1 or 3 channels.
        """
        need_pictures(x, "Jpeg", (1, 3))
        return values(recoded(shares(x, space).clamp(0, 1), self.quality, self.subsampling), x, space)

    def twin(self, x: Tensor, space: Box) -> Tensor:
        """Differentiable JPEG."""
        need_pictures(x, "Jpeg", (1, 3))
        return values(soft_jpeg(shares(x, space) * 255, self.quality, self.subsampling) / 255, x, space)
