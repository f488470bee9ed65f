"""Parameter ranges, declared once in the annotation: the check, the message, the docs and the CLI flags read them here.

    steps: Count = 40        means        steps: Annotated[int, Range(1)] = 40
"""

import dataclasses
import functools
import inspect
import math
import typing
from typing import Annotated, Any

from holdfast.core.errors import ParameterError


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
        default: `dataclasses.MISSING` where a value must be given.
        meaning: The line of the class docstring's Args section.
    """

    name: str
    kind: Any
    range: Range | None
    default: Any
    meaning: str


@functools.cache
def parameters(record: type) -> tuple[Parameter, ...]:
    """The declared parameters of a dataclass, in order."""
    hints, meanings = typing.get_type_hints(record, include_extras=True), _meanings(record)
    found = []
    for field in dataclasses.fields(record):
        hint = hints[field.name]
        ranges = [a for a in getattr(hint, "__metadata__", ()) if isinstance(a, Range)]
        kind = typing.get_args(hint)[0] if ranges else hint
        found.append(Parameter(field.name, kind, ranges[0] if ranges else None, field.default, meanings.get(field.name, "")))
    return tuple(found)


def check(record: Any) -> None:
    """Refuse a dataclass instance with a value outside its declaration.

    Raises:
        ParameterError: HF001, "The 'steps' parameter of Pgd must be int in [1, inf]. Got 0."
    """
    for p in parameters(type(record)):
        value = getattr(record, p.name)
        if not _fits(p, value):
            raise ParameterError("HF001", f"The '{p.name}' parameter of {type(record).__name__} must be {_wanted(p)}. Got {value!r}")


def _fits(p: Parameter, value: Any) -> bool:
    if p.range is not None:
        number = isinstance(value, int if p.kind is int else (int, float)) and not isinstance(value, bool)
        return number and value in p.range
    if typing.get_origin(p.kind) is typing.Literal:
        return value in typing.get_args(p.kind)
    return not isinstance(p.kind, type) or isinstance(value, p.kind)


def _wanted(p: Parameter) -> str:
    if p.range is not None:
        return f"{p.kind.__name__} in {p.range}"
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
    for line in lines[lines.index("Args:") + 1:]:
        if line and not line.startswith(" "):
            break
        head, colon, rest = line.strip().partition(": ")
        if line.startswith("    ") and not line.startswith("     ") and colon:
            for name in head.split(", "):
                found[name] = rest
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
