"""The margin along the gradient against random directions.

Idea: one step along the gradient lowers the margin more than random steps of the same size do, or it is no gradient.
The margin is that of the classes: a detector that notices a long step along the gradient hides no gradient.
Cost: 1 forward and backward pass and 3 + DIRECTIONS = 11 forward passes a sample and threat.
Source: Tramer, Carlini, Brendel, Madry, NeurIPS 2020, arXiv:2002.08347 (inspect the loss surface); Carlini et al. 2019,
arXiv:1902.06705 (compare with random directions).
"""

from collections.abc import Sequence

import torch

from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.masking.limits import DIRECTIONS
from holdfast.evaluation.masking.slopes import at, gradient
from holdfast.evaluation.rows import DirectionRow
from holdfast.evaluation.work import Answers, Bench
from holdfast.geometry.draw import Draw
from holdfast.threats.threats import Threat

LENGTHS = (1 / 8, 1 / 2, 1.0)  # of the radius


def directions(bench: Bench, keys: Sequence[str], threat: Threat) -> Answers:
    """By how much the margin falls at best: along the gradient, and at random points of the region."""
    rows: list[DirectionRow] = []
    for i in range(0, len(keys), bench.batch):
        rows += _rows(bench, keys[i : i + bench.batch], threat)
    return Answers(rows, {}, (1 + len(LENGTHS) + DIRECTIONS) * len(keys))


def failed(key: str, why: str) -> DirectionRow:
    """A sample that the model failed on."""
    return DirectionRow(key=key, status="error", margin=None, gradient=None, random=None, reason=why)


def _rows(bench: Bench, keys: Sequence[str], threat: Threat) -> list[DirectionRow]:
    x, y = bench.take(keys)
    region = threat.around(x, bench.model.space)
    draw = Draw(bench.seed, "masking directions", [number_of(key) for key in keys], x)
    with bench.model.borrowed():
        g, margin, _ = gradient(bench.model, x, y)
        way = region.steepest(-g.nan_to_num(0, 0, 0), x)
        along = torch.stack([at(bench.model, region.project(x + t * way), y) for t in LENGTHS]).amin(0)
        beside = torch.stack([at(bench.model, region.sample(draw), y) for _ in range(DIRECTIONS)]).amin(0)
    return [
        DirectionRow(
            key=key,
            status="ok",
            margin=_number(margin[i]),
            gradient=_number((margin - along)[i]),
            random=_number((margin - beside)[i]),
            reason="",
        )
        for i, key in enumerate(keys)
    ]


def _number(value: torch.Tensor) -> float | None:
    return float(value) if value.isfinite() else None
