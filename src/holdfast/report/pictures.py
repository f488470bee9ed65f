"""Images as lossless data addresses, and the map of a change between two images."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

ZERO = np.array([246.0, 246.0, 244.0])
LESS = np.array([0.0, 114.0, 178.0])  # Okabe-Ito blue
MORE = np.array([213.0, 94.0, 0.0])  # Okabe-Ito vermilion


def pixels(x: npt.NDArray[Any], bounds: tuple[float, float]) -> Pixels:
    """An image `(channels, height, width)` in data units as 8-bit pixels `(height, width, 3)`.

    One channel becomes gray; a fourth (transparency) is left out.
    """
    low, high = bounds
    unit = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0, 1)
    rgb = np.repeat(unit, 3, axis=0) if len(unit) == 1 else unit[:3]
    return np.rint(255 * rgb.transpose(1, 2, 0)).astype(np.uint8)


def difference(clean: npt.NDArray[Any], changed: npt.NDArray[Any]) -> tuple[Pixels, float]:
    """The change of each pixel as a color (blue: less, near-white: none, orange: more), and its peak in data units.

    Where an image has several channels, the one that changed most is shown; full color is the peak of this image.
    """
    delta = np.asarray(changed, np.float64) - np.asarray(clean, np.float64)
    strongest = np.take_along_axis(delta, np.abs(delta).argmax(0, keepdims=True), 0)[0]
    peak = float(np.abs(strongest).max())
    share = (strongest / peak if peak > 0 else strongest)[..., None]
    ends = np.where(share < 0, LESS, MORE)
    return np.rint(ZERO + np.abs(share) * (ends - ZERO)).astype(np.uint8), peak


def address(image: Pixels) -> str:
    """A `data:` address that holds the image without loss (WebP)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="WEBP", lossless=True, quality=80, method=4, exact=True)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
