"""Weights of an ensemble's members, chosen on data by the cross-entropy of their vote.

Exponentiated gradient: Kivinen and Warmuth, Information and Computation, 1997.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core.errors import ModelError
from holdfast.models.ensemble import Together, from_members, together_of
from holdfast.models.model import Model
from holdfast.models.settle import settle

STEPS = 500
LONGEST = 2.0**20
STILL = 1e-12  # a step that gains less than this share of the loss is the last


def fit_weights(model: Model, x: Tensor, y: Tensor, batch: int = 256) -> Model:
    """The same members with the weights that minimize the cross-entropy of their vote, none negative, of sum one.

        w <- w * exp(-step * gradient) / sum        step doubles while the loss falls, and halves where it does not

    The loss is convex in the weights, so there is one best value. Use samples that the members did not learn from:
    on their own training data the most overfitted member gets all the weight. Costs one forward pass a member.

    Args:
        model: An ensemble that averages probabilities or logits.
        x: Inputs `(n, ...)`.
        y: Class indices `(n,)`.
        batch: Rows asked at once.

    Raises:
        ModelError: HF268 for a model that is no ensemble, HF267 for a vote by labels or by a linear model.
    """
    model = settle(model, x)
    together = together_of(model)
    if together.vote == "labels" or together.head is not None:
        raise ModelError(
            "HF267",
            "The cross-entropy has no say in the weights of this vote",
            seen=together.rule,
            expected="a mean of probabilities or logits",
            fix="fit_weights(soft(model), x, y)",
        )
    answers = _answers(model, together, x, batch)
    weights = _fitted(Together(together.members, together.vote), answers, y)
    made = from_members(
        together.members, model.space, vote=together.vote, weights=weights, classes=model.classes, name=model.name
    )
    return settle(made, x)


@torch.no_grad()
def _answers(model: Model, together: Together, x: Tensor, batch: int) -> list[Tensor]:
    """What each member says to all inputs: `(n, classes)` float64."""
    with model.borrowed():
        return [
            torch.cat([scores(rows).double().cpu() for rows in torch.split(x, batch)])
            for member in together.members
            if (scores := member.scores) is not None
        ]


def _fitted(together: Together, answers: Sequence[Tensor], y: Tensor) -> Tensor:
    """`(members,)` on the simplex."""
    z, y = torch.stack(list(answers)), y.cpu()
    p = z.softmax(2).gather(2, y.expand(len(z), -1)[..., None])[..., 0]  # (members, n) of the true classes

    def loss(w: Tensor) -> Tensor:
        if together.vote == "logits":
            return cross_entropy((z * w[:, None, None]).sum(0), y)
        return -(p * w[:, None]).sum(0).clamp(min=torch.finfo(p.dtype).tiny).log().mean()

    w, step = torch.full((len(z),), 1 / len(z), dtype=z.dtype), 1.0
    for _ in range(STEPS):
        leaf = w.clone().requires_grad_()
        with torch.enable_grad():
            value = loss(leaf)
        (g,) = torch.autograd.grad(value, leaf)
        before = float(value.detach())
        moved, after = _moved(w, g, step), torch.inf
        while step > 1 / LONGEST and (after := float(loss(moved))) > before:
            step /= 2
            moved = _moved(w, g, step)
        gain = before - after
        if gain < 0:
            break
        w, step = moved, min(2 * step, LONGEST)
        if gain <= STILL * abs(before):
            break
    return w


def _moved(w: Tensor, g: Tensor, step: float) -> Tensor:
    return (w.clamp(min=torch.finfo(w.dtype).tiny).log() - step * g).softmax(0)
