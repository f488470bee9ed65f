"""The batch files of CIFAR-10 (Krizhevsky, 2009): pickles, read without running anything in them."""

import io
import pathlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError


class Bytes:
    """Stands in for a numpy array while a pickle is read: its state is checked, not handed to numpy."""

    def __init__(self, *_: Any) -> None:
        self.values: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, Dtype) or dtype.code not in ("u1", b"u1", "|u1", b"|u1") or fortran not in (0, False):
            raise ValueError("the array holds something else than bytes in rows")
        self.values = np.frombuffer(bytes(raw), np.uint8).reshape(shape)


class Dtype:
    """Stands in for `numpy.dtype`."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Byte order and flags of a type of one byte say nothing."""


class Reader(pickle.Unpickler):
    """An unpickler that knows the names which rebuild numpy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name, or a refusal."""
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("numpy.core.multiarray", "_reconstruct"): Bytes,
            ("numpy._core.multiarray", "_reconstruct"): Bytes,
            ("numpy", "ndarray"): Bytes,
            ("numpy", "dtype"): Dtype,
            ("_codecs", "encode"): lambda text, _=None: text.encode("latin1"),
        }  # new each time: pickles may change it
        if (module, name) not in known:
            raise DataError(
                "HF111",
                "The pickle asks for more than arrays and was not opened",
                seen=f"{module}.{name}"[:80],
                expected="the names that rebuild numpy arrays",
            )
        return known[module, name]


def unpickled(path: pathlib.Path) -> dict[str, Any]:
    """The dictionary of one batch file, its keys as text and its arrays as bytes.

    Raises:
        DataError: HF110 for a damaged file, HF111 for one that asks for anything but arrays.
    """
    try:
        found = Reader(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in found.items()}
    except DataError:
        raise
    except (
        pickle.UnpicklingError,
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        ArithmeticError,
        EOFError,
        RecursionError,
        MemoryError,
        OSError,
    ) as error:
        raise DataError(
            "HF110",
            f"The file {path.name!r} is no CIFAR-10 batch",
            seen=str(error)[:100],
            expected="a pickled dictionary of data and labels",
        ) from error


def facts(path: str) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    """What a child process says of a batch on trial, see `core.trial`.

    Raises:
        DataError: HF110 or HF111 as `unpickled` does.
    """
    for name, value in unpickled(pathlib.Path(path)).items():
        if isinstance(value, Bytes) and value.values is not None:
            yield name, value.values.shape, "uint8", value.values.size
