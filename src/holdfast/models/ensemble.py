"""Ensembles: several models that decide together."""

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from holdfast.core.errors import ModelError
from holdfast.models.model import Model
from holdfast.models.source import Source
from holdfast.threats.space import Box

Vote = Literal["probabilities", "logits", "labels"]
VOTES = ("probabilities", "logits", "labels")


def from_members(
    members: Sequence[Model],
    space: Box,
    *,
    vote: Vote = "probabilities",
    weights: Sequence[float] | None = None,
    classes: int | None = None,
    name: str | None = None,
) -> Model:
    """Let several wrapped models decide together.

    Args:
        members: At least two models of the same inputs.
        space: What an input is.
        vote: Mean of the probabilities, mean of the scores ("logits"), or majority of the decisions ("labels": no
            gradient; ties go to the lowest class).
        weights: How much each member counts, one number of at least 0 a member; all the same unless given.
        classes: Number of classes, where known.
        name: What reports call it.

    Raises:
        ModelError: HF209 for fewer than two members, an unknown vote, members that show less than the vote needs, or
            weights that do not fit them.
    """
    members = tuple(members)
    if len(members) < 2 or vote not in VOTES:
        raise ModelError(
            "HF209",
            "These members make no ensemble",
            seen=f"{len(members)} members, vote={vote!r}",
            expected="at least 2 members and a vote of " + ", ".join(VOTES),
        )
    mute = [member.name for member in members if member.scores is None]
    if vote != "labels" and mute:
        raise ModelError(
            "HF209",
            f"{mute[0]} shows decisions only, so its scores cannot be averaged",
            seen=f"vote={vote!r}",
            fix='vote="labels"',
        )
    together = Together(members, vote, _shares(weights, len(members)))
    slope = together.slope if vote != "labels" and all(member.module is not None for member in members) else None
    source = Source(ask=together, slope=slope, output="labels" if vote == "labels" else "logits", classes=classes)
    return source.model(
        Model(
            space=space,
            name=name or f"ensemble of {len(members)}",
            adapter="ensemble",
            stages=(f"{'weighted ' if weights is not None else ''}vote of {vote}",),
            notes=together.notes,
            parameters=together.digest,
            borrowed=together.borrowed,
        )
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Together:
    """The members' common answer: scores `(batch, classes)`, or decisions `(batch,)`."""

    members: tuple[Model, ...]
    vote: Vote
    shares: tuple[float, ...] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Without gradients."""
        if self.vote == "labels":
            return self._majority(x)
        return self.mean([scores(x) for member in self.members if (scores := member.scores) is not None])

    def slope(self, x: Tensor) -> Tensor:
        """Differentiable."""
        return self.mean([module(x) for member in self.members if (module := member.module) is not None])

    @property
    def notes(self) -> tuple[str, ...]:
        """The members' notes, each with its member's name."""
        return tuple(dict.fromkeys(f"{member.name}: {note}" for member in self.members for note in member.notes))

    def digest(self) -> bytes:
        """Of the vote and all members; members whose numbers cannot be seen count by their names."""
        made = hashlib.blake2b(self.vote.encode(), digest_size=16)
        made.update(b"" if self.shares is None else repr(self.shares).encode())
        for member in self.members:
            made.update(member.name.encode() if member.parameters is None else member.parameters())
        return made.digest()

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """All members at once."""
        with contextlib.ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.borrowed())
            yield

    def mean(self, answers: list[Tensor]) -> Tensor:
        """The members' scores as one, for votes of probabilities and logits."""
        widths = {answer.shape[1] for answer in answers}
        if len(widths) > 1:
            raise ModelError("HF209", "The members have different numbers of classes", seen=sorted(widths))
        z = torch.stack(answers)  # (members, batch, classes)
        if self.shares is not None:
            share = torch.tensor(self.shares).to(z)[:, None, None]
            if self.vote == "logits":
                return (share * z).sum(0)
            return (z.log_softmax(2) + share.log()).logsumexp(0)
        if self.vote == "logits":
            return z.mean(0)
        return z.log_softmax(2).logsumexp(0) - torch.tensor(float(len(answers))).log().to(z)

    def _majority(self, x: Tensor) -> Tensor:
        said = torch.stack([labels(x) for member in self.members if (labels := member.labels) is not None])
        votes = one_hot(said)
        if self.shares is not None:
            return (votes * torch.tensor(self.shares, dtype=torch.float64)[:, None, None]).sum(0).argmax(1)
        return votes.sum(0).argmax(1)


def _shares(weights: Sequence[float] | None, members: int) -> tuple[float, ...] | None:
    """The weights, so that they add up to 1."""
    if weights is None:
        return None
    found = [float(w) for w in weights]
    if len(found) != members or not all(math.isfinite(w) and w >= 0 for w in found) or not sum(found):
        raise ModelError(
            "HF209",
            "These weights make no vote",
            seen=f"{found} for {members} members",
            expected="a finite number of at least 0 for each member, not all 0",
        )
    return tuple(w / sum(found) for w in found)
