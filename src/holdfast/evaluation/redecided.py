"""The answer of a run that was stopped by a question, given again from the rates that its parts say."""

import dataclasses

from holdfast.core.errors import UsageError
from holdfast.evaluation.decide import with_decision
from holdfast.evaluation.derive import Concluded
from holdfast.evaluation.journal import words_of
from holdfast.evaluation.sequential import Decision, Question, judge, looks, parse
from holdfast.evaluation.summary import Summary


def redecided(summary: Summary, made: Concluded) -> tuple[Concluded, Decision | None]:
    """The conclusions as the decision leaves them, and the decision; as they were where nothing can be decided."""
    question = None if summary.decision is None else asked(summary.decision.question)
    rate = None if question is None else getattr(made.rates, question.metric)
    if question is None or rate is None:
        return made, None
    plain = dataclasses.replace(summary, rates=made.rates, threats=made.threats, verdict=made.verdict)
    found = with_decision(plain, question, judge(question, rate.k, rate.n), rate, tuple(looks(summary.data.n)))
    return dataclasses.replace(made, rates=found.rates, threats=found.threats, verdict=found.verdict), found.decision


def asked(text: str) -> Question | None:
    """The question, None for a text that is none."""
    try:
        return parse(text)
    except UsageError:
        return None


def commanded(command: str) -> Question | None:
    """The question of a command, None where it asks none."""
    words = words_of(command)
    after = [word.partition("=")[2] for word in words if word.startswith("--decide=")]
    after += [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--decide"]
    return asked(after[-1]) if after else None
