"""The literal of a threat as a run keeps it (`linf:8/255`, `table:features=3,cost=2`), read without its classes.

Commands that only look at a run need neither regions nor tensors.
"""

import fractions
import math

COLUMN = {"features": "l0", "cost": "cost", "l1": "l1", "l2": "l2", "linf": "linf"}
"""Where a run keeps the distance in each measure of a table."""


def measure_of(literal: str) -> str:
    """The column of a run's rows with the distances of a threat; its name where a later version wrote the literal."""
    name, _, rest = literal.partition(":")
    if name != "table":
        return name
    return COLUMN.get(rest.partition("=")[0], name)


def radius(literal: str) -> float | None:
    """The radius, of a table the leading limit; None where there is none (`l2:inf`)."""
    text = _leading(literal)[1]
    try:
        found = float(fractions.Fraction(text))
    except (ValueError, ZeroDivisionError):
        return None
    return found if math.isfinite(found) else None


def scaled(literal: str, share: float) -> str:
    """The threat at a multiple of its radius, where only whole radii differ at the next one that way.

    Empty where it has no radius, and where it would be the same or nothing at all.
    """
    found, (head, _, rest) = radius(literal), _leading(literal)
    if found is None:
        return ""
    new = found * share
    if head in ("l0:", "table:features="):
        new = float(math.floor(new) if share < 1 else math.ceil(new))
    return "" if new in (0, found) else f"{head}{number(new)}{rest}"


def number(value: float) -> str:
    """`p/q` where a fraction with q <= 1,000 equals the float exactly, else the float: 8/255, 3, inf, 0.0313.

    Steps of an 8-bit image stay in 255ths: 6/255, not 2/85.
    """
    if not math.isfinite(value):
        return "inf"
    near = fractions.Fraction(value).limit_denominator(1000)
    steps = near.numerator * 255 // near.denominator
    if near.denominator in (17, 51, 85) and steps / 255 == value:
        return f"{steps}/255"
    return str(near) if near.numerator / near.denominator == value else repr(float(value))


def _leading(literal: str) -> tuple[str, str, str]:
    """What stands before the radius, the radius, and what stands behind it."""
    first, comma, rest = literal.partition(",")
    at = max(first.rfind(":"), first.rfind("=")) + 1
    return first[:at], first[at:], comma + rest


def spelled(text: str) -> str:
    """A literal in the one spelling, `linf:0.1` -> `linf:1/10`; empty where no threat reads it.

    For commands that must start at once. `threats.literals.parse` is what decides; a test holds this to it.
    """
    head, *options = [part.strip() for part in text.split(",")]
    name, colon, value = head.partition(":")
    kind, table = name.lower(), name.lower() == "table"
    if not table and kind not in ("linf", "l2", "l1", "l0"):
        return ""
    if not table:
        parts = [("radius", value if colon else "inf"), *(_parted(option) for option in options)]
    else:
        parts = [_parted(option) for option in (value.strip(), *options) if option]
    told = dict(parts)
    limits = COLUMN if table else {"radius": ""}
    if set(told) - {*limits, "knowledge", "queries"} or (table and len(told) < len(parts)):
        return ""
    sizes = {key: _size(told[key]) for key in limits if key in told} or {"features": math.inf}
    known = told.get("knowledge", "gradients")
    queries = _count(told["queries"]) if "queries" in told else 0
    if None in (*sizes.values(), queries) or known not in ("gradients", "scores", "labels"):
        return ""
    if table and math.isfinite(sizes.get("features") or 0) and (sizes.get("features") or 0) % 1:
        return ""
    words = [f"{key}={number(size or 0)}" if table else number(size or 0) for key, size in sizes.items()]
    words += [f"knowledge={known}"] if known != "gradients" else []
    return f"{kind}:" + ",".join([*words, *([f"queries={queries}"] if queries else [])])


def _parted(option: str) -> tuple[str, str]:
    """Name and value; a name that no threat knows where there is no equals sign."""
    key, equals, value = (word.strip() for word in option.partition("="))
    return (key, value) if equals else ("?", "")


def _size(text: str) -> float | None:
    """A radius or a limit, None where it is none."""
    if text.strip().lower() == "inf":
        return math.inf
    top, slash, bottom = text.partition("/")
    try:
        found = float(top) / float(bottom) if slash else float(fractions.Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return found if found >= 0 else None


def _count(text: str) -> int | None:
    """A whole number from 1 on, None for anything else."""
    try:
        return int(text) if int(text) >= 1 else None
    except ValueError:
        return None
