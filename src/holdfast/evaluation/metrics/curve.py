"""Empirical robust accuracy over the radius. It never rises: what breaks at a radius breaks at every larger one."""

from collections.abc import Mapping, Sequence

from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import CurvePoint

POINTS = 12


def curve(broken: Mapping[float, int], base: int, n: int, words: str) -> tuple[CurvePoint, ...]:
    """One point a radius, ascending.

    Args:
        broken: Radius -> samples broken at it.
        base: Samples that stand at radius 0.
        n: Denominator.
        words: What it is.
    """
    most, points = 0, []
    for radius in sorted({0.0, *broken}):
        most = max(most, broken.get(radius, 0))
        points.append(CurvePoint(radius=radius, rate=rate(base - most, n, words)))
    return tuple(points)


def from_distances(distances: Sequence[float], base: int, n: int, words: str) -> tuple[CurvePoint, ...]:
    """The curve of attacks that seek the nearest point: at up to twelve of the distances, evenly by rank."""
    ordered = sorted(distances)
    picked = {ordered[round(i * (len(ordered) - 1) / (POINTS - 1))] for i in range(POINTS)} if ordered else set()
    return curve({radius: sum(d <= radius for d in ordered) for radius in picked}, base, n, words)
