"""What the battery found under one threat, and the record of a check that is made of it."""

import dataclasses
from collections.abc import Mapping, Sequence

from holdfast.evaluation.finals import View
from holdfast.evaluation.masking import battery
from holdfast.evaluation.masking.limits import allowed
from holdfast.evaluation.masking.trials import trials
from holdfast.evaluation.parts import Question
from holdfast.evaluation.rows import AnswerRow, DirectionRow, SlopeRow, TrialRow
from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import MaskingCheck
from holdfast.threats.threats import Threat

LATER = "the run stopped before this check"
SILENT = "not checked: the model gave no answer"


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """The rows of the battery under one threat.

    Args:
        view: What was asked for and what is committed.
        threat: The threat.
        sees: Fields of the model that may be asked under it.
        size: Numbers in an input.
        keys: The samples of the battery.
    """

    view: View
    threat: Threat
    sees: Sequence[str]
    size: int
    keys: Sequence[str]

    @property
    def ball(self) -> bool:
        """Whether the threat has a radius."""
        return self.threat.bounded and self.threat.radius > 0

    @property
    def answers(self) -> Mapping[str, AnswerRow]:
        """Key -> how the model answers it."""
        return self.view.parts.rows(battery.answers_question(self.view), AnswerRow)

    @property
    def slopes(self) -> Mapping[str, SlopeRow]:
        """Key -> its gradients."""
        return self.view.parts.rows(battery.slopes_question(self.view), SlopeRow)

    @property
    def directions(self) -> Mapping[str, DirectionRow]:
        """Key -> the gradient beside random directions."""
        return self.view.parts.rows(battery.directions_question(self.view, self.threat), DirectionRow)

    def trial(self, name: str) -> Mapping[str, TrialRow]:
        """Key -> what a small attack did."""
        return self.view.parts.rows(self.question(name), TrialRow)

    def question(self, name: str) -> Question:
        """What a small attack answers."""
        if name == "transfer":
            return battery.transfer_question(self.view, self.threat)
        return battery.trial_question(self.view, self.threat, trials(self.threat, self.sees)[name])

    def needed(self, name: str) -> list[str]:
        """The samples a small attack had to try."""
        found = trials(self.threat, self.sees)
        if name == "transfer":
            return battery.held(self.view, self.threat, found, self.keys)
        return battery.needs(self.view, self.threat, found, name, self.keys)

    def margin(self, key: str) -> float | None:
        """The lowest margin that the trials along the gradient found."""
        rows = [self.trial(name).get(key) for name in ("first", "doubled") if name in trials(self.threat, self.sees)]
        known = [row.margin for row in rows if row is not None and row.margin is not None]
        return min(known, default=None)

    def questions(self) -> list[Question]:
        """Everything that was asked under this threat."""
        names = [*trials(self.threat, self.sees), "transfer"]
        asked = [self.question(name) for name in names]
        return [battery.answers_question(self.view), battery.slopes_question(self.view),
                battery.directions_question(self.view, self.threat), *asked]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sort:
    """What is the same in every result of a check.

    Args:
        name: Of the check.
        words: The sign, after `k of n samples`.
        tolerated: Share of samples that may show it without masking.
        source: The paper.
        general: Whether it is about the model alone, not about a threat.
    """

    name: str
    words: str
    tolerated: float
    source: str
    general: bool = False

    def counted(self, e: Evidence, signs: Sequence[bool], n: int | None = None) -> MaskingCheck:
        """The check over samples that show the sign or not; `n` where samples count that need not be asked."""
        n = len(signs) if n is None else n
        if not n:
            return self.absent(e, "no sample to look at")
        k, most = sum(signs), allowed(n, self.tolerated)
        return MaskingCheck(
            name=self.name,
            threat="" if self.general else e.threat.literal,
            state="suspect" if k > most else "passed",
            text=f"{k} of {n} samples {self.words}; up to {most} are within chance",
            rate=rate(k, n, "samples of the battery"),
            allowed=most,
            source=self.source,
        )

    def absent(self, e: Evidence, why: str) -> MaskingCheck:
        """The check does not apply, or has nothing to rest on."""
        return self._without(e, "not_run" if why in (LATER, SILENT) else "not_applicable", why)

    def _without(self, e: Evidence, state: str, why: str) -> MaskingCheck:
        literal = "" if self.general else e.threat.literal
        return MaskingCheck(name=self.name, threat=literal, state=state, text=why, source=self.source)  # type: ignore[arg-type]
