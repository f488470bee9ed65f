"""How long an audit may still take, while it runs: what a pass cost so far, times the passes that are left.

A plan bounds the cost from above: as if every sample withstood every attack (`plan.estimate`). Once attacks have run,
more is known: how many samples they left, and what a pass takes. Samples that are left are those that withstand, so
each of them is taken for the whole length of every attack that follows.
"""

import dataclasses
from collections.abc import Sequence

from holdfast.attacks.attack import Attack
from holdfast.evaluation.masking import limits
from holdfast.evaluation.plan import BACKWARD, passes

CURVED = 0.5  # of the passes of a curve's search: it halves what is left, and stops where a sample breaks
MASKED = 0.5  # of the passes of the masking battery: a sample that breaks in the first trial is spared most of them


@dataclasses.dataclass(eq=False)
class Pace:
    """What the parts so far took.

    Args:
        seconds: Of them all.
        passes: Forward passes of a sample in that time; a backward pass counts as two.
    """

    seconds: float = 0.0
    passes: float = 0.0

    def took(self, seconds: float, forwards: int, gradients: int = 0) -> None:
        """A part that sent so many rows through the model, and so many of them back."""
        self.seconds, self.passes = self.seconds + seconds, self.passes + forwards + BACKWARD * gradients

    def left(self, ahead: float) -> float:
        """Seconds of so many passes."""
        return ahead * self.seconds / max(1.0, self.passes)


@dataclasses.dataclass(frozen=True)
class Ahead:
    """What follows a stage.

    Args:
        attacks: Under the same threat, on the samples that are left.
        curve: What searches the smaller radii, and how many there are.
        whole: Attacks of later threats that begin with all right samples.
        right: Samples that were right.
        masked: Samples of the masking battery, once for each threat.
    """

    attacks: Sequence[Attack]
    curve: tuple[Attack, int]
    whole: Sequence[Attack] = ()
    right: int = 0
    masked: int = 0

    def passes(self, held: float) -> float:
        """Expected forward passes where so many of the right samples will be left."""
        attack, radii = self.curve
        searched = held * sum(map(passes, self.attacks)) + self.right * sum(map(passes, self.whole))
        curved = CURVED * radii * (self.right - held) * passes(attack)
        return searched + curved + MASKED * self.masked * limits.MOST


def expected(done: int, total: int, broken: int) -> float:
    """Of the samples of a stage, those that it will break, as those it has judged tell."""
    return broken + (total - done) * broken / done if done else 0.0
