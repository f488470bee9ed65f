"""The copy of a network that attacks search on: norms folded into convolutions, channels last, small pieces of a batch.

It answers what the original answers, up to rounding, in less time. It never decides: successes within its slack are
asked of the original at once (`attacks.probe`), all others at the end, and a row whose success the original does not
repeat is searched again on the original (`attacks.run`).
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from holdfast.models.ensemble import Together
from holdfast.models.folded import folded
from holdfast.models.model import Guarded, Model, Swift
from holdfast.models.source import Scores, Source, source_of
from holdfast.models.stage import Stage
from holdfast.models.torch_module import Normalized
from holdfast.threats.space import Box

Ask = Callable[[Tensor], Tensor]
ROWS = 8  # pictures on which copy and original are compared
CLOSE = 1e-4  # of the scores' spread that an answer of the copy may be off
WIDER = 10  # how much larger than the largest difference seen the slack is
SAME = 1e-2  # of the gradients' length that they may be off, all rows together; a unit at its kink may fall either way
PIECE = 2**16  # pixels sent through at once, so that a layer's numbers are still in the cache when the next one asks
LEAST = 8  # rows sent through at once, however large the pictures


def prepared(model: Model, x: Tensor) -> Model:
    """The model with its field `swift`, where a copy can be made and agrees; else the model as it is.

    Made are copies of torch networks with convolutions whose whole computation torch.fx can trace through layers and
    functions of torch, without hooks; batch norms behind convolutions are folded into them, for in evaluation mode
    `gamma (w * x - mean) / deviation + beta` is a convolution too. The copy has the weights of this moment. An ensemble
    gets one where every member does. Costs the trace and four small passes.

    Args:
        model: A settled model.
        x: Inputs `(n, ...)`; the first few are compared.
    """
    if model.guarded is not None:
        return _behind(model, model.guarded, x)
    source = source_of(model)
    if model.swift is not None or model.module is None or model.random or source is None or not source.settled:
        return model
    ask = source.ask
    if isinstance(ask, Together):
        return _voting(model, source, ask, x)
    if not isinstance(ask, Normalized) or source.slope is not ask or x.dim() != 4 or not len(x):
        return model
    with model.borrowed():
        made = folded(ask.net)
        if made is None:
            return model
        copied = Scores(source, ChannelsLast(dataclasses.replace(ask, net=made.net)), True)
        slack = slack_of(model.module, copied, compared(model.space, x))
    return model if slack is None else dataclasses.replace(model, swift=Swift(copied, slack, piece_of(x)))


def _behind(model: Model, guard: Guarded, x: Tensor) -> Model:
    """A guarded model that searches on the copy of its base, where the stage draws no random numbers."""
    if model.swift is not None or model.module is None or model.random or not len(x):
        return model
    with model.borrowed(), torch.no_grad():
        inside = guard.stage.apply(x[:ROWS], model.space)
    base = prepared(guard.base, inside)
    if base.swift is None:
        return model
    copied = _Through(guard.stage, model.space, base.swift.ask)
    swift = dataclasses.replace(base.swift, ask=copied)
    return dataclasses.replace(model, swift=swift, guarded=dataclasses.replace(guard, base=base))


def _voting(model: Model, source: Source, together: Together, x: Tensor) -> Model:
    """An ensemble that searches on the copies of its members, where each has one and their vote agrees."""
    if model.module is None or not len(x):
        return model
    swifts = [prepared(member, x).swift for member in together.members]
    asks = tuple(swift.ask for swift in swifts if swift is not None)
    if len(asks) < len(swifts):
        return model
    copied: Ask = _Together(together, asks)
    if model.threshold is not None:
        copied = Scores(source, copied, True)
    with model.borrowed():
        slack = slack_of(model.module, copied, compared(model.space, x))
    return model if slack is None else dataclasses.replace(model, swift=Swift(copied, slack, piece_of(x)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Together:
    """The copies of an ensemble's members, combined as their originals are."""

    together: Together
    asks: tuple[Ask, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Scores, differentiable."""
        return self.together.combined([ask(x) for ask in self.asks])


@dataclasses.dataclass(frozen=True, eq=False)
class _Through:
    """The copy behind a stage."""

    stage: Stage
    space: Box
    ask: Ask

    def __call__(self, x: Tensor) -> Tensor:
        """Scores, differentiable as the stage declares."""
        return self.ask(self.stage.passed(x, self.space))


def piece_of(x: Tensor) -> int:
    """Rows that go through a network together: on a processor as many as its cache holds well, else all (0)."""
    return max(PIECE // x[0, 0].numel(), LEAST) if x.device.type == "cpu" else 0


def compared(space: Box, x: Tensor) -> Tensor:
    """Seeded pictures of the shape of `x`, from nearly flat to plain noise: `(8, ...)` inside the bounds."""
    draw = torch.Generator().manual_seed(ROWS)
    low, high = space.limits(x[:1])
    noise, flat = (
        torch.rand(ROWS, *shape, generator=draw, dtype=torch.float64).to(x)
        for shape in (x.shape[1:], (x.shape[1], 1, 1))
    )
    rough = torch.linspace(0.02, 1, ROWS).to(x).reshape(-1, 1, 1, 1)
    return low + (high - low) * torch.lerp(flat.expand_as(noise), noise, rough)


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelsLast:
    """The copy, asked in its own memory order."""

    ask: Normalized

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs."""
        return self.ask(x.contiguous(memory_format=torch.channels_last))


def slack_of(one: Ask, other: Ask, x: Tensor, close: float = CLOSE, same: float = SAME) -> float | None:
    """How far margins of the two may lie apart; None where either fails or they differ by more than rounding.

    Args:
        one: Scores of the original.
        other: Scores of the copy.
        x: Inputs `(n, ...)` on which they are compared, with a gradient.
        close: Of the scores' spread, that scores may be off.
        same: Of the gradients' length, that gradients may be off.
    """
    try:
        (a, g), (b, h) = _asked(one, x), _asked(other, x)
    except Exception:  # noqa: BLE001 - a user's network may refuse pictures of noise, or run only as it was written
        return None
    if a.shape != b.shape or not bool(torch.isfinite(a).all()):
        return None
    far, spread = float((a - b).abs().amax()), float(a.amax() - a.amin()) or 1.0
    if far > close * spread or float((g - h).norm()) > same * float(g.norm()):
        return None
    return max(2 * WIDER * far, torch.finfo(x.dtype).eps * spread)


def _asked(way: Ask, x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        scores = way(leaf)
        weights = torch.linspace(-1, 1, scores.shape[1], dtype=scores.dtype, device=scores.device)
        value = (scores * weights).sum()
    if not value.requires_grad:
        return scores.detach().double(), torch.zeros_like(leaf).double()
    (gradient,) = torch.autograd.grad(value, leaf)
    return scores.detach().double(), gradient.double()
