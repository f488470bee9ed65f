"""What model cards claim: accuracies in the `model-index` of a card's YAML head, as the Hugging Face Hub keeps them."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import yaml

from holdfast.core.errors import UsageError
from holdfast.evaluation.statistics import Rate
from holdfast.threats.written import spelled

LIMIT = 1 << 20  # bytes of a card
LONGEST = 10**18  # of a number for a name
ROBUST = ("robust_accuracy", "adversarial_accuracy", "adversarial_robustness")
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A number that somebody wrote into a card.

    Args:
        card: The file.
        model: Whom it is about, by the name in the card.
        data: Name or type of the data set, empty where the card does not say.
        threat: The threat's literal, empty for clean accuracy.
        value: The share that is claimed.
    """

    card: str
    model: str
    data: tuple[str, ...]
    threat: str
    value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
    """A claim beside what was measured.

    Args:
        value: The share that the card claims.
        state: `refuted` where it lies above the interval of the measurement, which for a threat is that of an upper
            bound; `lower` where it lies below; `agrees` inside.
        card: The file.
    """

    value: float
    state: Literal["refuted", "agrees", "lower"]
    card: str


def read(path: pathlib.Path) -> tuple[Claim, ...]:
    """The claims of a card, Markdown with a YAML head.

    A metric of type `accuracy` is clean accuracy; one of `robust_accuracy` or `adversarial_accuracy` counts where its
    `args` name a `threat`, or a `norm` and `eps`. Values above 1 are percent.

    Raises:
        UsageError: HF837 where the file cannot be read or has no YAML head.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
        text = data.decode("utf-8")
        front = _FRONT.match(text) if len(data) <= LIMIT else None
        head = yaml.safe_load(front[1]) if front else None
    except (OSError, ValueError, yaml.YAMLError, LookupError, AttributeError, RecursionError) as error:
        # LookupError, AttributeError: PyYAML on values that are not of their tag, `!!bool x`, `!!timestamp x`
        raise _unreadable(path, type(error).__name__) from error
    if not isinstance(head, dict):
        raise _unreadable(path, "no YAML head")
    return tuple(_claims(head.get("model-index"), str(path)))


def _claims(index: Any, card: str) -> Iterator[Claim]:
    for model in _mappings(index):
        for result in _mappings(model.get("results")):
            dataset = result.get("dataset")
            names = [dataset.get("name"), dataset.get("type")] if isinstance(dataset, dict) else []
            data = tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))
            for metric in _mappings(result.get("metrics")):
                threat, value = _threat(metric), _share(metric.get("value"))
                if threat is not None and value is not None:
                    yield Claim(card=card, model=_word(model.get("name")), data=data, threat=threat, value=value)


def _word(found: Any) -> str:
    """A text or a number as text; empty for aliases that no memory holds, and numbers of more digits than are read."""
    if isinstance(found, int) and abs(found) >= LONGEST:
        return ""
    return str(found) if isinstance(found, str | int | float) else ""


def _mappings(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _threat(metric: Mapping[str, Any]) -> str | None:
    """Literal of the metric's threat, empty for clean accuracy, None where it is another metric or does not say."""
    kind, args = _word(metric.get("type")).lower().replace(" ", "_"), metric.get("args")
    if kind == "accuracy":
        return ""
    if kind not in ROBUST or not isinstance(args, dict):
        return None
    told = _word(args.get("threat")) or f"{_word(args.get('norm'))}:{_word(args.get('eps'))}"
    return spelled(told) or None


def _share(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # nor NaN
        return None
    return round(value / 100, 9) if value > 1 else float(value)


def verified(claims: tuple[Claim, ...], model: str, data: str, threat: str, measured: Rate) -> Verified | None:
    """The claim about a model under a threat (empty: clean) beside a measurement; None where there is none.

    Args:
        claims: Of all cards, those that come first count.
        model: Name of the model, as in the run and in the card.
        data: Name of the data; a claim about other data is none about these.
        threat: Literal, empty for clean accuracy.
        measured: What a run found.
    """
    for claim in claims:
        same = not claim.data or data.casefold() in (name.casefold() for name in claim.data)
        if claim.model == model and claim.threat == threat and same:
            state: Literal["refuted", "agrees", "lower"] = "agrees"
            if claim.value > measured.high + 1e-9:
                state = "refuted"
            elif claim.value < measured.low - 1e-9:
                state = "lower"
            return Verified(value=claim.value, state=state, card=claim.card)
    return None


def _unreadable(path: pathlib.Path, seen: str) -> UsageError:
    return UsageError(
        "HF837",
        f"'{path}' is no model card that can be read",
        seen=seen,
        expected="Markdown with a YAML head between two lines of ---",
        fix="holdfast export card RUN -o README.md writes one",
    )
