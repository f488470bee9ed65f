"""What hardening an estimator came to, as the document it writes."""

import dataclasses
from typing import Literal

from holdfast.evaluation.comparison import Comparison
from holdfast.evaluation.statistics import Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tried:
    """A recipe on the validation part.

    Args:
        recipe: As text; `as it is` for the model that learned like the given one.
        right: Validation rows that are right.
        held: Of the rows that were attacked, those that are right and that the attack does not break.
        rest: Rows of the other classes that are right, where only one class is attacked; None where all are.
        seconds: What learning and measuring took.
    """

    recipe: str
    right: Rate
    held: Rate
    rest: Rate | None
    seconds: float

    @property
    def score(self) -> float:
        """What the choice goes by: the share that holds; with one class attacked, its mean with the other classes'."""
        return self.held.point if self.rest is None else (self.held.point + self.rest.point) / 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trials:
    """What has been tried so far, so that an interrupted search goes on.

    Args:
        samples: Rows attacked in a round, as many as the budget was thought to hold; 0 before that is known.
        row_seconds: What attacking a row took.
        fit_seconds: What learning took.
        tried: In order, the model as it is first.
    """

    samples: int = 0
    row_seconds: float = 0.0
    fit_seconds: float = 0.0
    tried: tuple[Tried, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableChoice:
    """What an estimator is hardened by.

    Args:
        recipe: As text.
        budget: Seconds that learning may take; 0 for no limit.
        tried: Recipes on the validation part; empty where one was asked for.
        text: Why, in a sentence or two.
    """

    recipe: str
    budget: float
    tried: tuple[Tried, ...]
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfClass:
    """One class of the test part before and after: recall, and recall under attack."""

    name: str
    before: Rate
    after: Rate
    held_before: Rate
    held_after: Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """How many of the adversarial rows changed a column, before and after."""

    name: str
    before: int
    after: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """What broke a row, in words: `glucose 158 -> 154`; empty after, where it holds."""

    row: int
    before: str
    after: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hardening:
    """An estimator before and after.

    Args:
        model, made: Names; `kind` is the class of what came out.
        choice: The recipe and why.
        seconds: Of learning what was chosen.
        words: The threat in words.
        evade: The direction that was audited; empty for all rows.
        file: The model file; empty where none was written.
        trust: Whether opening it needs `--trust`.
        comparison: The audits, row by row.
        classes: Recall and recall under attack, by class.
        accuracy: All rows of the test part that are right, before and after, where only one class is attacked.
        exact: Rows of which the exact search proves that they are right and that nothing in the ball changes them,
            before and after; None where no exact search serves.
        columns: What attackers changed, the most frequent first; empty for what is no table.
        broken: Adversarial rows before and after.
        examples: Rows that broke before, with what broke them before and after; empty for unshared data.
        notes: What to know.
    """

    schema: Literal["urn:holdfast:hardening:1"] = "urn:holdfast:hardening:1"
    holdfast: str
    model: str
    made: str
    kind: str
    data: str
    split: str
    threat: str
    words: str
    evade: str
    suite: str
    choice: TableChoice
    seconds: float
    file: str
    trust: bool
    comparison: Comparison
    classes: tuple[OfClass, ...]
    accuracy: tuple[Rate, Rate] | None
    exact: tuple[Rate, Rate] | None
    columns: tuple[Column, ...]
    broken: tuple[int, int]
    examples: tuple[Example, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.comparison)
