"""Stacked generalization, Wolpert, Neural Networks 1992."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from holdfast.core.errors import DataError, ModelError
from holdfast.core.params import Positive, Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import seed_of
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.source import Source
from holdfast.threats.space import Box

STEPS = 200  # of L-BFGS at most, on a convex loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stacking(Learner):
    """A logistic regression decides from the members' log-probabilities, learned on samples that they have not seen.

        for each fold: members learn from the other folds and speak about this one
        minimize  mean cross-entropy(W log p + b, y) + penalty * |W|^2        then all members learn from all data

    Where every member shows its gradient so does the whole, and attacks go through all of them. A member that shows
    labels alone speaks in one-hot vectors.

    Cost: `folds` + 1 times the sum of what the learners cost.

    Args:
        of: Who learns.
        folds: Parts of the data; groups are never split.
        penalty: On the squared weights of the regression.
    """

    of: tuple[Learner, ...] = (Train(), Train(), Train())
    folds: Annotated[int, Range(2)] = 4
    penalty: Positive = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.of) < 2:
            raise ModelError("HF209", "A stack needs at least two learners", seen=len(self.of), expected="2 or more")

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model of all members and the regression.

        Args:
            dataset: What the members and the regression learn from.
            seed: Of every random number; the global random state stays as it is.
            on_event: Told what the members tell; may raise `holdfast.Stop`.

        Raises:
            DataError: HF109 where there are fewer groups than folds.
        """
        part = parts(dataset, self.folds, seed)
        said = torch.zeros(len(dataset), len(self.of) * dataset.n_classes, dtype=torch.float64)
        for k in range(self.folds):
            inside, outside = (part != k).nonzero()[:, 0], (part == k).nonzero()[:, 0]
            members = self._members(dataset.take(inside), seed_of("fold", seed, k), on_event)
            said[outside] = spoken(members, dataset.take(outside).x, dataset.n_classes)
        weight, bias = regression(said, dataset.y, dataset.n_classes, self.penalty)
        made = Stacked(tuple(self._members(dataset, seed, on_event)), weight, bias)
        seen = all(member.module is not None for member in made.members)
        source = Source(ask=made, slope=made.slope if seen else None, output="logits", classes=dataset.n_classes)
        model = Model(
            space=Box(dataset.bounds),
            name=f"stack of {len(self.of)}",
            adapter="ensemble",
            stages=("stacked log-probabilities",),
            parameters=made.digest,
            borrowed=made.borrowed,
        )
        return settle(source.model(model), dataset.x)

    def _members(self, dataset: Dataset, seed: int, on_event: Listener) -> list[Model]:
        return [one.fit(dataset, seed_of("stacking", seed, i), on_event) for i, one in enumerate(self.of)]


@dataclasses.dataclass(frozen=True, eq=False)
class Stacked:
    """The members, and the regression on what they say.

    Args:
        members: Settled models.
        weight: `(members * classes, classes)` float64.
        bias: `(classes,)` float64.
    """

    members: tuple[Model, ...]
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Logits `(batch, classes)`, without gradients."""
        return self._decided(spoken(self.members, x, len(self.bias))).to(x.dtype)

    def slope(self, x: Tensor) -> Tensor:
        """The same, differentiable."""
        said = [module(x).log_softmax(1).double() for member in self.members if (module := member.module) is not None]
        return self._decided(torch.cat(said, 1)).to(x.dtype)

    def digest(self) -> bytes:
        """Of the regression and all members."""
        made = hashlib.blake2b(self.weight.numpy().tobytes() + self.bias.numpy().tobytes(), digest_size=16)
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

    def _decided(self, said: Tensor) -> Tensor:
        return said @ self.weight.to(said.device) + self.bias.to(said.device)


def spoken(members: "tuple[Model, ...] | list[Model]", x: Tensor, classes: int, batch: int = 256) -> Tensor:
    """Log-probabilities of all members side by side, `(n, members * classes)` float64; one-hot where labels are all."""

    def one(member: Model, rows: Tensor) -> Tensor:
        if member.scores is not None:
            return member.scores(rows).double().log_softmax(1)
        return one_hot(member.answer(rows).scores.argmax(1), classes).double()

    found = []
    with torch.no_grad():
        for member in members:
            with member.borrowed():
                found.append(torch.cat([one(member, rows) for rows in torch.split(x, batch)]))
    return torch.cat(found, 1)


def regression(said: Tensor, y: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights `(features, classes)` and bias `(classes,)` of the penalized multinomial logistic regression."""
    weight = torch.zeros(said.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        descent.zero_grad()
        value = cross_entropy(said @ weight + bias, y) + penalty * (weight**2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        descent.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def parts(dataset: Dataset, folds: int, seed: int) -> Tensor:
    """Which fold each sample is in, `(n,)`; the samples of a group are in one."""
    groups = torch.arange(len(dataset)) if dataset.groups is None else dataset.groups
    names, member = torch.unique(groups, return_inverse=True)
    if len(names) < folds:
        raise DataError("HF109", "The data cannot be divided", seen=f"{len(names)} groups", expected=f"{folds} or more")
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(names)) % folds
    return place[member]
