"""Compilation of plain loops with numba, where it is installed."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

COMPILES = importlib.util.find_spec("numba") is not None
"""Whether the extra `trees` is there; without it the same functions run as Python, to the same bits."""

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""No threads, no relaxed arithmetic: sums keep their order and rounding. And no door from C, which nobody uses."""


def compiled(function: F) -> F:
    """A function of numbers and arrays, compiled at its first call and kept on disk for the next process."""
    if not COMPILES:
        return function
    njit: Any = importlib.import_module("numba").njit
    try:
        return cast(F, njit(cache=True, **OPTIONS)(function))
    except RuntimeError:  # no folder that a compiled function could be kept in
        return cast(F, njit(**OPTIONS)(function))


def inner(function: F) -> F:
    """The same for what only compiled functions of its own file call: kept within them, without a door of its own."""
    if not COMPILES:
        return function
    njit: Any = importlib.import_module("numba").njit
    return cast(F, njit(no_cpython_wrapper=True, **OPTIONS)(function))
