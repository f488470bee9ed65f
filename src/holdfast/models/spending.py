"""What a model may still be asked, what it was asked, and the model without its memory."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from holdfast.models.direction import Sided, toward
from holdfast.models.endpoint import Port
from holdfast.models.ensemble import Together
from holdfast.models.memory import Remembering
from holdfast.models.model import Model
from holdfast.models.source import source_of


@dataclasses.dataclass(frozen=True)
class Spent:
    """Rows that a model with a memory was asked, and rows that its memory answered; both 0 without a memory."""

    asked: int = 0
    remembered: int = 0

    def __sub__(self, other: "Spent") -> "Spent":
        """What was spent since."""
        return Spent(self.asked - other.asked, self.remembered - other.remembered)


def rows_left(model: Model) -> float:
    """Rows that the endpoints behind a settled model may still be asked under their `cap`; infinity where none has."""
    ports = [ask for ask in _asks(model) if isinstance(ask, Port)]
    return min((port.line.left for port in ports), default=math.inf)


def spent(model: Model) -> Spent:
    """What was asked of a settled model so far, and what it was not asked because it was known."""
    memories = [ask for ask in _asks(model) if isinstance(ask, Remembering)]
    return Spent(sum(one.asked for one in memories), sum(one.known for one in memories))


def remembers(model: Model) -> bool:
    """Whether answers of a settled model are remembered."""
    return any(isinstance(ask, Remembering) for ask in _asks(model))


def unremembered(model: Model) -> Model:
    """A model that is asked anew about every row, whatever was said of it before: whether it repeats itself is seen."""
    if model.guarded is not None:
        return dataclasses.replace(
            model, guarded=dataclasses.replace(model.guarded, base=unremembered(model.guarded.base))
        )
    if isinstance(model.labels, Sided):
        return toward(unremembered(model.labels.model), model.labels.wanted)
    source = source_of(model)
    if source is None or source.slope is not None:
        return model
    ask = source.ask.anew if isinstance(source.ask, Remembering) else source.ask
    source = dataclasses.replace(source, ask=ask, remember=False)
    if isinstance(source.ask, Together):
        members = tuple(map(unremembered, source.ask.members))
        source = dataclasses.replace(source, ask=dataclasses.replace(source.ask, members=members))
    made = source.model(model)
    return made if model.scores is not None else dataclasses.replace(made, scores=None)


def _asks(model: Model) -> Iterator[Callable[[Tensor], Tensor] | Any]:
    """The functions behind a model that answer, from the outside in."""
    if model.guarded is not None:
        yield from _asks(model.guarded.base)
        return
    if isinstance(model.labels, Sided):
        yield from _asks(model.labels.model)
        return
    source = source_of(model)
    if source is None:
        return
    ask: Any = source.ask
    while isinstance(ask, Remembering):
        yield ask
        ask = ask.ask
    yield ask
    for member in ask.members if isinstance(ask, Together) else ():
        yield from _asks(member)
