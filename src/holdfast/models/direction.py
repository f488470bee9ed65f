"""A model in one direction: of its classes those that an attacker wants, and all others. Two classes are left."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from holdfast.models.model import Model
from holdfast.models.stage import guarded

Ask = Callable[[Tensor], Tensor]


def toward(model: Model, into: Sequence[int]) -> Model:
    """The model that says 1 where the original decides for one of `into`, else 0.

    Its two scores are the highest of the other classes and the highest of `into`, so an attack that raises their
    difference goes for whichever class of `into` is nearest. Stages, suspicion and randomness stay.

    Args:
        model: A settled model.
        into: Classes, not all of them.
    """
    wanted = tuple(sorted(into))
    behind = model.guarded
    if behind is not None:
        made = guarded(toward(behind.base, wanted), behind.stage)
        kept = {name: getattr(model, name) for name in ("space", "random", "noise", "notes")}
        hidden: dict[str, Any] = {name: None for name in ("scores", "module") if getattr(model, name) is None}
        checked = dataclasses.replace(made.guarded, checked=behind.checked)  # type: ignore[type-var]
        return dataclasses.replace(made, guarded=checked, **kept, **hidden)
    rest = tuple(k for k in range(model.classes or 0) if k not in wanted)

    def pair(ask: Ask) -> Ask:
        return lambda x: sides(ask(x), rest, wanted)

    swift = model.swift and dataclasses.replace(model.swift, ask=pair(model.swift.ask))
    return dataclasses.replace(
        model,
        classes=2,
        labels=Sided(model, wanted),
        scores=model.scores and pair(model.scores),
        module=model.module and pair(model.module),
        swift=swift,
        features=None,
        trees=None,
        names=(),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Sided:
    """batch -> `(batch,)`: 1 where a model decides for one of the wanted classes, else 0."""

    model: Model
    wanted: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Decisions."""
        said = self.model.answer(x).scores.argmax(1) if self.model.labels is None else self.model.labels(x)
        return torch.isin(said, torch.tensor(self.wanted, device=said.device)).long()


def sides(scores: Tensor, rest: Sequence[int], wanted: Sequence[int]) -> Tensor:
    """`(batch, classes)` -> `(batch, 2)`: the highest score of each side.

    Equal scores are decided as the argmax of all classes decides them, for the lowest: there the loser is put one
    floating-point step below.
    """
    pair = torch.stack([scores[:, list(rest)].amax(1), scores[:, list(wanted)].amax(1)], 1)
    first = torch.isin(scores.argmax(1), torch.tensor(list(wanted), device=scores.device))
    lost = (pair[:, 0] == pair[:, 1]) & first
    still = pair[:, 0].detach()
    step = torch.nextafter(still, torch.full_like(still, -torch.inf)) - still
    return torch.stack([pair[:, 0] + torch.where(lost, step, torch.zeros_like(step)), pair[:, 1]], 1)
