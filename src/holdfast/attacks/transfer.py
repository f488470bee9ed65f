"""A black box attacked with inputs made on a stand-in: Papernot, McDaniel and Goodfellow 2016, arXiv:1605.07277."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.outcome import Outcome
from holdfast.attacks.run import run
from holdfast.core.progress import Listener, silent
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.goals import Goal, Wrong, indices, overall
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat


def transfer(
    attack: Attack,
    surrogate: Model,
    target: Model,
    x: Tensor | np.ndarray,
    y: Tensor | np.ndarray | Goal,
    threat: Threat | str,
    *,
    seed: int = 0,
    ids: Sequence[int] | Tensor | None = None,
    batch: int = 256,
    on_event: Listener = silent,
) -> Outcome:
    """Attack the surrogate to the end, and show the strongest points to the target.

    The target is asked twice a row: whether it is right on the input, and what it says to the point. Nothing of it
    guides the search, so any model will do, also one that gives labels alone.

    Args:
        attack: An attack that fills a ball, such as `TransferPgd()`.
        surrogate: The stand-in; an ensemble carries over better than one model.
        target: The model to break.
        x: Inputs `(n, ...)` inside the bounds of both.
        y: True labels or a Goal, as for `hf.run`.
        threat: How far the attacker may go; with a radius.
        seed: Seeds every random number, together with the attack and the sample's id.
        ids: Sample ids; the row number unless given.
        batch: Rows attacked at once.
        on_event: Told after every batch.

    Returns:
        The rows as the target sees them: `wrong` where it fails on the input, `broken` where the point reaches the
        goal; `queries` are the target's, `gradients` the surrogate's.

    Raises:
        ThreatError, DataError: As `hf.run`.
    """
    x, threat = torch.as_tensor(x), parse(threat)
    found = run(attack, surrogate, x, y, threat, seed=seed, ids=ids, batch=batch, perturb=True, on_event=on_event)
    target = settle(target, x)
    goal = y if isinstance(y, Goal) else Wrong(indices(y, len(x)).to(x.device))
    before, after = (_margins(target, goal, points, batch) for points in (x, found.strongest))
    status = tuple(
        "error" if b != b or a != a else "wrong" if b < -target.noise else "broken" if a < -target.noise else "unbroken"
        for b, a in zip(before.tolist(), after.tolist(), strict=True)
    )
    broken = torch.tensor([s == "broken" for s in status], device=x.device)
    shape = (-1, *(1,) * (x.dim() - 1))
    asked = torch.ones_like(found.queries)
    return dataclasses.replace(
        found,
        status=status,
        adversarial=torch.where(broken.reshape(shape), found.strongest, x),
        margin=after.double(),
        queries=asked,
        checks=asked,
        confirmed=torch.where(broken, 1.0, torch.nan).double(),
    )


def _margins(model: Model, goal: Goal, x: Tensor, batch: int) -> Tensor:
    with model.borrowed(), torch.no_grad():
        parts = [
            overall(goal.take(rows).margins(model.answer(x[rows]))) for rows in torch.split(torch.arange(len(x)), batch)
        ]
    return torch.cat(parts)
