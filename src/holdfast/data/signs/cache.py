"""Rendered parts kept on disk, only where `HOLDFAST_CACHE_DIR` names a folder: rendering anew costs seconds."""

import hashlib
import io
import os
import pathlib
from collections.abc import Callable

import numpy as np
import torch

from holdfast.core.errors import DataError
from holdfast.core.files import write_atomic, writing
from holdfast.data import archives
from holdfast.data.dataset import Dataset


def kept(render: Callable[[int, int], Dataset], n: int, seed: int) -> Dataset:
    """`render(n, seed)`, read from disk where it was kept there before; a damaged file is rendered anew.

    The name of the file holds a digest of the renderer's own code and torch's version, so nothing stale is ever read.
    """
    folder = os.environ.get("HOLDFAST_CACHE_DIR")
    if not folder:
        return render(n, seed)
    path = pathlib.Path(folder) / f"road_signs-{recipe()}-{seed}-{n}.npz"
    try:
        arrays = archives.read(path) if path.is_file() else {}
    except DataError:
        arrays = {}
    empty = render(0, seed)
    if {"x", "y", "masks"} <= set(arrays):
        x = torch.from_numpy(arrays["x"]).float() / 255
        return Dataset(
            x, arrays["y"], classes=empty.classes, masks=arrays["masks"], name=empty.name, license=empty.license
        )
    made, file = render(n, seed), io.BytesIO()
    np.savez_compressed(
        file,
        x=(made.x * 255).round().byte().numpy(),
        y=made.y.numpy(),
        masks=made.masks.numpy() if made.masks is not None else np.zeros(0),
    )
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, file.getvalue())
    return made


def recipe() -> str:
    """A digest of all that decides what the pictures look like."""
    here = pathlib.Path(__file__).parent
    made = hashlib.blake2b(torch.__version__.encode(), digest_size=8)
    for file in sorted([*here.glob("*.py"), here.parent / "road_signs.py"]):
        made.update(file.read_bytes())
    return made.hexdigest()
