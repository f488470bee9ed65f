"""Stop when a question is answered: a mixture e-process (J. Ville, 1939; H. Robbins, Ann. Math. Stat. 41, 1970).

Samples come in random order, k of the first n hold. Against "the rate is at most t" bet on every larger rate p alike:

    E = average over p in (t, 1) of  (p / t)^k ((1 - p) / (1 - t))^(n - k)

Where the rate is at most t, E is a wealth that shrinks on average, so it ever reaches 1 / alpha with probability alpha
at most, however often and whenever one looks. A fixed-n interval, looked at again and again, does not give that.
"""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Literal

from holdfast.core.errors import UsageError
from holdfast.evaluation.statistics import Rate

FIRST, GROWTH = 32, 1.5
FORM = re.compile(r"\s*(clean_accuracy|empirical_robust_accuracy)\s*(>=|<=)\s*([0-9.]+(?:e-?[0-9]+)?)\s*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """`empirical_robust_accuracy >= 0.5`: is the rate on that side of the threshold?"""

    metric: Literal["clean_accuracy", "empirical_robust_accuracy"]
    operator: Literal[">=", "<="]
    threshold: float

    def __str__(self) -> str:
        short = f"{self.threshold:g}"
        return f"{self.metric} {self.operator} {short if float(short) == self.threshold else repr(self.threshold)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What k of n samples say about a question, valid although one looked before and may look again.

    Args:
        answer: `yes`, `no`, or `undecided`.
        evidence: The larger of the two e-values, for yes and for no; from 1 / alpha on it decides.
        low, high: The interval that holds the rate at all looks at once, with the probability `level`.
    """

    answer: Literal["yes", "no", "undecided"]
    evidence: float
    low: float
    high: float
    level: float = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """A question that the run was to decide, and when it stopped.

    Args:
        question: Such as `empirical_robust_accuracy >= 0.5`.
        answer: `yes`, `no`, or `undecided` after all samples that were allowed.
        rate: The rate it is about, with an interval that holds at every look.
        looks: After how many samples the run looked.
        evidence: The e-value; 20 or more decides, with at most 5 wrong answers of 100.
        text: The same in a sentence.
    """

    question: str
    answer: Literal["yes", "no", "undecided"]
    rate: Rate
    looks: tuple[int, ...]
    evidence: float
    text: str


def parse(text: str) -> Question:
    """The question in a text.

    Raises:
        UsageError: HF826 for a text that is none.
    """
    found = FORM.fullmatch(text) if isinstance(text, str) else None
    try:
        threshold = float(found[3]) if found else math.nan
    except ValueError:
        threshold = math.nan
    if found is None or not 0 < threshold < 1:
        raise UsageError(
            "HF826",
            "This is no question that samples can decide",
            seen=repr(text)[:80],
            expected="a metric, >= or <=, a threshold between 0 and 1",
            fix='--decide "empirical_robust_accuracy >= 0.5"',
        )
    return Question(metric=found[1], operator=found[2], threshold=threshold)  # type: ignore[arg-type]


def looks(total: int) -> Iterator[int]:
    """How many samples to have seen at each look: 32, half as many more each time, at last all."""
    n = FIRST
    while n < total:
        yield n
        n = math.ceil(GROWTH * n)
    yield total


def judge(question: Question, k: int, n: int, level: float = 0.95) -> Answer:
    """Answer the question, each answer wrong with probability 1 - level at most, over all looks together."""
    above, below = evidence(k, n, question.threshold), evidence(n - k, n, 1 - question.threshold)
    wall = -math.log(1 - level)
    says: Literal["yes", "no", "undecided"] = "undecided"
    if max(above, below) >= wall:
        says = "yes" if (above >= below) == (question.operator == ">=") else "no"
    low, high = confidence(k, n, level)
    return Answer(answer=says, evidence=math.exp(min(max(above, below), 700.0)), low=low, high=high, level=level)


def evidence(k: int, n: int, threshold: float) -> float:
    """Logarithm of the e-value against "the rate is at most the threshold"."""
    from scipy.special import betaincc, betaln

    a, b, t = k + 1, n - k + 1, threshold
    tail = float(betaincc(a, b, t))
    if tail <= 0:
        return -math.inf
    return float(betaln(a, b)) + math.log(tail) - math.log1p(-t) - k * math.log(t) - (n - k) * math.log1p(-t)


def confidence(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """All rates that neither side's e-process has refuted at (1 - level) / 2: valid at every look."""
    return _lower(k, n, level), 1 - _lower(n - k, n, level)


def _lower(k: int, n: int, level: float) -> float:
    from scipy.optimize import brentq

    wall = -math.log((1 - level) / 2)
    if k == 0:
        return 0.0
    edge = k / n if k < n else 1 - 1e-12
    if evidence(k, n, edge) >= wall:
        return edge
    return float(brentq(lambda t: evidence(k, n, t) - wall, 1e-12, edge, xtol=1e-12))
