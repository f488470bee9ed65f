"""The verdict of the battery: no sign of masking, or suspect and why."""

from collections.abc import Mapping, Sequence
from typing import Literal

from holdfast.evaluation.finals import View
from holdfast.evaluation.masking.battery import subset
from holdfast.evaluation.masking.checks import GENERAL, UNDER_A_THREAT
from holdfast.evaluation.masking.evidence import Evidence
from holdfast.evaluation.parts import Question
from holdfast.evaluation.summary import Masking, MaskingCheck


def judged(view: View, sees: Mapping[str, Sequence[str]], size: int) -> tuple[Masking, list[Question]]:
    """The record of the battery, and the questions it rests on.

    Args:
        view: What was asked for and what is committed.
        sees: Literal of a threat -> fields of the model that may be asked under it.
        size: Numbers in an input.
    """
    keys = subset(view)
    found = [Evidence(view, threat, sees[threat.literal], size, keys) for threat in view.threats]
    most = max(found, key=lambda e: len(e.sees))
    checks = [check(most) for check in GENERAL] if keys else []
    checks += [check(e) for e in found for check in UNDER_A_THREAT] if keys else []
    asked = list(dict.fromkeys(q for e in found for q in e.questions()))
    commits = {c.part: c for q in asked for c in view.parts.commits_of(q)}.values()
    reasons = tuple(_reason(check) for check in checks if check.state == "suspect")
    return (
        Masking(
            state=_verdict(checks),
            reasons=reasons,
            samples=len(keys),
            checks=tuple(checks),
            forwards=sum(c.forwards for c in commits),
            seconds=sum(c.seconds for c in commits),
        ),
        asked,
    )


def _verdict(checks: Sequence[MaskingCheck]) -> Literal["no sign of masking", "suspect", "not checked"]:
    states = {check.state for check in checks}
    if "suspect" in states:
        return "suspect"
    return "no sign of masking" if "passed" in states and "not_run" not in states else "not checked"


def _reason(check: MaskingCheck) -> str:
    return check.text.partition(";")[0] + (f" (under {check.threat})" if check.threat else "")
