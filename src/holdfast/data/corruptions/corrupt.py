"""A data set under one of the common corruptions."""

import dataclasses
import difflib

import torch

from holdfast.core.errors import DataError, ParameterError
from holdfast.data.corruptions.table import CORRUPTIONS
from holdfast.data.dataset import Dataset
from holdfast.geometry.draw import Draw
from holdfast.threats.space import Box

SEVERITIES = (1, 2, 3, 4, 5)
ROWS = 256  # pictures at once


def corrupt(dataset: Dataset, name: str, severity: int, seed: int = 0) -> Dataset:
    """The pictures of a data set as rain, a bad lens or a bad file would leave them; labels and ids stay.

    Pictures with a side of at most 64 pixels take the published numbers of CIFAR-10-C, larger ones those of ImageNet-C.
    Random numbers belong to the sample and the seed: a picture is corrupted in the same way in any company. Values are
    not rounded to 8 bits, where the published sets are; `frost` lays a texture of our own over the picture, where the
    published one takes photographs.

    Args:
        dataset: Pictures `(n, channels, height, width)` between two bounds.
        name: One of `gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost
            fog brightness contrast elastic_transform pixelate jpeg_compression`.
        severity: 1 (weak) to 5 (strong).
        seed: Of the random numbers.

    Raises:
        DataError: HF102 where the samples are no pictures.
        ParameterError: HF001 for an unknown name or severity.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        close = difflib.get_close_matches(name, CORRUPTIONS, 1, cutoff=0)[0]
        wanted = ", ".join(CORRUPTIONS) if name not in CORRUPTIONS else "a severity of 1 to 5"
        raise ParameterError(
            "HF001",
            "There is no such corruption",
            seen=f"{name} {severity}",
            expected=wanted,
            fix=f"{close}, severity 3",
        )
    x = dataset.x
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        raise DataError(
            "HF102",
            "Common corruptions are changes of pictures",
            seen=f"samples of shape {tuple(x.shape[1:])}",
            expected="(1 or 3 channels, height, width)",
        )
    kind, (low, high) = CORRUPTIONS[name], Box(dataset.bounds).limits(x[:1])
    ids = torch.arange(len(x)) if dataset.ids is None else dataset.ids
    made = []
    for rows in torch.split(torch.arange(len(x)), ROWS):
        draw = Draw(seed, f"{name}/{severity}", ids[rows].tolist(), x)
        shown = (x[rows] - low) / (high - low)
        made.append(low + (high - low) * kind.apply(shown, draw, *kind.numbers(severity, max(x.shape[2:]))))
    return dataclasses.replace(dataset, x=torch.cat(made), name=f"{dataset.name} under {name} {severity}")
