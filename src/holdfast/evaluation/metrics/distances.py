"""How far the adversarial inputs are from the originals, in every norm."""

import math
import statistics
from collections.abc import Iterable

from holdfast.evaluation.summary import NORMS, Spread

DISTANCES = (*NORMS, "cost")
"""What a broken sample may have; a cost in tables alone."""


def spread(values: Iterable[float | None]) -> Spread | None:
    """Smallest, median and largest of the finite values; None where there is none."""
    found = sorted(v for v in values if v is not None and math.isfinite(v))
    if not found:
        return None
    return Spread(min=found[0], median=float(statistics.median(found)), max=found[-1], n=len(found))
