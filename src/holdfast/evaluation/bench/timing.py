"""Two sides taken in turn, A B A B, so that whatever else the machine does falls on both."""

import dataclasses
import statistics
from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
Clock = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Timed(Generic[A]):
    """What one side gave last, and the seconds of every repetition."""

    value: A
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the seconds."""
        return statistics.median(self.seconds)


def alternated(
    first: Callable[[], A], second: Callable[[A], B], repeat: int, clock: Clock
) -> tuple[Timed[A], Timed[B]]:
    """Both sides in turn, `repeat` times.

    Args:
        first: One side.
        second: The other; it is given what the first side has just returned.
        repeat: How often each runs.
        clock: Seconds, read before and after each.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        began = clock()
        one = first()
        seconds[0].append(clock() - began)
        began = clock()
        other = second(one)
        seconds[1].append(clock() - began)
    return Timed(one, tuple(seconds[0])), Timed(other, tuple(seconds[1]))


def over(one: float, other: float) -> float:
    """Their quotient; 0 where the clock saw nothing pass on the other side."""
    return one / other if other > 0 else 0.0
