"""One door to data: `load("digits")`, `load("gtsrb")`, `load("photos/")`, `load("samples.npz")`."""

import difflib
import os
import pathlib
from collections.abc import Callable
from typing import Any, overload

from holdfast.core.errors import DataError
from holdfast.data import archives, builtin, folders, road_signs, shelf
from holdfast.data.dataset import Dataset, Splits

BUILTIN: dict[str, Callable[[], Splits]] = {
    "digits": builtin.digits,
    "breast_cancer": builtin.breast_cancer,
    "wine": builtin.wine,
    "road_signs": road_signs.splits,
}


@overload
def load(
    source: str | os.PathLike[str], bounds: Any = None, split: None = None, *, size: int | None = None
) -> Splits: ...
@overload
def load(source: str | os.PathLike[str], bounds: Any = None, *, split: str, size: int | None = None) -> Dataset: ...
def load(
    source: str | os.PathLike[str], bounds: Any = None, split: str | None = None, *, size: int | None = None
) -> Splits | Dataset:
    """Data by name or path; names come first, so write `./digits` for a folder of that name.

    Images of 8 bits become float32 in [0, 1]; with `bounds=(0, 255)` they keep their units.

    Args:
        source: A built-in name, a set in the folder that `HOLDFAST_DATA` names, a folder, or an `.npz` file.
        bounds: Lowest and highest possible value, where the source does not say.
        split: Only this part, "train", "val" or "test".
        size: Height and width that images of a folder are scaled to, in pixels.

    Raises:
        DataError: HF107 unknown, HF108 no such part, HF110 unreadable, HF111 refused pickle, HF112 categories.
    """
    found = _found(str(source), bounds, size)
    return found if split is None else found.part(split)


def names() -> tuple[str, ...]:
    """Every name that `load` takes here: built in, and in the folder that `HOLDFAST_DATA` names."""
    return tuple(sorted({*BUILTIN, *shelf.names()}))


def _found(source: str, bounds: Any, size: int | None) -> Splits:
    if source in BUILTIN:
        return _rescaled(BUILTIN[source](), bounds)
    if source in shelf.names():
        return shelf.load(source, bounds)
    path = pathlib.Path(source)
    if path.is_dir():
        return folders.load(path, bounds, size)
    if path.is_file() and path.suffix == ".npz":
        return archives.load(path, bounds)
    if path.exists():
        raise DataError(
            "HF110",
            f"The file {path.name!r} is of no kind that is read",
            seen=path.suffix or "no suffix",
            expected="a folder or an .npz file",
            fix="np.savez('data.npz', x=x, y=y)",
        )
    near = difflib.get_close_matches(source, names(), 1)
    raise DataError(
        "HF107",
        f"There are no data called {source!r}",
        expected=f"one of {', '.join(names())}, or a path",
        fix=f"did you mean {near[0]}?" if near else "set HOLDFAST_DATA to your folder of data sets",
    )


def _rescaled(found: Splits, bounds: Any) -> Splits:
    """A built-in set knows its bounds; other ones are an error, not a wish."""
    own = found.test.bounds
    if bounds is not None and tuple(bounds) != tuple(own):
        raise DataError(
            "HF103", "A built-in set has bounds of its own", seen=bounds, expected=own, fix="leave bounds away"
        )
    return found
