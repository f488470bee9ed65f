"""The policy of a gate, `holdfast.toml`: what a run must show, as data. The file is read with limits, never run."""

import contextlib
import dataclasses
import difflib
import json
import pathlib
import re
import tomllib
from collections.abc import Callable
from typing import Annotated, Literal

import pydantic

from holdfast.core.errors import ThreatError, UsageError
from holdfast.evaluation.document import adapter

LIMIT = 64 * 1024  # bytes; a policy is a page
HEADER = re.compile(r"""^\s*\[\[\s*(?:gate|"gate"|'gate')\s*\]\]""")
EXAMPLE = '[[gate]] metric = "empirical_robust_accuracy" at_least = 0.45'

Share = Annotated[float, pydantic.Field(ge=0, le=1, allow_inf_nan=False)]
_STRICT = pydantic.ConfigDict(extra="forbid")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """One `[[gate]]` of the policy: a least value, a largest drop, or a largest share of the hardest samples.

    Args:
        metric: `clean_accuracy` or `empirical_robust_accuracy`; or `hardest_lost`: of the samples that a baseline held
            most narrowly, those that are lost now (`--hardest-of`).
        threat: Literal of the threat; empty for the worst case over all threats of the run.
        at_least: What the rate must reach.
        bound: What is compared with `at_least`: the lower end of the rate's interval, or the rate itself.
        at_most: Of `hardest_lost`, the largest share; these samples were chosen, so there is no interval.
        max_regression: Drop against the baseline, as a share, from which a significant one fails.
        alpha: Level of the paired test for `max_regression`.
        level: `error` fails the gate, `warn` only says so, `off` is not checked.
        name: What the rule is called in reports; without it, it is made from the fields above.
    """

    __pydantic_config__ = _STRICT

    metric: Literal["clean_accuracy", "empirical_robust_accuracy", "hardest_lost"]
    threat: Annotated[str, pydantic.Field(max_length=200)] = ""
    at_least: Share | None = None
    bound: Literal["low", "point"] = "low"
    at_most: Share | None = None
    max_regression: Share | None = None
    alpha: Annotated[float, pydantic.Field(gt=0, lt=0.5)] = 0.05
    level: Literal["error", "warn", "off"] = "error"
    name: Annotated[str, pydantic.Field(max_length=200)] = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The table `[policy]`.

    Args:
        require: What the run must be; a gate on a run that is not has exit code 3 or 4.
        advisory: Failures are told and do not fail: for the first weeks.
    """

    __pydantic_config__ = _STRICT

    require: tuple[Literal["complete", "trustworthy"], ...] = ("complete", "trustworthy")
    advisory: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """The file as it is written."""

    __pydantic_config__ = _STRICT

    gate: tuple[Rule, ...] = ()
    policy: Settings = dataclasses.field(default_factory=Settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy that was read: its rules, and the line on which each begins."""

    path: str
    rules: tuple[Rule, ...]
    lines: tuple[int, ...]
    require: tuple[str, ...]
    advisory: bool


_FIELDS = {
    "": tuple(f.name for f in dataclasses.fields(Document)),
    "gate": tuple(f.name for f in dataclasses.fields(Rule)),
    "policy": tuple(f.name for f in dataclasses.fields(Settings)),
}


def read(path: pathlib.Path, spell: Callable[[str], str] | None = None) -> Policy:
    """The policy in a file.

    Args:
        path: The file.
        spell: What brings a threat into the one spelling, and makes nothing of what is none; the threats' own parser,
            which loads tensors, unless given.

    Raises:
        UsageError: HF822 where the file cannot be read as TOML, HF823 where it says something impossible.
    """
    text = _text(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, tomllib.TOMLDecodeError) else type(error).__name__
        raise _unreadable(path, why, "TOML 1.0") from error
    if isinstance(values.get("gate"), dict):
        raise UsageError(
            "HF823",
            f"'{path}' has one table [gate]",
            expected="a list of rules, each with two brackets",
            fix="[[gate]]",
        )
    try:
        document: Document = adapter(Document).validate_json(json.dumps(values, default=str), strict=True)
    except pydantic.ValidationError as error:
        raise _impossible(path, error) from error
    if not document.gate:
        raise UsageError(
            "HF823", f"'{path}' has no rule, so it would pass everything", expected="[[gate]]", fix=EXAMPLE
        )
    if all(rule.level == "off" for rule in document.gate):
        raise UsageError(
            "HF823",
            f"Every rule of '{path}' is off, so it would pass everything",
            expected="a rule of level error or warn",
            fix='level = "warn"',
        )
    rules = tuple(_checked(rule, place, spell or _spelled) for place, rule in enumerate(document.gate, 1))
    lines = [number for number, line in enumerate(text.splitlines(), 1) if HEADER.match(line)]
    return Policy(
        path=str(path),
        rules=rules,
        lines=tuple(lines) if len(lines) == len(rules) else (1,) * len(rules),
        require=document.policy.require,
        advisory=document.policy.advisory,
    )


def _text(path: pathlib.Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or "nothing", "a file") from error
    if len(data) > LIMIT:
        raise _unreadable(path, f"more than {LIMIT // 1024} KiB", f"at most {LIMIT // 1024} KiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"byte {error.start} is no UTF-8", "UTF-8 text") from error


def _unreadable(path: pathlib.Path, seen: str, expected: str) -> UsageError:
    return UsageError(
        "HF822",
        f"The policy '{path}' cannot be read",
        seen=seen,
        expected=expected,
        fix="holdfast gate RUN --policy FILE",
    )


def _impossible(path: pathlib.Path, error: pydantic.ValidationError) -> UsageError:
    """The first complaint, with its place and, for an unknown key, the nearest known one."""
    first = error.errors()[0]
    loc = first["loc"]
    places = [f"[[gate]] number {part + 1}" if isinstance(part, int) else str(part) for part in loc]
    place = " ".join(p for p in places if p != "gate") or "gate"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _FIELDS[str(loc[0]) if len(loc) > 1 else ""]
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        return UsageError(
            "HF823",
            f"'{path}' has an unknown key",
            seen=place,
            expected=", ".join(known),
            fix=f"did you mean {near[0]}?" if near else "remove it",
        )
    return UsageError("HF823", f"'{path}' says something impossible", seen=f"{place}: {first['msg']}", fix=EXAMPLE)


def _checked(rule: Rule, place: int, spell: Callable[[str], str]) -> Rule:
    """The rule with its threat in the one spelling.

    Raises:
        UsageError: HF823 where fields contradict each other, or the threat is none.
    """
    why = ""
    if rule.metric == "hardest_lost" or rule.at_most is not None:
        fields = ("threat", "at_least", "max_regression", "bound", "alpha")
        plain = all(getattr(rule, name) == getattr(Rule(metric=rule.metric), name) for name in fields)
        if rule.metric != "hardest_lost" or rule.at_most is None or not plain:
            why = "mixes at_most, which goes with metric hardest_lost alone, and the fields of another rule"
    elif (rule.at_least is None) == (rule.max_regression is None):
        why = "needs one of at_least and max_regression, not both"
    elif rule.threat and rule.metric == "clean_accuracy":
        why = "has a threat, and clean accuracy is measured before any attack"
    elif rule.max_regression is not None and rule.bound != "low":
        why = "has a bound, which goes with at_least"
    elif rule.at_least is not None and rule.alpha != 0.05:
        why = "has an alpha, which goes with max_regression"
    literal = spell(rule.threat) if rule.threat else ""
    if rule.threat and not literal:
        why = f"has a threat that is none: {rule.threat!r}"
    if why:
        raise UsageError("HF823", f"[[gate]] number {place} {why}", fix=EXAMPLE)
    return dataclasses.replace(rule, threat=literal)


def _spelled(threat: str) -> str:
    """A threat in the one spelling, empty where it is none."""
    from holdfast.threats.literals import parse  # policies without threats need no tensors

    with contextlib.suppress(ThreatError):
        return parse(threat).literal
    return ""
