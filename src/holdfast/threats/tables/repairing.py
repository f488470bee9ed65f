"""From any numbers to a possible row near them: column by column first, then the relations."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.threats.tables.checking import columns_of, holds, kept, verdict
from holdfast.threats.tables.dependence import partner
from holdfast.threats.tables.evaluating import sides
from holdfast.threats.tables.grammar import Comparison, Condition, Determines, comparisons, names

if TYPE_CHECKING:
    from holdfast.threats.tables.schema import Schema

ROUNDS = 3
"""How often the relations are gone through before changes are taken back."""

TOGETHER = 256
"""Rows whose tries are judged at once: as many copies of them are in memory as there are values to try."""

LEVELS = 64
"""Columns with at most so many possible values are mended by trying each."""

SECANTS = 3
"""Steps toward the value at which both sides of a comparison are equal; one is exact where it enters as a factor."""

BESIDE = (0.0, 2.0**-50, -(2.0**-50), 1e-9, -1e-9)
"""Where to look beside that value, as shares of it and of the scale: rounding decides on which side it lies."""


@dataclasses.dataclass(frozen=True, eq=False)
class Repaired:
    """What became of each row.

    Args:
        rows: Possible rows `(batch, features)`; the original where there is none to be found.
        done: Whether one was found, `(batch,)`. It is where the original is possible.
        reasons: What still speaks against each of the others.
    """

    rows: Tensor
    done: Tensor
    reasons: tuple[tuple[str, ...], ...]


def repaired(schema: "Schema", x: Tensor, x0: Tensor) -> Repaired:
    """Possible rows near `x` that may be made from `x0`: see `Schema.repair`."""
    fine = verdict(schema, x, x0).valid[:, None]
    made = torch.where(fine, x, _related(schema, snapped(schema, x, x0), x0))
    judged = verdict(schema, made, x0)
    return Repaired(torch.where(judged.valid[:, None], made, x0), judged.valid, judged.reasons)


def snapped(schema: "Schema", x: Tensor, x0: Tensor) -> Tensor:
    """The nearest codes that each column allows by itself: `(batch, features)`."""
    made = schema.ranges.allowed(x, x0)
    for group in map(list, schema.groups):
        if schema.features[group[0]].immutable:
            made[:, group] = x0[:, group]
            continue
        asked = torch.where(x[:, group].isnan(), x0[:, group], x[:, group])
        first = 2 * (asked == asked.amax(1, keepdim=True)).long() + (x0[:, group] == 1)
        made[:, group] = torch.nn.functional.one_hot(first.argmax(1), len(group)).double()
    return made


def _related(schema: "Schema", x: Tensor, x0: Tensor) -> Tensor:
    """The rows with their relations mended, as far as `ROUNDS` and taking back go."""
    for _ in range(ROUNDS if schema.rules else 0):
        for k, rule in enumerate(schema.rules):
            for bad in torch.split((~holds(schema, rule, x)).nonzero()[:, 0], TOGETHER):
                if len(bad):
                    x = x.index_put((bad,), _mended(schema, k, x[bad], x0[bad]))
        if bool(kept(schema, x).all()):
            return x
    return _taken_back(schema, x, x0)


def _mended(schema: "Schema", k: int, x: Tensor, x0: Tensor) -> Tensor:
    """The rows with one column moved so that relation `k` holds, at the least loss of others, then the least change."""
    best, found = torch.full((2, len(x)), torch.inf, dtype=torch.float64), x
    for tried in _tried(schema, schema.rules[k], x, x0):
        told = kept(schema, tried.flatten(0, 1)).reshape(*tried.shape[:2], -1)
        for y, holding, far in zip(tried, told, _far(schema, tried, x), strict=True):
            broken = (~holding).sum(1).double()
            better = holding[:, k] & ((broken < best[0]) | ((broken == best[0]) & (far < best[1])))
            found = torch.where(better[:, None], y, found)
            best = torch.where(better, torch.stack([broken, far]), best)
    return found


def _far(schema: "Schema", y: Tensor, x: Tensor) -> Tensor:
    """Change in standardized units, one for a change of a level without order or to or from a missing value.

    `y` is `(..., batch, features)`, `x` `(batch, features)`; the answer has the shape `(..., batch)`.
    """
    change = (y - x).abs()
    ordered = torch.tensor([feature.ordered for feature in schema.features])
    change = torch.where(ordered, change / schema.scales, (change != 0).double() / schema.scales)
    return torch.where(y.isnan() & x.isnan(), 0.0, change.nan_to_num(1.0)).sum(-1)


def _tried(schema: "Schema", rule: Condition | Determines, x: Tensor, x0: Tensor) -> Iterator[Tensor]:
    """Rows `(tries, batch, features)` with one column, or one group of columns, of a relation at other values."""
    place = list(schema.by_name)
    groups = {j: group for group in schema.groups for j in group}
    for name in names(rule):
        j = place.index(name)
        if schema.by_name[name].immutable:
            continue
        if j in groups:
            members = list(groups[j])
            y = x.repeat(len(members), 1, 1)
            y[:, :, members] = torch.eye(len(members), dtype=x.dtype)[:, None]
        else:
            values = torch.stack(list(_values(schema, rule, j, x, x0)))
            y = x.repeat(len(values), 1, 1)
            y[:, :, j] = schema.ranges.only(j).allowed(values, x0[:, j])
        yield y


def _values(schema: "Schema", rule: Condition | Determines, j: int, x: Tensor, x0: Tensor) -> Iterator[Tensor]:
    """Values `(batch,)` of a column at which a relation may hold."""
    feature = schema.features[j]
    yield x0[:, j]
    if isinstance(rule, Determines) and feature.name == rule.right:
        yield partner(schema, rule, x)[0]
        return
    low, high = feature.span
    step = float(feature.step or 0)
    if step and (high - low) / step < LEVELS:
        levels = feature.snap(low + step * torch.arange(round((high - low) / step) + 1, dtype=x.dtype))
        yield from levels[:, None].expand(-1, len(x))
        return
    if isinstance(rule, Determines):
        return
    for comparison in comparisons(rule):
        if feature.name in names(comparison):
            yield from _edges(schema, comparison, j, x)


def _edges(schema: "Schema", node: Comparison, j: int, x: Tensor) -> Iterator[Tensor]:
    """Values `(batch,)` of a column beside the one at which both sides are equal, by secants."""
    feature = schema.features[j]
    gap = functools.partial(_gap, schema, node, j, x)
    step = float(feature.step or 0)
    unit = step * max(1, round(float(feature.scale or 1) / step)) if step else float(feature.scale or 1)
    a = x[:, j].nan_to_num(feature.span[0])
    b = a + unit
    for _ in range(SECANTS):
        fa, fb = gap(a), gap(b)
        root = b - fb * (b - a) / (fb - fa)
        a, b = torch.where(root.isfinite(), b, a), torch.where(root.isfinite(), root, b)
        if step:
            below, above = feature.stepped(b, -1), feature.stepped(b, 1)
            yield from (below, above, feature.stepped(below - step), feature.stepped(above + step))
        else:
            for share in BESIDE:
                yield b + share * (b.abs() + float(feature.scale or 1))


def _gap(schema: "Schema", node: Comparison, j: int, x: Tensor, values: Tensor) -> Tensor:
    """Left side less right side where a column has these values: `(batch,)`."""
    y = x.clone()
    y[:, j] = values
    left, right = sides(node, columns_of(schema, y), schema.by_name)
    return left - right


def _taken_back(schema: "Schema", x: Tensor, x0: Tensor) -> Tensor:
    """The rows with the columns of broken relations as they were, until no relation is broken that was not before."""
    place = list(schema.by_name)
    speaks = torch.zeros((len(schema.rules), len(place)), dtype=torch.bool)
    for k, rule in enumerate(schema.rules):
        speaks[k, [place.index(name) for name in names(rule)]] = True
    for group in map(list, schema.groups):
        speaks[:, group] |= speaks[:, group].any(1, keepdim=True)
    for _ in place:
        broken = ~kept(schema, x)
        back = (broken[:, :, None] & speaks).any(1)
        moved = (x != x0) & ~(x.isnan() & x0.isnan())
        if not bool((back & moved).any()):
            break
        x = torch.where(back, x0, x)
    return x
