"""A stand-in taught by a black box, Papernot et al., AsiaCCS 2017, arXiv:1602.02697."""

import dataclasses

import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.params import Count, Fraction, Natural, check
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.models.model import Model
from holdfast.models.settle import settle, wrapped


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """What a surrogate became.

    Args:
        model: The stand-in, settled.
        lessons: What it was taught: inputs, and the target's decisions on them.
        queries: Questions that the target was asked.
    """

    model: Model
    lessons: Dataset
    queries: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surrogate:
    """Ask a model for its decisions, learn them, and ask again where the stand-in is least sure of its ground.

        lessons <- lessons + {clip(x + step * width * sign(gradient of the stand-in's score of the target's answer))}

    Each round learns anew from all lessons and doubles them, as far as `queries` reach (a random part of the new points
    where they do not): Jacobian-based augmentation. The target shows decisions alone.

    Cost: `queries` questions to the target, or n 2^rounds for n inputs; `rounds` + 1 times what the learner costs, and
    one forward and backward pass of the stand-in for each question after the first n.

    Args:
        of: How the stand-in learns; with rounds it must show its module, as `Train` does.
        rounds: Augmentations.
        step: Length of the step in every coordinate, as a fraction of the box's width.
        queries: Questions at most; None for no bound.
    """

    of: Learner
    rounds: Natural = 3
    step: Fraction = 0.1
    queries: Count | None = None

    def __post_init__(self) -> None:
        check(self)

    def fit(self, target: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> Taught:
        """Teach a stand-in; the labels of `data` are not looked at.

        Args:
            target: The black box, wrapped.
            data: Inputs that the attacker has, with the names of the classes.
            seed: Of the learner, and of which points are asked about where not all can be.
            on_event: Told what the learner tells; may raise `holdfast.Stop`.

        Raises:
            ModelError: HF240 for a target that is not wrapped, HF241 for a stand-in without gradients.
            DataError: As the learner, also where the target never says one of the classes.
        """
        draw = torch.Generator().manual_seed(seed)
        most = len(data) * 2**self.rounds if self.queries is None else self.queries
        data = data.take(torch.randperm(len(data), generator=draw)[:most].sort().values)
        target = settle(wrapped(target), data.x)
        lessons = _asked(target, data, data.x)
        model = self.of.fit(lessons, seed, on_event)
        for _ in range(self.rounds):
            room = most - len(lessons)
            if not room:
                break
            part = torch.randperm(len(lessons), generator=draw)[:room].sort().values
            fresh = _asked(target, data, self._moved(model, lessons.x[part], lessons.y[part]))
            both = torch.cat([lessons.x, fresh.x]), torch.cat([lessons.y, fresh.y])
            lessons = dataclasses.replace(lessons, x=both[0], y=both[1], ids=torch.arange(len(both[0])))
            model = self.of.fit(lessons, seed, on_event)
        return Taught(model=model, lessons=lessons, queries=len(lessons))

    def _moved(self, model: Model, x: Tensor, y: Tensor) -> Tensor:
        """A step of the signs of each row's gradient, inside the bounds."""
        if model.module is None:
            raise ModelError(
                "HF241",
                "A stand-in without gradients cannot say where to ask next",
                seen=model.name,
                expected="a learner whose model shows its module",
                fix="Surrogate(of=hf.Train(...)), or rounds=0",
            )
        low, high = model.space.limits(x)
        moved = []
        for rows, labels in zip(torch.split(x, 256), torch.split(y, 256), strict=True):
            leaf = rows.detach().clone().requires_grad_()
            with model.borrowed(), torch.enable_grad():
                value = model.searched(leaf, gradient=True).scores.gather(1, labels[:, None]).sum()
            (g,) = torch.autograd.grad(value, leaf)
            moved.append(rows + self.step * (high - low)[:1] * g.sign())
        return torch.minimum(torch.maximum(torch.cat(moved), low), high)


def _asked(target: Model, data: Dataset, x: Tensor) -> Dataset:
    """The points with the target's decisions, without what else was known about them."""
    return Dataset(x, target.predict(x).cpu(), bounds=data.bounds, classes=data.classes, name=f"{data.name}, asked")
