"""Threats as text: `linf:8/255,knowledge=scores,queries=1000`, `table:features=3`."""

import difflib
import fractions
import math
from collections.abc import Callable, Iterable
from typing import Any

from holdfast.core.errors import ParameterError, ThreatError
from holdfast.threats.tables.measuring import MEASURES
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import L0, L1, L2, Linf, Threat

KINDS: dict[str, type[Threat]] = {kind.norm: kind for kind in (Linf, L2, L1, L0)}

FORM = (
    "name:radius[,knowledge=gradients|scores|labels][,queries=N]",
    "linf:8/255,knowledge=scores,queries=1000",
)
READ: dict[str, Callable[[str], Any]] = {"knowledge": str, "queries": int}
"""How the value of an option of a table threat is read; the others are radii."""

TABLE = (
    f"table:LIMIT=NUMBER[,...], limits of {', '.join(MEASURES)}[,knowledge=gradients|scores|labels][,queries=N]",
    "table:features=3,linf=0.5",
)


def parse_all(threat: Any) -> list[Threat]:
    """The threats of a literal, a Threat, or several of them.

    Raises:
        ThreatError: HF301 for none, an unknown name, or what is no threat; HF302 for a value that cannot be read.
    """
    threats = [threat] if isinstance(threat, str | Threat) else list(threat) if isinstance(threat, Iterable) else []
    if not threats or not all(isinstance(one, str | Threat) for one in threats):
        raise ThreatError(
            "HF301",
            "There is no threat, and robust always means robust against something",
            seen=repr(threat)[:80],
            expected="a threat, its literal, or several of them",
            fix='threat="linf:8/255"',
        )
    return [parse(one) for one in threats]


def parse(text: str | Threat) -> Threat:
    """A threat from its literal; a Threat passes through.

    Raises:
        ThreatError: HF301 for an unknown name, HF302 for a value that cannot be read.
    """
    if isinstance(text, Threat):
        return text
    head, *options = [part.strip() for part in text.split(",")]
    name, colon, value = head.partition(":")
    if name.lower() == Table.norm:
        return _table(text, [part for part in (value.strip(), *options) if part])
    if name.lower() not in KINDS:
        close = difflib.get_close_matches(name.lower(), (*KINDS, Table.norm), 1, cutoff=0)[0]
        raise ThreatError(
            "HF301",
            "Unknown threat",
            seen=repr(text),
            expected="name:radius with a name of " + ", ".join(KINDS) + "; table:features=3",
            fix=f"did you mean {close}:{value or '8/255'}?",
        )
    more = dict(_option(text, option) for option in options)
    queries = more.get("queries")
    try:
        return KINDS[name.lower()](
            _radius(value) if colon else math.inf,
            more.get("knowledge", "gradients"),  # type: ignore[arg-type]
            None if queries is None else int(queries),
        )
    except (ParameterError, ValueError) as error:
        raise _unreadable(text, str(error)) from None


def _table(text: str, parts: list[str]) -> Table:
    """`features=3`, `linf=1/2`, `knowledge=scores`, each once."""
    told: dict[str, str] = {}
    for part in parts:
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or key not in (*MEASURES, "knowledge", "queries"):
            near = difflib.get_close_matches(key, MEASURES, 1)
            raise _unreadable(text, f"{part!r} is no limit" + (f"; did you mean {near[0]}=?" if near else ""), TABLE)
        if key in told:
            raise _unreadable(text, f"{key} stands twice", TABLE)
        told[key] = value
    try:
        return Table(**{key: READ.get(key, _radius)(value) for key, value in told.items()})
    except (ParameterError, ValueError) as error:
        raise _unreadable(text, str(error), TABLE) from None


def _option(text: str, option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or key not in ("knowledge", "queries"):
        raise _unreadable(text, f"the option {option!r} is unknown")
    return key, value


def _radius(value: str) -> float:
    if value.strip().lower() == "inf":
        return math.inf
    try:
        top, slash, bottom = value.partition("/")
        return float(top) / float(bottom) if slash else float(fractions.Fraction(value))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{value!r} is no number") from None


def _unreadable(text: str, why: str, form: tuple[str, str] = FORM) -> ThreatError:
    return ThreatError(
        "HF302",
        f"A threat that cannot be read: {why}",
        seen=repr(text),
        expected=form[0],
        fix=f"for example {form[1]}",
    )
