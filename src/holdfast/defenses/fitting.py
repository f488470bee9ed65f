"""Defenses that learn from clean data before they can stand in front of a model."""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.selective_pgd import SelectivePgd
from holdfast.core.errors import DataError
from holdfast.core.params import Fraction, Positive, Range, check, told
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import careful
from holdfast.models.model import Model
from holdfast.models.settle import taken, wrapped
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box
from holdfast.threats.threats import Threat

TWICE = 8  # inputs that a score is asked twice for, where the model draws random numbers
MIDDLE = 1.349  # deviations between the quartiles of a normal distribution
Score = Callable[[Tensor], Tensor]  # (batch, ...) -> (batch,), higher = more suspicious


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted(abc.ABC):
    """A defense whose stage is made from a model and clean data; its fields are its configuration."""

    def __post_init__(self) -> None:
        check(self)

    def __init_subclass__(cls) -> None:
        """Every `fit` refuses what is no wrapped model or no data set."""
        super().__init_subclass__()
        if "fit" in vars(cls):
            setattr(cls, "fit", _in_front(careful(vars(cls)["fit"])))  # noqa: B010 - mypy knows methods as constants

    @abc.abstractmethod
    def fit(self, model: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> Stage:
        """A stage for `stage.guard(model)`; the same arguments give the same stage on the same machine.

        Args:
            model: What the stage will stand in front of, settled.
            data: Clean samples that the model was not tested on.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told about progress.
        """


def _in_front(fit: Callable[..., Stage]) -> Callable[..., Stage]:
    """A `fit` whose model must be wrapped: HF240."""

    @functools.wraps(fit)
    def fitted(self: Fitted, model: Model, *args: Any, **kwargs: Any) -> Stage:
        return fit(self, wrapped(model), *args, **kwargs)

    return fitted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detector(Fitted):
    """A score of suspicion, and a threshold that clean data exceed at a stated rate.

    `fit` learns the score on one part of the data and sets the threshold on the other: the smallest value that keeps
    the share of rejected clean inputs at `fpr` or below in expectation (the conformal quantile). The threshold never
    sees an attack.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
    """

    fpr: Fraction = 0.05
    held_out: Fraction = 0.5

    @property
    def slope(self) -> Gradient:
        """What the gradient of the score is worth, where the model can be differentiated: as for a `Stage`."""
        return "exact"

    @abc.abstractmethod
    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The score, higher for more suspicious inputs: batch -> `(batch,)`, differentiable where `slope` is exact.

        What it learned stays as it is; a score may keep tensors, never the data themselves unless it needs them.
        """

    def fit(self, model: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> "Flag":
        """The detector as a stage.

        Raises:
            DataError: HF130 where the held-out part is too small for the stated rate.
            ModelError: HF221 where the model cannot take these data.
        """
        taken(model, data.x)
        learned, held = data.divide(1 - self.held_out, seed)
        with model.borrowed():
            score = self.learn(model, learned, seed)
            clean = values(score, held.x)
            slope = _through(self.slope, model) if _sloped(score, held.x[:1]) else "none"
            unit = spread(clean) / lead(model, held.x)
            draws = model.random and not torch.equal(values(score, held.x[:TWICE]), values(score, held.x[:TWICE]))
        at = threshold(clean, self.fpr)
        shape = tuple(data.x.shape[1:])
        return Flag(of=told(self), score=score, threshold=at, unit=unit, slope=slope, draws=draws, shape=shape)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Flag(Stage):
    """A fitted detector in front of a model: inputs pass unchanged, suspicious ones are rejected.

        suspicion(x) = (score(x) - threshold) / unit

    The unit makes the spread of clean scores as large as the usual lead of the decided class. It changes no decision;
    it gives suspicion a size that an attack can weigh against a margin, whatever the detector measures. Without a slope
    it is flattened to its inverse hyperbolic sine, so that where it is huge the slope of the margin is not lost beside
    it. A score that is no number is suspicious.

    Args:
        unit: What the distance to the threshold is divided by.
        threshold: Above which an input is rejected.
        of: The detector as text.
        score: Of suspicion.
        slope: What the gradient of the score is worth: "exact", "straight-through", or "none".
        draws: Whether two scores of one input differ, as behind a stage that draws random numbers.
        shape: Of the inputs that it was fitted to, without the batch; None where any will do.
    """

    unit: Positive = 1.0
    threshold: Annotated[float, Range(-math.inf, math.inf)]
    of: str
    score: Score = dataclasses.field(repr=False)
    slope: Gradient = "exact"
    draws: bool = False
    shape: tuple[int, ...] | None = None

    @property
    def random(self) -> bool:
        """Whether the score draws random numbers."""
        return self.draws

    def suspicion(self, x: Tensor, space: Box) -> Tensor:
        """The score above the threshold, in units of the clean spread, `(batch,)` of the type of `x`."""
        found = (self.score(x).double() - self.threshold) / self.unit
        found = found.asinh() if self.slope == "none" else found
        return torch.where(found.isnan(), torch.inf, found).to(x.dtype)

    def reasons(self, x: Tensor, space: Box) -> list[str]:
        """The detector, its score and its threshold; what a score has to tell itself, where it has a method `told`."""
        told = getattr(self.score, "told", None)
        if told is not None:
            flags = (self.suspicion(x, space) > 0).tolist()
            return [f"{self.of}: {text}" if flag else "" for flag, text in zip(flags, told(x), strict=True)]
        found = self.score(x)
        return [
            f"{self.of}: score {value:.4g} above {self.threshold:.4g}" if not value <= self.threshold else ""
            for value in found.tolist()
        ]

    @property
    def mends(self) -> bool:
        """Whether the score knows what passes, by a method `mended`."""
        return hasattr(self.score, "mended")

    def mended(self, x: Tensor, space: Box) -> Tensor:
        """The inputs as the score's rules want them, else `x`."""
        mend = getattr(self.score, "mended", None)
        found: Tensor = x if mend is None else mend(x)
        return found

    def attacks(self, threat: Threat) -> Sequence[Attack]:
        """Descents from the accepted input, for detectors with a slope: in tiny steps, on few features, selectively."""
        if self.slope == "none":
            return ()
        return (
            SelectivePgd(steps=200, first=0.05, last=0.01, share=0.3),
            SelectivePgd(share=0.05),
            SelectivePgd(shape="gradient", loss="margin"),
        )

    def learned(self) -> bytes:
        """The threshold to 6 digits; the score itself shows in what is rejected."""
        return f"{self.threshold:.6g}".encode()

    def __str__(self) -> str:
        return self.of


def values(score: Score, x: Tensor, batch: int = 256) -> Tensor:
    """Scores `(n,)` in batches, float64, without gradients."""
    with torch.no_grad():
        return torch.cat([score(rows).detach().double().cpu() for rows in torch.split(x, batch)])


def spread(clean: Tensor) -> float:
    """The deviation of scores as their middle half tells it; of all of them, or 1, where that half is equal."""
    low, high = torch.quantile(clean, torch.tensor([0.25, 0.75], dtype=clean.dtype)).tolist()
    found = [(high - low) / MIDDLE, float(clean.std(correction=0))]
    return next((value for value in found if 0 < value < math.inf), 1.0)


def lead(model: Model, x: Tensor, batch: int = 256) -> float:
    """The median lead of the highest score over the second one; 1 where it is none."""
    with torch.no_grad():
        top = torch.cat([model.answer(rows).scores.double().topk(2, 1).values for rows in torch.split(x, batch)])
    found = float((top[:, 0] - top[:, 1]).median())
    return found if 0 < found < math.inf else 1.0


def threshold(clean: Tensor, fpr: float) -> float:
    """The conformal quantile: of n clean scores the ceil((n + 1)(1 - fpr))-th smallest.

    A fresh clean input from the same source exceeds it with a probability of at most `fpr`, whatever the scores are
    (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005).

    Raises:
        DataError: HF130 where n is too small for such a value to exist.
    """
    rank = math.ceil((len(clean) + 1) * (1 - fpr) - 1e-9)
    if rank > len(clean) or rank < 1:
        raise DataError(
            "HF130",
            "Too few held-out samples for the false-positive rate",
            seen=f"{len(clean)} samples, fpr={fpr:g}",
            expected=f"at least {math.ceil(1 / fpr) - 1}",
            fix="more data, or a higher fpr",
        )
    return float(clean.sort().values[rank - 1])


def _through(slope: Gradient, model: Model) -> Gradient:
    """The slope of a score that looks at a model: never more than what the stages in front of it let through."""
    behind = model.guarded
    while behind is not None:
        slope = "straight-through" if behind.stage.gradient != "exact" else slope
        behind = behind.base.guarded
    return slope


def _sloped(score: Score, x: Tensor) -> bool:
    """Whether autograd finds a way from a score back to the input."""
    with torch.enable_grad():
        return score(x.detach().clone().requires_grad_()).requires_grad
