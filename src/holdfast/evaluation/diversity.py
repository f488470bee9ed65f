"""How differently the members of an ensemble err, and whether what fools one fools the others."""

import dataclasses
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.transfer_pgd import TransferPgd
from holdfast.attacks.run import run
from holdfast.core.errors import DataError
from holdfast.data.dataset import Dataset
from holdfast.evaluation import clusters
from holdfast.evaluation.metrics import diversity as measures
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.work import decided
from holdfast.models.ensemble import together_of
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two members beside each other.

    Args:
        first, second: Their positions.
        disagreement: Samples on which exactly one of them is right.
        double_fault: Samples on which both are wrong.
        q: Yule's Q: -1 where they err on different samples, 0 where independently, 1 on the same; None where 0 / 0.
        cosine: Mean cosine between their gradients of the loss; None where one shows none.
        onward: Of the samples that both get right, those on which the second is fooled by what was made on the first;
            None without a threat, for members that cannot be attacked, or where there are no such samples.
        back: The same from the second to the first.
    """

    first: int
    second: int
    disagreement: Rate
    double_fault: Rate
    q: float | None
    cosine: float | None
    onward: Rate | None
    back: Rate | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diversity:
    """An ensemble beside its members, on the same samples.

    Args:
        members: Their names.
        accuracy: Right answers of each member.
        together: Right answers of their vote.
        entropy: 0 where all members err together, 1 where every sample splits them in halves.
        pairs: Every two members.
    """

    members: tuple[str, ...]
    accuracy: tuple[Rate, ...]
    together: Rate
    entropy: float
    pairs: tuple[Pair, ...]

    @property
    def cosine(self) -> float | None:
        """Mean over pairs; None where no pair has one."""
        return _mean([pair.cosine for pair in self.pairs])

    @property
    def transfer(self) -> float | None:
        """Mean rate at which what fools one member fools another, over ordered pairs; None where nothing was tried."""
        return _mean([None if r is None else r.point for pair in self.pairs for r in (pair.onward, pair.back)])

    def __str__(self) -> str:
        lines = [f"vote {self.together}; entropy {self.entropy:.3f}"]
        lines += [f"member {k} ({name}) {self.accuracy[k]}" for k, name in enumerate(self.members)]
        for pair in self.pairs:
            q, cosine = (_shown(value) for value in (pair.q, pair.cosine))
            text = f"{pair.first} and {pair.second}: disagreement {pair.disagreement}, both wrong {pair.double_fault}"
            carried = "" if pair.onward is None else f", transfer {pair.onward}"
            carried += "" if pair.back is None else f", back {pair.back}"
            lines.append(f"{text}, Q {q}, gradient cosine {cosine}{carried}")
        return "\n".join(lines)


def diversity(
    model: Model,
    data: Dataset,
    *,
    threat: Threat | str | None = None,
    attack: Attack | None = None,
    seed: int = 0,
    batch: int = 256,
) -> Diversity:
    """Ask every member of an ensemble alone, and, under a threat, show each what was made on the others.

    Cost: 1 forward pass a sample and member, 1 backward pass for members with gradients; under a threat one attack on
    each member with gradients, and one forward pass for every ordered pair.

    Args:
        model: An ensemble: what `hf.wrap` makes of a list, or what a learner of ensembles returns.
        data: Samples that no member learned from.
        threat: How far an attacker may go, with a radius; None to leave transfer out.
        attack: What fools the members; `TransferPgd()` unless given.
        seed: Of the attack.
        batch: Rows asked at once.

    Raises:
        ModelError: HF268 for a model that is no ensemble.
        DataError: HF120 where there are no samples.
    """
    if not len(data):
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    model = settle(model, data.x)
    members, groups = together_of(model).members, clusters.of(data)
    right = torch.stack([decided(member, data.x, batch) == data.y for member in members])
    slopes = [_slopes(member, data, batch) for member in members]
    crafted: list[Tensor | None] = [None] * len(members)
    if threat is not None:
        how, limit = attack or TransferPgd(), parse(threat)
        crafted = [_crafted(member, data, how, limit, seed, batch) for member in members]

    def rate(held: Tensor, rows: Tensor, words: str) -> Rate | None:
        kept = rows.nonzero()[:, 0].tolist()
        return clusters.share(held[rows].tolist(), [groups[i] for i in kept], words) if kept else None

    def carried(i: int, j: int) -> Rate | None:
        made, both = crafted[i], right[i] & right[j]
        if made is None:
            return None
        fooled = decided(members[j], made, batch) != data.y
        return rate(fooled, both, "samples that both members get right")

    def pair(i: int, j: int) -> Pair:
        g, h = slopes[i], slopes[j]
        return Pair(
            first=i,
            second=j,
            disagreement=_share(measures.disagree(right[i], right[j]), groups),
            double_fault=_share(measures.both_wrong(right[i], right[j]), groups),
            q=measures.q_statistic(right[i], right[j]),
            cosine=None if g is None or h is None else _finite(measures.cosines(g, h)),
            onward=carried(i, j),
            back=carried(j, i),
        )

    return Diversity(
        members=tuple(member.name for member in members),
        accuracy=tuple(_share(row, groups) for row in right),
        together=_share(decided(model, data.x, batch) == data.y, groups),
        entropy=measures.entropy(right),
        pairs=tuple(pair(i, j) for i, j in itertools.combinations(range(len(members)), 2)),
    )


def _share(held: Tensor, groups: Sequence[int]) -> Rate:
    return clusters.share(held.tolist(), groups, "samples")


def _slopes(member: Model, data: Dataset, batch: int) -> Tensor | None:
    """Gradients of the loss in the inputs, `(n, ...)`; None for members that show none."""
    if member.module is None:
        return None
    found = []
    with member.borrowed(), torch.enable_grad():
        for x, y in zip(torch.split(data.x, batch), torch.split(data.y, batch), strict=True):
            leaf = x.clone().requires_grad_()
            loss = cross_entropy(member.answer(leaf, gradient=True).scores, y, reduction="sum")
            found.append(torch.autograd.grad(loss, leaf)[0])
    return torch.cat(found)


def _crafted(member: Model, data: Dataset, attack: Attack, threat: Threat, seed: int, batch: int) -> Tensor | None:
    """The strongest points found on one member, `(n, ...)`; None for members without gradients."""
    if member.module is None:
        return None
    out = run(attack, member, data.x, data.y, threat, seed=seed, ids=data.ids, batch=batch, perturb=True)
    return out.strongest


def _finite(values: Tensor) -> float | None:
    kept = values[torch.isfinite(values)]
    return float(kept.mean()) if len(kept) else None


def _mean(values: Sequence[float | None]) -> float | None:
    kept = [value for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
