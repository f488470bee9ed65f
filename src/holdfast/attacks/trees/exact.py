"""The exact distance of inputs to another decision of a tree ensemble, with a witness and a lower bound on the way."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.attacks.trees.field import Field, gains_of, least
from holdfast.attacks.trees.possible import Possible, left_out
from holdfast.attacks.trees.possible_program import Possibles
from holdfast.attacks.trees.program import POWERS, Boxes, Found, Program, cheapest, cost, length, shrunk
from holdfast.attacks.trees.search import nearest
from holdfast.core.errors import DataError, ThreatError
from holdfast.core.params import Count, Range, check
from holdfast.models.model import Model
from holdfast.models.settle import settle, wrapped
from holdfast.threats.goals import indices
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.tables.threat import Table

Measured = tuple[float, float, int, NDArray[Any]]  # distance, lower bound, boxes looked at, witness
Measure = Callable[..., Measured]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Distances:
    """How far each input is from another decision: a row a sample.

    Args:
        distance: Of the witness, `(batch,)`; infinite where none was found, 0 where the decision is wrong already.
        lower: Nothing nearer decides otherwise, `(batch,)`; the distance itself where it is proven.
        proven: Whether the distance is the smallest there is, `(batch,)`; of an infinite one, that there is none.
        witness: An input at that distance with another decision of the model itself, `(batch, ...)`; the input where
            there is none.
        boxes: Looked at, `(batch,)`.
    """

    distance: Tensor
    lower: Tensor
    proven: Tensor
    witness: Tensor
    boxes: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """How long an exact search may take.

    Args:
        budget: Boxes to look at for a row, at most; a microsecond or a few each.
        within: Distances from here on are of no interest: such rows come back with this lower bound.
        seconds: For a row's mixed integer programs together, by the clock.
    """

    budget: Count = 1_000_000
    within: Annotated[float, Range(0, np.inf, open_low=True)] = np.inf
    seconds: Annotated[float, Range(0, np.inf, open_low=True)] = np.inf

    def __post_init__(self) -> None:
        check(self)


def exact_distance(
    model: Model,
    x: Tensor | NDArray[Any],
    y: Tensor | NDArray[Any],
    norm: str = "linf",
    *,
    budget: int = 1_000_000,
    within: float = np.inf,
    seconds: float = np.inf,
) -> Distances:
    """The smallest distance at which a tree ensemble decides otherwise than `y`, inside the model's bounds.

    Linf is exact to the last float of the inputs' own type, by a search over boxes. L0 (numbers changed), L1 and L2 are
    a mixed integer program (HiGHS), proven to a relative gap of 1e-6. Either way a witness is asked of the model
    itself, in its library's own arithmetic; missing values stay missing and categories stay as they are; a search that
    ends early leaves a lower bound. Linf costs milliseconds a row for a hundred shallow trees with the extra `trees`
    (the first call on a machine compiles, for about 5 s of one core), far more without it; a program costs tenths of a
    second to many seconds. Both take exponentially many boxes in the worst case.

    On a schema distances are over the possible rows, in its standardized units (`Ruler`): steps, ranges, immutable
    columns and directions hold, one-hot groups, levels and missing values move as the schema lets them, and every
    witness passes `schema.validate`. A program holds the relations: linear ones, and any over columns of few values;
    others are refused by name. A relation between numbers without steps holds there within the solver's tolerance, and
    what the witness costs more is left between `lower` and the distance. In Linf the boxes are searched first, with
    groups, gaps and categories as they are; a few programs follow only where the row found breaks a relation, or where
    changing one of these may be nearer.

    Args:
        model: A wrapped tree ensemble.
        x: Inputs `(batch, ...)` in the data's units, float32 or float64.
        y: The right classes, `(batch,)`.
        norm: "linf", "l0", "l1" or "l2".
        budget: Boxes to look at for a row, at most; in a program, nodes of its tree.
        within: Distances from here on are of no interest.
        seconds: For the programs of a row, by the clock; the search of boxes is limited by `budget` alone.

    Raises:
        ModelError: HF271 for a model without trees, HF270 for one whose trees cannot be read, or not be cut at the
            model's threshold, HF272 where the arrays do not answer as the model does.
        ThreatError: HF303 for another norm and for a relation that no program holds, HF305 for labels that cannot be
            read or that the model cannot output.
        DataError: HF104 for inputs outside the bounds, or rows that break the schema.
    """
    _check_norm(norm)
    wrapped(model)
    how = Search(budget=budget, within=within, seconds=seconds)
    x = _read(model, x)
    model = settle(model, torch.nan_to_num(x))
    label = indices(y, len(x), model.classes)
    field = Field.of(model, x)
    field.agree(x, np.eye(int(model.classes or 2), dtype=bool)[model.predict(x).cpu().numpy()])
    rows = x.cpu().numpy().reshape(len(x), -1)
    around = _around(model, field, x, rows)
    strict, column = field.strict(model), -1 if model.threshold is None else model.threshold.column
    one_row = _measure(model, x, norm, field)
    found = [
        one_row(strict if own == column else field, row, int(own), how, near())
        for row, own, near in zip(rows, label.tolist(), around, strict=True)
    ]
    return _asked_of(model, x, label, found)


def _nearest(model: Model, x: Tensor, plain: Field) -> Measure:
    """What measures a row in Linf.

    Where it is asked with sums at the threshold counted against the class, a witness that the model does not confirm
    still bounds the distance from below; how far the next one is tells `plain`.
    """
    ask = _asked(model, x)

    def measured(
        field: Field, row: NDArray[Any], label: int, how: Search, around: tuple[NDArray[Any], ...]
    ) -> Measured:
        far, near, looked, witness = _row(field, row, label, how, around)
        if field is plain or np.isinf(far) or ask(witness) != label:
            return far, near, looked, witness
        far, _, more, witness = _row(plain, row, label, how, around)
        return far, near, looked + more, witness

    return measured


def _asked_of(model: Model, x: Tensor, label: Tensor, found: list[Measured]) -> Distances:
    """What was found for each row, where the model itself answers otherwise than `label` at the witness."""
    distance, lower = (torch.tensor([one[i] for one in found], dtype=torch.float64) for i in (0, 1))
    witness = torch.from_numpy(np.stack([one[3] for one in found]) if found else x.cpu().numpy()).to(x).reshape(x.shape)
    distance[model.predict(witness).cpu() == label.cpu()] = torch.inf
    return Distances(
        distance=distance,
        lower=lower,
        proven=distance <= lower,
        witness=torch.where(torch.isinf(distance).to(x.device).reshape(-1, *[1] * (x.dim() - 1)), x, witness),
        boxes=torch.tensor([one[2] for one in found], dtype=torch.int64),
    )


def _check_norm(norm: str) -> None:
    """Refuse what is not measured.

    Raises:
        ThreatError: HF303.
    """
    if not isinstance(norm, str) or (norm != "linf" and norm not in POWERS):
        raise ThreatError(
            "HF303", "Exact distances are not measured in this norm", seen=repr(norm), expected="linf, l0, l1 or l2"
        )


def _read(model: Model, x: Tensor | NDArray[Any]) -> Tensor:
    """The inputs as a tensor, rows of a table as float64.

    Raises:
        DataError: HF104 for rows that break the schema, HF106 and HF148 for what is no batch of numbers.
    """
    x = x if isinstance(x, Tensor) else wrapped(model).space.batch(x)
    x = x if x.dtype == torch.float32 and not isinstance(model.space, Tabular) else x.double()
    bad = int((~model.space.validate(x)).sum()) if isinstance(model.space, Tabular) else 0
    if bad:
        raise DataError(
            "HF104",
            "Rows break their schema",
            seen=f"{bad} of {len(x)}",
            expected=repr(model.space),
            fix="schema.validate(x).reasons says what speaks against each row",
        )
    return x


def _around(model: Model, field: Field, x: Tensor, rows: NDArray[Any]) -> list[Callable[[], tuple[NDArray[Any], ...]]]:
    """What tells the regions around each row; of a table, those that hold possible rows."""
    if not isinstance(model.space, Tabular):
        return [functools.partial(field.regions, row) for row in rows]
    table = Possible.of(Table(linf=np.inf).around(x, model.space), field, rows)
    return [functools.partial(table.regions, field, row, i) for i, row in enumerate(rows)]


def _row(field: Field, row: NDArray[Any], label: int, how: Search, around: tuple[NDArray[Any], ...]) -> Measured:
    """One row, with the regions around it: distance, lower bound, boxes looked at, witness."""
    trees = field.trees
    tree_of, leaf_of, far, start, limit_of, lows, highs = around
    gains, offset, slack = gains_of(field, leaf_of, label)
    distance, lower, boxes, chosen = nearest(
        np.argsort(far, kind="stable"), tree_of, far, start, limit_of, lows, highs, field.values[leaf_of], gains,
        offset, slack, field.sums, label, len(trees.roots), trees.features, how.budget, how.within, field.narrow,
    )  # fmt: skip
    witness = row.copy()
    for region in chosen:
        part = slice(start[region], start[region + 1])
        f = limit_of[part]
        witness[f] = np.clip(witness[f].astype(np.float64), lows[part], highs[part])
    return (distance if len(chosen) else np.inf), lower, boxes, witness


def _asked(model: Model, x: Tensor) -> Callable[[NDArray[Any]], int]:
    """The model's own class of one row, `(features,)`."""
    return lambda row: int(model.predict(torch.from_numpy(row[None]).to(x).reshape(1, *x.shape[1:]))[0])


def _measure(model: Model, x: Tensor, norm: str, plain: Field) -> Measure:
    """What measures a row in a norm."""
    by = _By(norm=norm, ask=_asked(model, x), first=_nearest(model, x, plain))
    if isinstance(model.space, Tabular):
        return functools.partial(_tabled, by, model.space.schema)
    return by.first if norm == "linf" else functools.partial(_programmed, by)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _By:
    """How rows are measured.

    Args:
        norm: Which.
        ask: A row -> the model's own class.
        first: Measures it in Linf, by its boxes alone.
    """

    norm: str
    ask: Callable[[NDArray[Any]], int]
    first: Measure


def _tabled(
    by: _By,
    schema: Schema,
    field: Field,
    row: NDArray[Any],
    label: int,
    how: Search,
    around: tuple[NDArray[Any], ...],
) -> Measured:
    """One row of a table: distance, lower bound, boxes looked at, witness."""
    norm, ask, first = by.norm, by.ask, how if by.norm == "linf" else dataclasses.replace(how, within=np.inf)
    far, near, looked, witness = by.first(field, row, label, first, around)
    if far == 0:
        return far, near, looked, witness
    possible = Possibles(schema=schema, row=row, label=label, norm=norm, ask=ask)
    limit = how.within ** max(POWERS.get(norm, 1), 1)
    best = Found(witness=row, paid=limit, lower=0.0, boxes=looked)
    if np.isfinite(far) and possible.other(witness):
        better = witness
        if norm != "linf":
            better = shrunk(lambda tried: ask(tried) if possible.possible(tried) else label, row, witness, label)
        if (paid := possible.paid(better)) < limit:
            best.witness, best.paid = better, paid
    if norm == "linf":
        best.lower = min(near, left_out(schema, field, row), best.paid)
    if best.lower < best.paid:
        possible.search(field, best, how.budget, how.seconds)
    there = best.paid < limit
    return (length(best.paid, norm) if there else np.inf), length(best.lower, norm), best.boxes, best.witness


def _programmed(
    by: _By, field: Field, row: NDArray[Any], label: int, how: Search, around: tuple[NDArray[Any], ...]
) -> Measured:
    """One row of numbers, from the nearest witness in Linf: distance, lower bound, boxes looked at, witness."""
    norm, ask = by.norm, by.ask
    far, near, looked, witness = by.first(field, row, label, dataclasses.replace(how, within=np.inf), around)
    if far == 0 or (np.isinf(far) and np.isinf(near)):
        return far, near, looked, witness
    kind, point = row.dtype.name, row.astype(np.float64)
    limit = float(cost(np.array(how.within), norm)) if norm != "l0" else how.within
    found = Found(witness=point, paid=limit, lower=0.0, boxes=looked)
    least_paid, until = float(cost(np.array(near), norm)), time.monotonic() + how.seconds
    if np.isfinite(far) and ask(witness) != label:
        better = shrunk(ask, row, witness, label).astype(np.float64)
        paid = float(cost(np.nan_to_num(better - point), norm).sum())
        if paid < limit:
            found.witness, found.paid = better, paid
    boxes, leaf_of = _boxes(field, row, around)
    program, bounds = Program.of(boxes, norm, kind), []
    gains, offset, slack = gains_of(field, leaf_of, label)
    for other in np.argsort(-offset, kind="stable").tolist():
        if other != label:
            found.lower = min(found.paid, least_paid)
            if time.monotonic() >= until:
                bounds.append(found.lower)
                continue
            lead = (
                gains[other],
                least(field, gains[other], float(offset[other]), float(slack[:, other].sum()), other > label),
            )
            cheapest(program, found, lead, ask, label, how.budget, until)
            bounds.append(found.lower)
    lower = length(min(found.paid, *bounds), norm)
    there = found.paid < limit
    return (length(found.paid, norm) if there else np.inf), lower, found.boxes, found.witness.astype(row.dtype)


def _boxes(field: Field, row: NDArray[Any], around: tuple[NDArray[Any], ...]) -> tuple[Boxes, NDArray[Any]]:
    """The regions of all trees around a row, and the leaf of each."""
    tree_of, leaf_of, _, start, limit_of, lows, highs = around
    boxes = Boxes(
        point=row.astype(np.float64), low=field.low, high=field.high, tree_of=tree_of, start=start, limit_of=limit_of,
        lows=lows, highs=highs,
    )  # fmt: skip
    return boxes, leaf_of
