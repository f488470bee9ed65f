"""One column of a table: what its values are, and what changing them costs whom."""

import dataclasses
import functools
import math
import sys
from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from holdfast.core.errors import DataError

Kind = Literal["real", "integer", "ordinal", "categorical", "binary", "one-hot"]
Direction = Literal["both", "up", "down"]

KINDS: tuple[str, ...] = get_args(Kind)
DIRECTIONS: tuple[str, ...] = get_args(Direction)
LARGEST = 2.0**53
"""Whole numbers beyond are not all of them floats."""

LEAST = 1e-12
"""The finest step."""

NEAR = 1e-9
"""Share of a step by which a number read from a file may miss its multiple: decimals are rarely exact in binary."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """A column and its codes, float64: numbers as they are, levels by their place from 0, a missing value as NaN.

    Args:
        name: As the table calls it.
        kind: `real`, `integer`, `ordinal` (levels in order), `categorical` (levels without one), `binary` (0 and 1), or
            `one-hot` (0 and 1, exactly one 1 in its `group`).
        low, high: Least and greatest possible number, of `real` and `integer` columns.
        step: Possible numbers are its multiples; 0 for all numbers. Whole numbers have 1 unless given.
        levels: Names of the levels, in order; of a binary column two names or none.
        group: Which one-hot columns belong together.
        immutable: Whether an attacker must leave it as it is.
        direction: Whether an attacker may move it `both` ways, only `up` or only `down`.
        missing: Whether a value may be missing.
        scale: What counts as one standardized unit, in the column's own units (its standard deviation, say); the range
            unless given, and 1 for a change of a level without order.
        cost: What one unit costs an attacker, for levels without order one change; `1 / scale` unless given.

    Raises:
        DataError: HF143 where these contradict each other.
    """

    name: str
    kind: Kind = "real"
    _: dataclasses.KW_ONLY
    low: float | None = None
    high: float | None = None
    step: float | None = None
    levels: tuple[str, ...] = ()
    group: str = ""
    immutable: bool = False
    direction: Direction = "both"
    missing: bool = False
    scale: float | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        for what in problems(self):
            raise contradiction(self.name, what)
        numeric = self.kind in ("real", "integer")
        last = 1.0 if self.kind in ("binary", "one-hot") else len(self.levels) - 1.0
        low, high = (float(self.low or 0), float(self.high or 0)) if numeric else (0.0, last)
        step = float(self.step if self.step is not None else self.kind != "real") if numeric else 1.0
        made = {"low": low, "high": high, "step": step}
        made["scale"] = float(self.scale or (1.0 if self.kind == "categorical" else (high - low) or 1.0))
        made["cost"] = 1 / made["scale"] if self.cost is None else float(self.cost)
        for name, value in made.items():
            object.__setattr__(self, name, value)
        if step and self.grid[0] > self.grid[1]:
            raise contradiction(self.name, f"no multiple of {step:g} lies in [{low:g}, {high:g}]")

    @functools.cached_property
    def span(self) -> tuple[float, float]:
        """The least and the greatest number that is possible, on the steps where there are some."""
        return self.grid if self.step else (float(self.low or 0), float(self.high or 0))

    @functools.cached_property
    def grid(self) -> tuple[float, float]:
        """The least and the greatest multiple of the step in the range."""
        ends = torch.tensor([self.low, self.high], dtype=torch.float64)
        near = self.stepped(ends)
        slack = NEAR * float(self.step or 0)
        up, down = self.stepped(ends[:1], 1), self.stepped(ends[1:], -1)
        low = near[0] if abs(float(near[0] - ends[0])) <= slack else up[0]
        high = near[1] if abs(float(near[1] - ends[1])) <= slack else down[0]
        return float(low), float(high)

    @property
    def ordered(self) -> bool:
        """Whether more and less mean something."""
        return self.kind != "categorical"

    @functools.cached_property
    def worth(self) -> tuple[float, ...]:
        """The numbers that the levels name, where all name one, in order: `-1`, `0`, `1`; else nothing."""
        try:
            found = tuple(float(level) for level in self.levels)
        except ValueError:
            return ()
        return found if all(map(math.isfinite, found)) and self.kind == "ordinal" else ()

    def stepped(self, x: Tensor, way: int = 0) -> Tensor:
        """The nearest multiple of the step, or the next one above (`way` 1) or below (-1): codes `(batch,)`.

        A step such as 0.01 is one over a whole number, and the multiples are divided by that: k * 0.01 would not be
        the float that `0.07` is read as.
        """
        step = float(self.step or 0)
        if not step:
            return x
        rounded = {0: torch.round, 1: torch.ceil, -1: torch.floor}[way]
        parts = round(1 / step) if step < 1 else 0
        if parts and 1 / parts == step:
            return rounded(x * parts) / parts
        return rounded(x / step) * step

    def read(self, x: Tensor) -> Tensor:
        """Numbers as they came, those beside a multiple of the step by rounding only put onto it: `(batch,)`."""
        near = self.stepped(x)
        return torch.where((near - x).abs() <= NEAR * float(self.step or 0), near, x)

    def snap(self, x: Tensor) -> Tensor:
        """The nearest possible code: `(batch,)`; NaN stays."""
        low, high = self.span
        return self.stepped(x.clamp(low, high)).clamp(low, high)

    def possible(self, x: Tensor) -> Tensor:
        """Which codes are possible, missing ones where they may be: `(batch,)`."""
        low, high = self.span
        return ((x >= low) & (x <= high) & (self.stepped(x) == x)) | (x.isnan() & self.missing)

    def shown(self, code: float) -> str:
        """A code as the table would show it."""
        if math.isnan(code):
            return "missing"
        if self.levels and code == int(code) and 0 <= code < len(self.levels):
            return self.levels[int(code)]
        return f"{code:.10g}"

    def fault(self, code: float) -> str:
        """Why a code is not possible."""
        low, high = self.span
        if math.isnan(code):
            return f"{self.name} is missing"
        if self.levels or self.kind in ("binary", "one-hot"):
            what = f"the levels 0 to {high:g}" if self.levels else "0 and 1"
            return f"{self.name} = {code:.10g} is none of {what}"
        if low <= code <= high:
            what = "no whole number" if self.step == 1 else f"no multiple of {self.step:g}"
            return f"{self.name} = {code!r} is {what}"
        return f"{self.name} = {code:.10g} is outside [{low:g}, {high:g}]"


def contradiction(name: object, what: str, fix: str | None = None) -> DataError:
    """The error for a column that cannot be."""
    return DataError("HF143", f"The column {name!r} is described in a way that cannot be: {what}", fix=fix)


def problems(f: Feature) -> Iterable[str]:
    """What contradicts itself in a description, the first thing first."""
    if not isinstance(f.name, str) or not f.name:
        yield "its name is no text"
    yield from _words(f)
    yield from _numbers(f)
    if f.kind in ("ordinal", "categorical") and not f.levels:
        yield f"it is {f.kind} and has no levels"
    if len(f.levels) != len(set(f.levels)):
        yield "a level stands twice"
    if f.levels and (f.kind in ("real", "integer", "one-hot") or (f.kind == "binary" and len(f.levels) != 2)):
        yield f"it is {f.kind} and has {len(f.levels)} levels"
    if bool(f.group) != (f.kind == "one-hot"):
        yield "a group is what one-hot columns have, and only they"
    if f.kind == "one-hot" and (f.missing or f.direction != "both"):
        yield "a one-hot column can neither be missing nor have a direction"
    if f.kind == "categorical" and f.direction != "both":
        yield "a direction needs an order; write ordinal, with the levels from the lowest up"


def _words(f: Feature) -> Iterable[str]:
    if f.kind not in KINDS:
        yield f"its kind is {f.kind!r}, not one of {', '.join(KINDS)}"
    if f.direction not in DIRECTIONS:
        yield f"its direction is {f.direction!r}, not one of {', '.join(DIRECTIONS)}"
    if not all(isinstance(level, str) for level in f.levels):
        yield "its levels are not all texts"
    if not isinstance(f.group, str):
        yield "its group is no text"
    for name in ("immutable", "missing"):
        if not isinstance(getattr(f, name), bool):
            yield f"{name} is neither true nor false"


def _numbers(f: Feature) -> Iterable[str]:
    for name in ("low", "high", "step", "scale", "cost"):
        value: Any = getattr(f, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and abs(value) <= sys.float_info.max):
            shown = f"{value!r:.60}" if not isinstance(value, int) else "a whole number that is too large"
            yield f"{name} = {shown} is no finite number"
    if (f.scale is not None and f.scale <= 0) or (f.cost is not None and f.cost < 0):
        yield f"scale = {f.scale}, cost = {f.cost}: a scale is positive, a cost not negative"
    if f.kind not in ("real", "integer"):
        return
    step = 1.0 if f.step is None and f.kind == "integer" else f.step or 0.0
    if step < 0 or 0 < step < LEAST or (f.kind == "integer" and (step % 1 or not step)):
        yield f"step = {step:g} is no possible step of {f.kind} numbers"
    if f.low is None or f.high is None or f.low > f.high:
        yield f"low = {f.low}, high = {f.high}, and a number needs a range with low <= high"
    elif math.isinf(f.high - f.low):
        yield f"low = {f.low}, high = {f.high}, and the range needs a finite width"
    elif step and max(abs(f.low), abs(f.high)) / step > LARGEST:
        yield f"steps of {step:g} up to there are more than 2**53, and float64 cannot tell them apart"
