"""Pixel deflection, Prakash, Moran, Garber, DiLillo and Storer, CVPR 2018, arXiv:1801.08926."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.core.params import Count, Natural, NonNegative, Share
from holdfast.defenses.preprocessing._jpeg import COLORS
from holdfast.defenses.preprocessing._pictures import need_pictures, shares, values
from holdfast.defenses.preprocessing._wavelet import shrunk
from holdfast.models.stage import Stage
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelDeflection(Stage):
    """Give random pixels the values of random neighbors, then take off what looks like noise among wavelets.

        x[p] <- x[q],  p one of a `share` of all pixels, q uniform among those at most `reach` rows and columns away
        d <- sign(d) max(|d| - T, 0),  T = sigma^2 / sqrt(max(mean of d^2 - sigma^2, 0)),  d the details of a scale

    Pixels are chosen uniformly; the paper prefers those that an activation map of the model holds for unimportant, and
    deflects 200 of 224 x 224. The wavelets are Haar's, the thresholds those of BayesShrink, colors are YCbCr, as there.
    Both parts have a derivative nearly everywhere, for the numbers that were drawn, so autograd is exact. Broken by
    Athalye and Carlini, "On the Robustness of the CVPR 2018 White-Box Adversarial Example Defenses", 2018,
    arXiv:1804.03286: as if it were not there on the way back, the mean gradient of several passes.

    Cost: one gather, and a few sums of the picture for each scale.

    Args:
        share: Of the pixels that are deflected; one at least, unless it is 0.
        reach: Rows and columns that a value comes from at most.
        sigma: Deviation of the noise that is taken off, as a share of the box's width; 0 to leave the wavelets alone.
        depth: Scales of the wavelets, as many as the picture has.
    """

    share: Share = 0.02
    reach: Count = 5
    sigma: NonNegative = 0.04
    depth: Natural = 2

    @property
    def random(self) -> bool:
        """Whether any pixel is deflected."""
        return self.share > 0

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The pictures with other pixels and less noise.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "PixelDeflection")
        if self.share:
            x = deflected(x, math.ceil(self.share * x.shape[2] * x.shape[3]), self.reach)
        if not self.sigma or not self.depth:
            return x
        u = shares(x, space)
        if x.shape[1] != 3:
            return values(shrunk(u, self.sigma, self.depth).clamp(0, 1), x, space)
        into = torch.tensor(COLORS, dtype=torch.float64, device=x.device)
        planes = torch.einsum("kc,bchw->bkhw", into.to(x), u)
        back = torch.linalg.inv(into).to(x)
        u = torch.einsum("ck,bkhw->bchw", back, shrunk(planes, self.sigma, self.depth))
        return values(u.clamp(0, 1), x, space)


def deflected(x: Tensor, count: int, reach: int) -> Tensor:
    """Each picture with `count` of its pixels replaced by neighbors, all channels together.

    Draws from torch's global numbers.

    Args:
        x: `(batch, channels, height, width)`.
        count: Different pixels of each picture.
        reach: Rows and columns that a value comes from at most.
    """
    height, width = x.shape[2:]
    places = torch.rand(len(x), height * width, device=x.device).argsort(1)[:, :count]
    source = torch.arange(height * width, device=x.device).repeat(len(x), 1)
    row, column = (_near(at, size, reach) for at, size in ((places // width, height), (places % width, width)))
    source.scatter_(1, places, row * width + column)
    return x.flatten(2).gather(2, source[:, None].expand(-1, x.shape[1], -1)).reshape(x.shape)


def _near(at: Tensor, size: int, reach: int) -> Tensor:
    """Uniform among the lines of the picture that are at most `reach` away, each."""
    first, last = (at - reach).clamp(min=0), (at + reach).clamp(max=size - 1)
    return first + (torch.rand(at.shape, device=at.device) * (last - first + 1)).long().clamp(max=last - first)
