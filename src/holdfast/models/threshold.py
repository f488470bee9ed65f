"""A class that is decided from a probability on, instead of by the highest score: fraud at 0.2 or more."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from holdfast.core.errors import ModelError, some

ULPS = 4
"""Roundings between log-odds and a probability, at most."""


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Class `column` is decided where its probability is `at` or more; else the most likely of the others is.

    Scores are cut so that their argmax is that decision. With z the logarithms of the probabilities, or logits:

        z[column] <- z[column] - log(sum over the others of exp(z)) - log(at / (1 - at))
        z[other]  <- z[other] - max over the others

    With two classes the other one has 0, and the margin is how far the log-odds lie from those of the threshold.

    Args:
        at: A probability above 0 and below 1.
        column: The class that is decided at it.
    """

    at: float
    column: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.at < 1:
            raise ModelError(
                "HF282",
                "A threshold is a probability",
                seen=f"{self.at:g}",
                expected="a number above 0 and below 1",
                fix="threshold=0.2 for class 1, threshold='fraud:0.2' for a class by its name",
            )

    @property
    def odds(self) -> float:
        """Logarithm of the odds at the threshold."""
        return math.log(self.at / (1 - self.at))

    def rounding(self, unit: float, largest: Any) -> Any:
        """How far from the threshold log-odds may lie that a rounded probability takes for it.

        Args:
            unit: Of rounding, of the type of the probabilities.
            largest: Magnitude of the scores.
        """
        return ULPS * unit * (1 / (self.at * (1 - self.at)) + largest + abs(self.odds))

    def cut(self, scores: Tensor, chance: Tensor | None = None) -> Tensor:
        """Scores whose argmax is the decision, `(batch, classes)`; differentiable.

        Args:
            scores: Logits or logarithms of probabilities, `(batch, classes)`.
            chance: The probability of the class as the model said it, `(batch,)`: it decides to the last bit. Without
                it the log-odds do.

        Raises:
            ModelError: HF282 where there is no such class.
        """
        c, classes = self.column, scores.shape[1]
        if c >= classes:
            raise ModelError(
                "HF282", "There is no class for the threshold", seen=f"class {c}", expected=f"0 to {classes - 1}"
            )
        others = torch.cat([scores[:, :c], scores[:, c + 1 :]], 1)
        own = scores[:, c] - others.logsumexp(1) - self.odds
        still, tiny = own.detach(), torch.finfo(own.dtype).tiny
        reached = still >= 0 if chance is None else chance >= self.at
        # the argmax gives ties to the lower class: the side of the threshold must show in the sign
        sided = torch.where(reached, still.clamp(min=tiny), still.clamp(max=-tiny))
        own = torch.where(still.isfinite(), sided + (own - still), own)[:, None]  # own + (sided - own) loses `tiny`
        rest = others - others.amax(1, keepdim=True)
        return torch.cat([rest[:, :c], own, rest[:, c:]], 1)

    def text(self, names: Sequence[str] = ()) -> str:
        """What `threshold_of` reads as this one where classes have these names, which may be numbers: of 1 and 7."""
        return f"{names[self.column] if self.column < len(names) else self.column}:{self.at!r}"

    def told(self, name: str = "") -> str:
        """What a report says of it."""
        who = f"class {self.column}" + (f" ({name})" if name and name != str(self.column) else "")
        return f"{who} is decided where its probability is at least {self.at:g}"


def threshold_of(told: Any, names: Sequence[str] = ()) -> Threshold:
    """A threshold from what was said: a number for class 1, or a class and a number.

    Args:
        told: `0.2`, `"0.2"`, `"fraud:0.2"`, `"0:0.2"`, or a Threshold. Names that are numbers go before numbers of
            classes: of the classes named 1 and 7, `"1:0.2"` speaks of the first.
        names: Of the classes, where they are known.

    Raises:
        ModelError: HF282 for anything else, and for a class that is not among the names.
    """
    if isinstance(told, Threshold):
        return told
    who, _, number = str(told).rpartition(":")
    who = who.strip()
    try:
        at = float("nan" if isinstance(told, bool) else number)
    except ValueError:
        at = math.nan
    if math.isnan(at):
        raise ModelError(
            "HF282",
            "A threshold that cannot be read",
            seen=repr(told)[:60],
            expected="a probability, with the class before it where it is not class 1",
            fix="0.2, or fraud:0.2",
        )
    if who in names:
        return Threshold(at, list(names).index(who))
    if who and not who.isdecimal():
        raise ModelError(
            "HF282",
            "There is no class of this name for the threshold",
            seen=repr(who)[:60],
            expected=some(names) or "the number of a class: this model does not know names",
        )
    return Threshold(at, int(who or 1))


def chance_of(raw: Tensor, column: int) -> Tensor:
    """The probability of a class in raw outputs that are probabilities, `(batch,)`; one column is that of class 1."""
    if raw.dim() == 1 or raw.shape[1] == 1:
        single = raw.detach().reshape(len(raw))
        return single if column == 1 else 1 - single
    return raw.detach()[:, column]
