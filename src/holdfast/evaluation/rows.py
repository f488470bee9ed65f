"""What one computation says about one sample: the records that parts hold, and their tables."""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import pyarrow as pa

STANDING = ("unbroken", "rejected", "error")  # after one attack: the next one tries the sample too
HELD = ("unbroken", "certified", "rejected", "undecided", "error")  # what empirical robust accuracy counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleanRow:
    """The model on the sample as it is: status right, wrong, rejected, invalid or error."""

    key: str
    status: str
    predicted: int
    confidence: float | None
    loss: float | None
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchRow:
    """One attack on one sample: broken, unbroken, rejected, wrong or error; distances and labels only where broken.

    Rejected: at the strongest point the decision is wrong and the model rejects the input. In a table distances are in
    standardized units, l0 counts columns, and `valid` is what the schema says of the row that broke it; where it is
    false the row was claimed and counts for nothing.
    """

    key: str
    status: str
    adversarial_label: int | None
    adversarial_confidence: float | None
    margin: float
    loss: float | None
    linf: float | None
    l2: float | None
    l1: float | None
    l0: float | None
    queries: int
    gradients: int
    checks: int
    zero_gradients: int
    bad_gradients: int
    eight_bit: bool | None
    psnr: float | None
    ssim: float | None
    reason: str
    cost: float | None = None
    valid: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlRow:
    """Whether the decision changed: under plain noise, or at an adversarial input shown to another model."""

    key: str
    status: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """How one sample is answered twice, alone and among strangers; shares of the scores' spread, see `masking`."""

    key: str
    status: str
    margin: float | None
    passes: float | None
    company: float | None
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlopeRow:
    """Zero and non-finite gradients of three, what short, longer and sideward steps brought of what was promised."""

    key: str
    status: str
    zero: int
    bad: int
    near: float | None
    far: float | None
    aside: float | None
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectionRow:
    """The margin of a sample, and how far it fell at best along the gradient and in random directions."""

    key: str
    status: str
    margin: float | None
    gradient: float | None
    random: float | None
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A small attack of the masking battery on one sample: broken, unbroken, wrong or error."""

    key: str
    status: str
    margin: float | None
    reason: str


Row = CleanRow | SearchRow | ControlRow | AnswerRow | SlopeRow | DirectionRow | TrialRow
R = TypeVar("R", CleanRow, SearchRow, ControlRow, AnswerRow, SlopeRow, DirectionRow, TrialRow)

_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}


def table(kind: type[Any], rows: Sequence[Any]) -> pa.Table:
    """Rows of one kind as an Arrow table with the columns of the record, also when there are none."""
    fields = [pa.field(name, _TYPES[_base(hint)]) for name, hint in typing.get_type_hints(kind).items()]
    return pa.Table.from_pylist([dataclasses.asdict(row) for row in rows], schema=pa.schema(fields))


def records(kind: type[R], found: pa.Table) -> list[R]:
    """The rows of a table."""
    return [kind(**values) for values in found.to_pylist()]


def _base(hint: Any) -> type:
    """`float | None` -> `float`."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    base: type = hint
    return base
