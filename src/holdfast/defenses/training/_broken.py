"""Rows that break a model, found by what its structure and the threat allow."""

import math

import numpy as np
import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.graph_search import GraphSearch
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import belongs, run
from holdfast.attacks.trees.exact import exact_distance
from holdfast.core.progress import BatchDone, Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.models.model import Model
from holdfast.threats.goals import Wrong, overall
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import Linf, Threat

BOXES = 100_000  # of an exact search: a row that needs more is left out
PIECE = 64  # rows after which whoever listens is told


def broken(
    model: Model,
    data: Dataset,
    threat: Threat,
    attack: Attack | None = None,
    seed: int = 0,
    on_event: Listener = silent,
) -> tuple[Tensor, Tensor]:
    """Positions of the samples that break within the threat `(n,)`, and what breaks each `(n, ...)`.

    Samples that are wrong as they are do not break. Every row is asked of the model itself.

    Args:
        model: Settled.
        data: Samples.
        threat: How far the attacker may go.
        attack: With what; chosen by `best` unless given.
        seed: Of the attack.
        on_event: Told after every 64 rows; may raise `holdfast.Stop`.

    Raises:
        ThreatError: HF303, HF304, HF307 or HF308 where attack, threat and model do not fit each other.
    """
    if attack is None and exactly(model, threat):
        belongs(threat, model.space)
        return _exact(model, data, threat, on_event)
    chosen = attack or best(model, threat)
    out = run(chosen, model, data.x, data.y, threat, seed=seed, ids=data.ids, batch=PIECE, on_event=on_event)
    won = out.success.nonzero()[:, 0]
    return won, out.adversarial[won]


def exactly(model: Model, threat: Threat) -> bool:
    """Whether the exact box search answers: trees that the attacker sees, and a ball of Linf."""
    seen = model.seen_as(threat.knowledge)
    box = isinstance(threat, Linf) and threat.bounded and threat.queries is None
    return box and seen.trees is not None


def best(model: Model, threat: Threat) -> Attack:
    """The attack of the catalog for a model whose trees say nothing: tables, gradients, or decisions alone."""
    if isinstance(threat, Table):
        return GraphSearch(width=1)
    seen = model.seen_as(threat.knowledge)
    return Pgd() if seen.module is not None and Pgd().serves(threat) and threat.bounded else HopSkipJump()


def _exact(model: Model, data: Dataset, threat: Threat, on_event: Listener) -> tuple[Tensor, Tensor]:
    """The rows that break, all of them by the exact search, each made worse from its nearest witness on."""
    radius, n = float(threat.radius), len(data)
    rows, inputs, held = list[Tensor](), list[Tensor](), 0
    for part in torch.split(torch.arange(n), PIECE):
        x, y = data.x[part], data.y[part]
        found = exact_distance(model, x, y, budget=BOXES, within=np.nextafter(radius, math.inf))
        won = ((found.distance > 0) & (found.distance <= radius)).nonzero()[:, 0]
        rows.append(part[won])
        inputs.append(_worse(model, x[won], found.witness[won], y[won], radius))
        held += int((found.distance > radius).sum())
        done = int(part[-1]) + 1
        on_event(BatchDone("exact search", done, n, held, done))
    if not n:
        return torch.zeros(0, dtype=torch.long), data.x
    return torch.cat(rows), torch.cat(inputs)


def _worse(model: Model, x0: Tensor, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """One pass over the columns that are cut: each goes to an end of the ball where that lowers the margin."""
    trees = model.trees() if model.trees is not None else None
    if trees is None or not len(x):
        return x
    flat0, flat = x0.flatten(1), x.flatten(1).clone()
    bottom, top = (end.to(x0).reshape(-1) for end in model.space.limits(x0[0]))
    ends = torch.maximum(flat0 - radius, bottom), torch.minimum(flat0 + radius, top)
    least = _margin(model, x, y)
    for f in np.unique(trees.feature[(trees.feature >= 0) & (trees.members < 0)]).tolist():
        for end in ends:
            moved = flat.clone()
            moved[:, f] = torch.where(flat0[:, f].isnan(), flat[:, f], end[:, f])
            margin = _margin(model, moved.reshape(x.shape), y)
            lower = margin < least
            flat[lower, f], least = moved[lower, f], torch.minimum(margin, least)
    return flat.reshape(x.shape)


def _margin(model: Model, x: Tensor, y: Tensor) -> Tensor:
    """The margin that an attacker lowers, `(n,)`; negative where another class decides."""
    with model.borrowed(), torch.no_grad():
        return overall(Wrong(y).margins(model.answer(x)))
