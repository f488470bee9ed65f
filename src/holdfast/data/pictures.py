"""Image files, read by Pillow as 8-bit gray or RGB; file names are data and never anything else."""

import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from holdfast.core.errors import DataError
from holdfast.core.trial import look

PIXELS = 64 << 20
"""Pixels of the largest image that is opened."""

DEEP = ("I", "F", "I;16", "I;16B", "I;16L")
"""Pillow's modes with more than 8 bits, which it cannot make 8 bits without guessing the range."""

PROGRAMS = ("EPS", "WMF")
"""Pillow's formats that are programs, which it hands to Ghostscript or Windows: never opened, whatever the suffix."""

MEMORY = 1 << 30
"""What the child that tries images may take: a few copies of the largest."""


def visible(path: pathlib.Path) -> list[pathlib.Path]:
    """What lies in a folder, by name, without hidden files; nothing where there is no folder."""
    return sorted(entry for entry in path.iterdir() if not entry.name.startswith(".")) if path.is_dir() else []


def files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files of a folder whose suffix is one of an image format that Pillow reads."""
    known = Image.registered_extensions()
    return [file for file in visible(path) if file.is_file() and file.suffix.lower() in known]


def stack(paths: Sequence[pathlib.Path], size: int | None = None) -> NDArray[np.uint8]:
    """Images of one size as one array `(n, height, width)`, or `(n, height, width, 3)` when one of them has colors.

    Args:
        paths: The files.
        size: Height and width to scale each to, averaging where it shrinks; without it all must have the same.

    Raises:
        DataError: HF110 for a file that is no image, is too large or deeper than 8 bits, or for several sizes.
        ResourceError: HF505 or HF506 from the child that tries the images first, see `core.trial`.
    """
    if paths:
        look("holdfast.data.pictures:facts", paths, MEMORY, 30 + len(paths) // 100, ["numpy", "PIL"])
    found = [read(path, size) for path in paths]
    odd = [k for k, image in enumerate(found) if image.shape[:2] != found[0].shape[:2]]
    if odd:
        sizes = [f"{paths[k].name!r} {found[k].shape[1]} x {found[k].shape[0]}" for k in (0, odd[0])]
        raise DataError(
            "HF110",
            "The images have several sizes",
            seen=" and ".join(sizes),
            expected="one size",
            fix="load(path, size=32) scales all of them to 32 x 32",
        )
    colored = any(image.ndim == 3 for image in found)
    return np.stack([np.repeat(image[..., None], 3, 2) if colored and image.ndim == 2 else image for image in found])


def read(path: pathlib.Path, size: int | None = None) -> NDArray[np.uint8]:
    """One image, `(height, width)` where it is gray and `(height, width, 3)` where it is not."""
    try:
        with Image.open(path, formats=_formats()) as opened:
            if opened.width * opened.height > PIXELS or opened.mode in DEEP:
                raise DataError(
                    "HF110",
                    f"The image {path.name!r} is too large or too deep",
                    seen=f"{opened.width} x {opened.height}, mode {opened.mode}",
                    expected=f"at most {PIXELS} pixels of 8 bits",
                    fix="convert it to an 8-bit PNG",
                )
            picture = opened.convert("L" if opened.mode in ("1", "L", "LA") else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "HF110",
            f"The image {path.name!r} cannot be read",
            seen=type(error).__name__,
            expected="an image",
            fix="remove the file, or put a good copy in its place",
        ) from error
    return np.asarray(picture if size is None else picture.resize((size, size), Image.Resampling.BILINEAR))


def facts(path: str) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    """What a child process says of an image on trial, see `core.trial`.

    Raises:
        DataError: HF110 as `read` does.
    """
    image = read(pathlib.Path(path))
    yield pathlib.Path(path).name, image.shape, "uint8", image.size


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(form for form in Image.ID if form not in PROGRAMS)
