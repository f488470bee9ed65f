"""How different the members of an ensemble are, and how far an attack on one carries over to the others."""

import dataclasses
import itertools

import torch
from torch import Tensor

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import ModelError
from holdfast.data.dataset import Dataset
from holdfast.evaluation.metrics.diversity import alignment, disagreement, double_fault, q_statistic
from holdfast.evaluation.statistics import Rate, rate
from holdfast.models.ensemble import Together
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.threats.goals import Wrong
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

PAIRS = "pairs of members and samples"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diversity:
    """Members beside each other. Intervals take pairs for independent, which they are not: read them as a lower bound.

    Args:
        members: How many.
        disagreement: Exactly one of two members is right.
        double_fault: Both are wrong.
        q_statistic: Yule's Q, 1 for members that err together, 0 for independent ones; NaN where nobody errs.
        alignment: Mean cosine of the members' input gradients; None where one shows none.
        transfer: Inputs that break one member and also break another; None without a threat.
    """

    members: int
    disagreement: Rate
    double_fault: Rate
    q_statistic: float
    alignment: float | None
    transfer: Rate | None

    def __str__(self) -> str:
        parts = [f"disagreement {self.disagreement}", f"double fault {self.double_fault}", f"Q {self.q_statistic:.2f}"]
        parts += [] if self.alignment is None else [f"gradient cosine {self.alignment:.2f}"]
        parts += [] if self.transfer is None else [f"transfer {self.transfer}"]
        return f"{self.members} members: " + ", ".join(parts)


def diversity(model: Model, data: Dataset, *, threat: str | Threat | None = None, seed: int = 0) -> Diversity:
    """Compare the members of an ensemble on labeled samples.

    Cost: a forward and a backward pass a member and sample; with a threat also 20 steps of PGD on every member.

    Args:
        model: An ensemble made by `wrap([...])`, or by voting, bagging or boosting.
        data: Samples with labels.
        threat: Under which each member is attacked, to see whether the inputs break the others.
        seed: Of the attack.

    Raises:
        ModelError: HF209 where the model has no members.
    """
    members = members_of(settle(model, data.x))
    right = torch.stack([member.predict(data.x) == data.y for member in members])
    shown = all(member.module is not None for member in members)
    return Diversity(
        members=len(members),
        disagreement=rate(*disagreement(right), PAIRS),
        double_fault=rate(*double_fault(right), PAIRS),
        q_statistic=q_statistic(right),
        alignment=alignment([_slope(member, data) for member in members]) if shown else None,
        transfer=None if threat is None or not shown else _carried(members, right, data, parse(threat), seed),
    )


def members_of(model: Model) -> tuple[Model, ...]:
    """The members of an ensemble.

    Raises:
        ModelError: HF209 where there are none.
    """
    source = source_of(model)
    if source is None or not isinstance(source.ask, Together):
        raise ModelError(
            "HF209", "This model has no members that could be compared", seen=repr(model), fix="hf.wrap([a, b, c])"
        )
    return source.ask.members


def _slope(member: Model, data: Dataset) -> Tensor:
    """Gradients of the margin at the clean samples, `(n, ...)`."""
    found = []
    with member.borrowed(), torch.enable_grad():
        for x, y in zip(torch.split(data.x, 256), torch.split(data.y, 256), strict=True):
            leaf = x.clone().requires_grad_()
            margin = Wrong(y).margins(member.answer(leaf, gradient=True)).amax(2).amin(1)
            found.append(torch.autograd.grad(margin.sum(), leaf)[0])
    return torch.cat(found)


def _carried(members: tuple[Model, ...], right: Tensor, data: Dataset, threat: Threat, seed: int) -> Rate | None:
    """Of inputs that break one member, shown to another that was right: the share that break it too."""
    k = n = 0
    made = [run(Pgd(steps=20, step=0.1), member, data.x, data.y, threat, seed=seed) for member in members]
    for a, b in itertools.permutations(range(len(members)), 2):
        rows = (made[a].success & right[b]).nonzero()[:, 0]
        n += len(rows)
        k += int((members[b].predict(made[a].adversarial[rows]) != data.y[rows]).sum()) if len(rows) else 0
    return rate(k, n, "inputs that break one member, shown to another that was right") if n else None
