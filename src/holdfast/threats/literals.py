"""Threats as text: `linf:8/255,knowledge=scores,queries=1000`."""

import difflib
import fractions
import math

from holdfast.core.errors import ParameterError, ThreatError
from holdfast.threats.threats import L0, L1, L2, Linf, Threat

KINDS: dict[str, type[Threat]] = {kind.norm: kind for kind in (Linf, L2, L1, L0)}


def parse(text: str | Threat) -> Threat:
    """A threat from its literal; a Threat passes through.

    Raises:
        ThreatError: HF301 for an unknown name, HF302 for a value that cannot be read.
    """
    if isinstance(text, Threat):
        return text
    head, *options = [part.strip() for part in text.split(",")]
    name, colon, value = head.partition(":")
    if name.lower() not in KINDS:
        close = difflib.get_close_matches(name.lower(), KINDS, 1, cutoff=0)[0]
        raise ThreatError(
            "HF301",
            "Unknown threat",
            seen=repr(text),
            expected="name:radius with a name of " + ", ".join(KINDS),
            fix=f"did you mean {close}:{value or '8/255'}?",
        )
    more = dict(_option(text, option) for option in options)
    queries = more.get("queries")
    try:
        return KINDS[name.lower()](
            _radius(text, value) if colon else math.inf,
            more.get("knowledge", "gradients"),  # type: ignore[arg-type]
            None if queries is None else int(queries),
        )
    except (ParameterError, ValueError) as error:
        raise _unreadable(text, str(error)) from None


def _option(text: str, option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or key not in ("knowledge", "queries"):
        raise _unreadable(text, f"the option {option!r} is unknown")
    return key, value


def _radius(text: str, value: str) -> float:
    if value.strip().lower() == "inf":
        return math.inf
    try:
        top, slash, bottom = value.partition("/")
        return float(top) / float(bottom) if slash else float(fractions.Fraction(value))
    except (ValueError, ZeroDivisionError):
        raise _unreadable(text, f"{value!r} is no number") from None


def _unreadable(text: str, why: str) -> ThreatError:
    return ThreatError(
        "HF302",
        f"A threat that cannot be read: {why}",
        seen=repr(text),
        expected="name:radius[,knowledge=gradients|scores|labels][,queries=N]",
        fix="for example linf:8/255,knowledge=scores,queries=1000",
    )
