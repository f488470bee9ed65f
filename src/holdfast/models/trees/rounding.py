"""Where a comparison flips, to the last float of the input's own type."""

import numpy as np
from numpy.typing import NDArray

FIRST_ABOVE_FLOAT32 = float(2**128 - 2**103)
"""The smallest number that rounds to an infinite float32."""


def last_left(threshold: NDArray[np.float64], strict: bool, compared: str, given: str) -> NDArray[np.float64]:
    """The largest input that a comparison with each threshold sends left, `(nodes,)`.

    Args:
        threshold: `(nodes,)`.
        strict: Whether the comparison is `<` instead of `<=`.
        compared: The type that inputs are rounded to before they are compared.
        given: The type of the inputs.
    """
    with np.errstate(over="ignore"):
        last = _last(threshold, strict, compared if given == "float64" else given)
        if compared == "float64" or given == "float32":
            return last
        narrow = last.astype(np.float32)
        above = np.nextafter(narrow, np.float32(np.inf)).astype(np.float64)
    middle = np.where(np.isinf(above), FIRST_ABOVE_FLOAT32, (narrow.astype(np.float64) + above) / 2)
    with np.errstate(over="ignore"):
        kept = middle.astype(np.float32) <= narrow  # the middle rounds to the even one of its neighbors
    return np.where(np.isinf(last), last, np.where(kept, middle, np.nextafter(middle, -np.inf)))


def _last(threshold: NDArray[np.float64], strict: bool, dtype: str) -> NDArray[np.float64]:
    """The largest number of a type that is below each threshold, or at it where the comparison is not strict."""
    kind = np.dtype(dtype).type
    near = threshold.astype(dtype)
    beyond = near.astype(np.float64) >= threshold if strict else near.astype(np.float64) > threshold
    return np.where(beyond, np.nextafter(near, kind(-np.inf)), near).astype(np.float64)
