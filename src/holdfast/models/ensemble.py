"""Ensembles: several models that decide together, and reject together where members reject."""

import contextlib
import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from holdfast.core.errors import ModelError
from holdfast.models.model import Model
from holdfast.models.source import Source, source_of
from holdfast.threats.space import Box

Vote = Literal["probabilities", "logits", "labels"]
VOTES = ("probabilities", "logits", "labels")
SUM = 1e-12  # from one, so that weights once divided by their sum stay the same bits, as a file keeps them
TIE = 12  # decimals to which weighted votes are counted, so that 0.1 + 0.2 ties with 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A linear model on what all members say, instead of their mean.

    Args:
        weight: `(members * classes, classes)`, the members' answers one after another.
        bias: `(classes,)`.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, answers: Tensor) -> Tensor:
        """Scores `(batch, classes)` of answers `(members, batch, classes)`, differentiable."""
        rows = answers.movedim(0, 1).flatten(1)
        return rows @ self.weight.to(rows) + self.bias.to(rows)


def from_members(
    members: Sequence[Model],
    space: Box,
    *,
    vote: Vote = "probabilities",
    weights: Sequence[float] | Tensor | None = None,
    head: Head | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Let several wrapped models decide together.

    Where members reject inputs, so does the ensemble: see `Together`.

    Args:
        members: At least two models of the same inputs.
        space: What an input is.
        vote: Mean of the probabilities, mean of the scores ("logits"), or majority of the decisions ("labels": no
            gradient; ties go to the lowest class).
        weights: One for each member, none negative; only their proportions count. Equal unless given.
        head: A linear model on the members' probabilities or scores ("logits"), instead of their mean.
        classes: Number of classes, where known.
        name: What reports call it.

    Raises:
        ModelError: HF209 for fewer than two members, an unknown vote, or members that show less than the vote needs;
            HF267 for weights that do not fit the members.
    """
    members = tuple(members)
    if len(members) < 2 or vote not in VOTES or (head is not None and vote == "labels"):
        raise ModelError(
            "HF209",
            "These members make no ensemble",
            seen=f"{len(members)} members, vote={vote!r}{', a linear model on them' if head is not None else ''}",
            expected="at least 2 members and a vote of " + ", ".join(VOTES) + "; no linear model on labels",
        )
    mute = [member.name for member in members if member.scores is None]
    if vote != "labels" and mute:
        raise ModelError(
            "HF209",
            f"{mute[0]} shows decisions only, so its scores cannot be averaged",
            seen=f"vote={vote!r}",
            fix='vote="labels"',
        )
    together = Together(members, vote, None if weights is None else _shares(weights, len(members)), head)
    slope = together.slope if vote != "labels" and all(member.module is not None for member in members) else None
    source = Source(ask=together, slope=slope, output="labels" if vote == "labels" else "logits", classes=classes)
    return source.model(
        Model(
            space=space,
            name=name or f"ensemble of {len(members)}",
            adapter="ensemble",
            stages=(together.rule,),
            notes=together.notes,
            parameters=together.digest,
            borrowed=together.borrowed,
            suspicion=together.suspicion if together.rejects else None,
            mended=_in_turn([member.mended for member in members if member.mended is not None]),
        )
    )


def together_of(model: Model) -> "Together":
    """The members behind an ensemble and how they vote.

    Raises:
        ModelError: HF268 for anything else.
    """
    source = source_of(model)
    if source is None or not isinstance(source.ask, Together):
        raise ModelError(
            "HF268",
            "This model is no ensemble of models that can be asked one by one",
            seen=repr(model),
            expected="what hf.wrap makes of a list, or a learner of ensembles",
            fix="hf.wrap([first, second])",
        )
    return source.ask


def soft(model: Model) -> Model:
    """The same members, voting by their probabilities: a majority has no gradient, its soft twin has.

    A majority is attacked through it: `hf.transfer(attack, soft(model), model, x, y, threat)`. What fools most members
    together fools their vote.

    Args:
        model: An ensemble, also behind stages; one that does not vote by labels comes back as it is.

    Raises:
        ModelError: HF268 for a model that is no ensemble, HF209 where a member shows decisions only.
    """
    if model.guarded is not None:
        return model.guarded.stage.guard(soft(model.guarded.base))
    together = together_of(model)
    if together.vote != "labels":
        return model
    name = f"{model.name}, soft"
    return from_members(together.members, model.space, weights=together.weights, classes=model.classes, name=name)


@dataclasses.dataclass(frozen=True, eq=False)
class Together:
    """The members' common answer: scores `(batch, classes)`, or decisions `(batch,)`.

    Where members reject inputs (a detector stands in front of them), so does the ensemble. Each member stays at its own
    threshold; a vote of labels rejects when members with more than half of the weight do (the suspicion is the weighted
    median of theirs, and a member without a detector accepts everything); other votes reject when the weighted mean of
    their suspicions is above zero (a member without a detector has no say; a very sure one outvotes the others; with a
    head all weigh the same). Both suspicions have a gradient where those of the members have one. All members vote,
    also those that reject; a member that draws random numbers draws anew for its suspicion.
    """

    members: tuple[Model, ...]
    vote: Vote
    weights: tuple[float, ...] | None = None
    head: Head | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Without gradients."""
        if self.vote == "labels":
            return self._majority(x)
        return self.combined([scores(x) for member in self.members if (scores := member.scores) is not None])

    def slope(self, x: Tensor) -> Tensor:
        """Differentiable."""
        return self.combined([module(x) for member in self.members if (module := member.module) is not None])

    @property
    def rule(self) -> str:
        """How they decide, in words."""
        how = (
            "" if not self.rejects else ", rejecting by " + ("majority" if self.vote == "labels" else "mean suspicion")
        )
        if self.head is not None:
            return f"linear model of {self.vote}{how}"
        shares = "" if self.weights is None else " weighted " + " ".join(f"{share:.4g}" for share in self.weights)
        return f"vote of {self.vote}{shares}{how}"

    @property
    def rejects(self) -> bool:
        """Whether a member rejects inputs."""
        return any(member.suspicion is not None for member in self.members)

    def suspicion(self, x: Tensor) -> Tensor:
        """`(batch,)`, positive where the members together reject; differentiable where theirs are."""
        shares = self.weights if self.weights is not None and self.head is None else (1.0,) * len(self.members)
        asked = [
            (own(x), share) for member, share in zip(self.members, shares, strict=True) if (own := member.suspicion)
        ]
        found = torch.stack([one for one, _ in asked])
        found = torch.where(found.isnan(), torch.inf, found)
        weights = torch.tensor([share for _, share in asked], dtype=torch.float64, device=x.device)
        if self.vote == "labels":
            return _crossing(found, weights, sum(shares) / 2)
        return _mean(found, weights)

    @property
    def notes(self) -> tuple[str, ...]:
        """The members' notes, each with its member's name."""
        return tuple(dict.fromkeys(f"{member.name}: {note}" for member in self.members for note in member.notes))

    def digest(self) -> bytes:
        """Of the vote, its weights and all members; members whose numbers cannot be seen count by their names."""
        made = hashlib.blake2b(self.vote.encode(), digest_size=16)
        for member in self.members:
            made.update(member.name.encode() if member.parameters is None else member.parameters())
        if self.weights is not None:
            made.update(repr(self.weights).encode())
        if self.head is not None:
            for value in (self.head.weight, self.head.bias):
                made.update(value.detach().cpu().double().contiguous().numpy().tobytes())
        return made.digest()

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """All members at once."""
        with contextlib.ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.borrowed())
            yield

    def combined(self, answers: Sequence[Tensor]) -> Tensor:
        """One answer `(batch, classes)` of the members' scores, differentiable; theirs are `(batch, classes)` each.

        Raises:
            ModelError: HF209 where the members have different numbers of classes.
        """
        widths = {answer.shape[1] for answer in answers}
        if len(widths) > 1:
            raise ModelError("HF209", "The members have different numbers of classes", seen=sorted(widths))
        z = torch.stack(list(answers))  # (members, batch, classes)
        if self.head is not None:
            return self.head(z if self.vote == "logits" else z.softmax(2))
        if self.vote == "logits":
            return z.mean(0) if self.weights is None else (z * _column(self.weights, z)).sum(0)
        if self.weights is None:
            return z.log_softmax(2).logsumexp(0) - torch.tensor(float(len(answers))).log().to(z)
        return (z.log_softmax(2) + _column(self.weights, z).log()).logsumexp(0)

    def _majority(self, x: Tensor) -> Tensor:
        said = torch.stack([labels(x) for member in self.members if (labels := member.labels) is not None])
        votes = one_hot(said)
        if self.weights is not None:
            votes = (votes * _column(self.weights, votes.double())).sum(0, keepdim=True).round(decimals=TIE)
        return votes.sum(0).argmax(1)


def _in_turn(mends: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor] | None:
    """Inputs that keep the rules of one member after the other; None without rules."""
    return (lambda x: functools.reduce(lambda kept, mend: mend(kept), mends, x)) if mends else None


def _mean(found: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of suspicions `(members, batch)` -> `(batch,)`; who has no weight has no say.

    Infinity, of a member whose score is no number, wins over -infinity. Where all weights are zero nothing is rejected.
    """
    has = weights > 0
    if not bool(has.any()):
        return found.new_full((found.shape[1],), -torch.inf)
    shares = (weights[has] / weights[has].sum()).to(found)[:, None]
    mean = (found[has] * shares).sum(0)
    return torch.where(mean.isnan(), torch.inf, mean)


def _crossing(found: Tensor, weights: Tensor, half: float) -> Tensor:
    """The highest value that members with more than `half` of the weight reach: `(members, batch)` -> `(batch,)`.

    It is above zero where members with more than half of the weight are; -infinity where no value is reached so.
    """
    ranked, order = found.sort(0, descending=True)
    reached = weights[order].cumsum(0).round(decimals=TIE) > round(half, TIE)
    place = reached.int().argmax(0)
    value = ranked.gather(0, place[None])[0]
    return torch.where(reached.any(0), value, -torch.inf)


def _column(weights: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(weights, dtype=like.dtype, device=like.device).reshape(-1, 1, 1)


def _shares(weights: Any, members: int) -> tuple[float, ...]:
    """The weights with the sum one.

    Raises:
        ModelError: HF267.
    """
    try:
        found = torch.as_tensor(weights, dtype=torch.float64).reshape(-1).tolist()
    except (TypeError, ValueError, RuntimeError):
        found = []
    if len(found) != members or not all(math.isfinite(w) and w >= 0 for w in found) or not sum(found) > 0:
        raise ModelError(
            "HF267",
            "These weights do not fit the members of the ensemble",
            seen=f"{weights!r:.80}",
            expected=f"{members} finite numbers, none below 0 and not all 0",
        )
    total = sum(found)
    return tuple(found) if abs(total - 1) <= SUM else tuple(w / total for w in found)
