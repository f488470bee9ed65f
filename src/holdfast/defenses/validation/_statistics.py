"""What a camera leaves in a picture: statistics of pictures `(batch, channels, height, width)` in [0, 1].

Each is `(batch,)` in nature's own logarithm, so that a multiple is a distance, and has its true gradient: counts are
soft, and largest and smallest values are means of high powers. Sources stand beside each.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Statistic = Callable[[Tensor], Tensor]

LEAST = 1 / 2048  # added before a logarithm: an eighth of a gray level
SMOOTH = 1e-4  # length below which a square root is rounded off, so that it has a slope at zero
POWER = 8  # of the mean that stands for a largest value
SIDE = 8  # of a block of the JPEG standard
NEAR, SOFT = 0.02, 0.01  # of a bound: what counts as saturated, and over what width that fades
SHARE = 1e-3  # added to a share before the logarithm

STENCIL = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))


def contrast(x: Tensor) -> Tensor:
    """Steepest bends between a pixel and its four neighbors: a lens spreads every point over several pixels.

        log (mean |4 x - up - down - left - right|^8)^(1/8)

    The optics' band limit: Goodman, "Introduction to Fourier Optics", 1968.
    """
    gray = x.mean(1)
    middle = gray[:, 1:-1, 1:-1]
    around = gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1] + gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:]
    bend = _length(4 * middle - around).flatten(1)
    top = bend.amax(1, keepdim=True).detach()
    return _log((top * (bend / top).pow(POWER).mean(1, keepdim=True).pow(1 / POWER))[:, 0])


def variation(x: Tensor) -> Tensor:
    """Total variation a pixel. Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal", 1992."""
    down, right = x[:, :, 1:, :-1] - x[:, :, :-1, :-1], x[:, :, :-1, 1:] - x[:, :, :-1, :-1]
    return _log((down.square() + right.square() + SMOOTH**2).sqrt().flatten(1).mean(1))


def noise(x: Tensor) -> Tensor:
    """Deviation of the noise, from a mask blind to edges. Immerkaer, "Fast noise variance estimation", CVIU 1996."""
    return _log(_residue(x.mean(1, keepdim=True)).flatten(1).mean(1))


def quiet(x: Tensor) -> Tensor:
    """Noise of the quietest blocks: a sensor's noise follows the light, what is added everywhere does not.

    Blocks of a quarter of the side; the mean of the -8th power stands for the smallest. After Lukas, Fridrich and
    Goljan, "Detecting digital image forgeries using sensor pattern noise", SPIE 2006, who compare blocks as well.
    """
    found = _residue(x.mean(1, keepdim=True))
    side = max(2, min(found.shape[-2:]) // 4)
    blocks = torch.nn.functional.avg_pool2d(found, side).flatten(1) + LEAST
    low = blocks.amin(1, keepdim=True).detach()
    return ((low / blocks).pow(POWER).mean(1).pow(-1 / POWER) * low[:, 0]).log()


def grid(x: Tensor) -> Tensor:
    """Steps across the borders of 8 x 8 blocks against steps in the middle of blocks.

    Fan and de Queiroz, "Identification of bitmap compression history", IEEE Transactions on Image Processing 2003.
    """
    gray = x.mean(1)
    borders, insides = [], []
    for lines in (gray, gray.transpose(1, 2)):
        steps = _length(lines[:, :, 1:] - lines[:, :, :-1])
        borders.append(steps[:, :, SIDE - 1 :: SIDE].flatten(1))
        insides.append(steps[:, :, SIDE // 2 - 1 :: SIDE].flatten(1))
    return _log(torch.cat(borders, 1).mean(1)) - _log(torch.cat(insides, 1).mean(1))


def saturation(x: Tensor) -> Tensor:
    """Share of values at the darkest or the brightest the sensor can tell, where exposure is cut off.

    The soft share is a sum of two logistic curves. Debevec and Malik, "Recovering high dynamic range radiance maps from
    photographs", SIGGRAPH 1997, weigh such values down.
    """
    ends = torch.sigmoid((NEAR - x) / SOFT) + torch.sigmoid((x - 1 + NEAR) / SOFT)
    return (ends.flatten(1).mean(1) + SHARE).log()


def color(x: Tensor) -> Tensor:
    """Fine detail of color against fine detail of brightness: demosaicing makes the channels' detail alike.

    Gunturk, Altunbasak and Mersereau, "Color plane interpolation using alternating projections", IEEE Transactions on
    Image Processing 2002.
    """
    fine = _filtered(x)
    gray = fine.mean(1, keepdim=True)
    return _log(_length(fine - gray).flatten(1).mean(1)) - _log(_length(gray).flatten(1).mean(1))


def applying(shape: Sequence[int]) -> Mapping[str, Statistic]:
    """The statistics that pictures of this shape have, by name."""
    channels, *sides = shape
    found: dict[str, Statistic] = {
        "contrast": contrast,
        "variation": variation,
        "noise": noise,
        "quiet": quiet,
        "saturation": saturation,
    }
    if min(sides) > SIDE:
        found["grid"] = grid
    if channels == 3:
        found["color"] = color
    return found


def _filtered(x: Tensor) -> Tensor:
    """Each channel through Immerkaer's mask: `(batch, channels, height - 2, width - 2)`."""
    mask = torch.tensor(STENCIL, dtype=x.dtype, device=x.device)[None, None]
    n, c, h, w = x.shape
    return torch.nn.functional.conv2d(x.reshape(n * c, 1, h, w), mask).reshape(n, c, h - 2, w - 2)


def _residue(x: Tensor) -> Tensor:
    """Local noise levels: the mean of these is Immerkaer's estimate."""
    return _length(_filtered(x)) * (math.sqrt(math.pi / 2) / 6)


def _length(x: Tensor) -> Tensor:
    """|x|, rounded off at zero."""
    return (x.square() + SMOOTH**2).sqrt()


def _log(x: Tensor) -> Tensor:
    return (x + LEAST).log()
