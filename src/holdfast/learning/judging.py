"""What a training is judged by after every epoch, and the alarms that read the judgments.

Robust overfitting: Rice, Wong and Kolter, "Overfitting in adversarially robust deep learning", ICML 2020,
arXiv:2002.11569.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from holdfast.core.params import Count, NonNegative, check


@dataclasses.dataclass(frozen=True)
class Judged:
    """What the validation part said after an epoch.

    Args:
        score: Share of the samples that hold; the epoch is chosen by it.
        samples: How many were asked.
        easy: Share that holds against a weaker attack; NaN where none was asked for.
    """

    score: float
    samples: int
    easy: float = math.nan


@dataclasses.dataclass(frozen=True)
class Alert:
    """What an alarm says.

    Args:
        text: One line.
        code: Its stable code, or empty.
        stop: Whether the training ends here, with the best epoch so far.
    """

    text: str
    code: str = ""
    stop: bool = False


Alarm = Callable[[Sequence[Judged]], Alert | None]  # all epochs so far, the last one new
Hook = TypeVar("Hook")


def present(hook: Hook, epochs: Sequence[Judged]) -> Hook:
    """A hook as the judgments so far make it: what its method `after` returns, itself where it has none.

    So a training changes with what its validation says, and a resumed one is the same: judgments are in its checkpoint.
    """
    found: Hook = hook.after(epochs) if hasattr(hook, "after") else hook
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overfitting:
    """Warn once where the score has stayed clearly below its best for several epochs in a row.

    Args:
        epochs: How many.
        errors: How far below: binomial standard errors of the difference.
    """

    epochs: Count = 3
    errors: NonNegative = 2.0

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, epochs: Sequence[Judged]) -> Alert | None:
        """An alert in the epoch that completes the row."""
        best = max(range(len(epochs)), key=lambda k: epochs[k].score)
        after = epochs[best + 1 :]
        row = 0
        for one in reversed(after):
            if not fell(epochs[best], one, self.errors):
                break
            row += 1
        if row != self.epochs:
            return None
        return Alert(
            f"overfitting: {self.epochs} epochs in a row hold fewer validation samples than epoch {best + 1}, "
            f"{after[-1].score:.1%} after {epochs[best].score:.1%} (n = {after[-1].samples})",
            "HF262",
        )


def fell(before: Judged, now: Judged, errors: float) -> bool:
    """Whether the score fell by more than so many binomial standard errors of the difference of the two shares."""
    return _fell(before.score, before.samples, now.score, now.samples, errors)


def fell_easily(before: Judged, now: Judged, errors: float) -> bool:
    """The same of the share that holds against the weaker attack."""
    return _fell(before.easy, before.samples, now.easy, now.samples, errors)


def _fell(before: float, asked: int, now: float, asked_now: int, errors: float) -> bool:
    variance = before * (1 - before) / asked + now * (1 - now) / asked_now
    return before - now > errors * math.sqrt(variance)
