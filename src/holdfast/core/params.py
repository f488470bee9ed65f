"""Parameter ranges, declared once in the annotation: the check, the message, the docs and the CLI flags read them here.

steps: Count = 40        means        steps: Annotated[int, Range(1)] = 40
"""

import dataclasses
import functools
import inspect
import math
import re
import types
import typing
from typing import Annotated, Any

from holdfast.core.errors import ParameterError
from holdfast.core.lazy import snake

LINE_BREAK = re.compile(r"\s*\n\s*")
"""As scikit-learn writes a long estimator, with the indent of the next line."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; an open end excludes its bound. NaN is in no range."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        return f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"


Count = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, math.inf, open_low=True, open_high=True)]
NonNegative = Annotated[float, Range(0, math.inf, open_high=True)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, open_low=True)]
Fraction = Annotated[float, Range(0, 1, open_low=True, open_high=True)]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One field of a record, as its declaration tells.

    Args:
        kind: `int`, `float`, `bool`, `str`, a Literal, or another record's class.
        range: The range of a number, None for anything else.
        optional: Whether None is allowed.
        default: `dataclasses.MISSING` where a value must be given.
        meaning: The line of the class docstring's Args section.
    """

    name: str
    kind: Any
    range: Range | None
    default: Any
    meaning: str
    optional: bool = False


@functools.cache
def parameters(record: type) -> tuple[Parameter, ...]:
    """The declared parameters of a dataclass, in order."""
    hints, meanings = typing.get_type_hints(record, include_extras=True), _meanings(record)
    found = []
    for field in dataclasses.fields(record):
        hint, optional = _required(hints[field.name])
        ranges = [a for a in getattr(hint, "__metadata__", ()) if isinstance(a, Range)]
        kind = typing.get_args(hint)[0] if ranges else hint
        found.append(
            Parameter(
                field.name, kind, ranges[0] if ranges else None, field.default, meanings.get(field.name, ""), optional
            )
        )
    return tuple(found)


def check(record: Any) -> None:
    """Refuse a dataclass instance with a value outside its declaration.

    Classes that others are often given for say in `instead` what makes one of them.

    Raises:
        ParameterError: HF001, "The 'steps' parameter of Pgd must be int in [1, inf]. Got 0."
    """
    kind: type = type(record)
    for p in parameters(kind):
        value = getattr(record, p.name)
        if not _fits(p, value):
            said = f"The '{p.name}' parameter of {kind.__name__} must be {_wanted(p)}. Got {_short(value)}"
            raise ParameterError("HF001", said, fix=getattr(p.kind, "instead", None))


def _short(value: object) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 80 else f"{shown[:60]} ... of type {type(value).__name__}"


def told(record: Any) -> str:
    """A configuration as one line of text, `jpeg(quality=75)`: its name and the parameters that are not defaults."""
    kind: type = type(record)
    shown = {field.name for field in dataclasses.fields(record) if field.repr}
    changed = [
        f"{p.name}={LINE_BREAK.sub(' ', repr(getattr(record, p.name)))}"
        for p in parameters(kind)
        if p.name in shown and getattr(record, p.name) != p.default
    ]
    return snake(kind.__name__) + (f"({', '.join(changed)})" if changed else "")


def _required(hint: Any) -> tuple[Any, bool]:
    """`X | None` -> `X, True`; anything else -> itself, False."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else ()
    rest = [m for m in members if m is not type(None)]
    return (rest[0], True) if len(rest) == 1 and len(members) == 2 else (hint, False)


def _fits(p: Parameter, value: Any) -> bool:
    if value is None:
        return p.optional
    if p.range is not None:
        number = isinstance(value, int if p.kind is int else (int, float)) and not isinstance(value, bool)
        return number and value in p.range
    if typing.get_origin(p.kind) is typing.Literal:
        return value in typing.get_args(p.kind)
    kind = (int, float) if p.kind is float else object if p.kind is Any else p.kind
    return not isinstance(p.kind, type) or isinstance(value, kind)


def _wanted(p: Parameter) -> str:
    none = " or None" if p.optional else ""
    if p.range is not None:
        return f"{p.kind.__name__} in {p.range}{none}"
    if typing.get_origin(p.kind) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(p.kind)))
    return f"of type {getattr(p.kind, '__name__', p.kind)}"


def _meanings(record: type) -> dict[str, str]:
    """The Args section of a Google-style docstring: name -> text on one line."""
    lines = inspect.cleandoc(record.__doc__ or "").splitlines()
    found: dict[str, str] = {}
    if "Args:" not in lines:
        return found
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        head, colon, rest = line.strip().partition(": ")
        if line.startswith("    ") and not line.startswith("     ") and colon:
            for name in head.split(", "):
                found[name] = rest
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
