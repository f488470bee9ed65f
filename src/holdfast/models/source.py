"""Where an adapter's answers come from, and the Model made of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.models.model import Model, Wide
from holdfast.models.outputs import Output, as_labels, as_scores, check_shape, recognize
from holdfast.models.threshold import Threshold, chance_of


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """The raw outputs of a model, and what is known about them.

    Args:
        ask: batch -> raw outputs; runs without gradients.
        slope: batch -> the same raw outputs, differentiable; None where there is no such way.
        decide: batch -> `(batch,)` decisions where the library has its own word for them; else the argmax decides.
        output: What the raw outputs are; None until `settle` has looked.
        classes: Number of classes, None until then.
        same: Where `slope` is a copy of what `ask` asks: how far their margins lie apart on a batch with outputs of
            that kind, and what is wrong with the copy in words, empty where nothing is. None where the two are one.
        wide: Where the inputs are a table's codes: `slope` of wider rows.
        others: Other ways to ask the same model, to be tried in this order where scores and decisions disagree.
        settled: Whether `settle` has looked.
        origin: The fitted estimator of a library that answers; None for anything else.
        chances: batch -> the probabilities that the library itself tells, `(batch,)` of class 1 or `(batch, classes)`,
            where the raw outputs are something else.
        remember: Whether answers are remembered once `settle` has looked (`memory.Remembering`).
        sent: batch -> what the model is really sent, `(n, ...)`, where that is not the batch: rounded, say.
        threshold: Where a class is decided from a probability on; the library's own word for decisions is then not
            asked.
    """

    ask: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor] | None = None
    decide: Callable[[Tensor], Tensor] | None = None
    output: Output | None = None
    classes: int | None = None
    same: Callable[[Tensor, Output], tuple[float, str]] | None = None
    wide: Wide | None = None
    others: tuple["Source", ...] = ()
    settled: bool = False
    origin: Any = None
    chances: Callable[[Tensor], Tensor] | None = None
    threshold: Threshold | None = None
    remember: bool = False
    sent: Callable[[Tensor], np.ndarray] | None = None

    def scores(self, raw: Tensor, x: Tensor | None = None) -> Tensor:
        """Raw outputs as scores `(batch, classes)` whose argmax is the decision; read anew while `output` is open.

        Args:
            raw: What was answered.
            x: To what; where it is given, the library's own probabilities decide beside a threshold.
        """
        output = self.output or recognize(raw).output
        found = as_scores(raw, output)
        if self.threshold is None:
            return found
        if output == "probabilities":
            return self.threshold.cut(found, chance_of(raw, self.threshold.column))
        return self.threshold.cut(found, None if x is None else self._told(found, x, self.threshold))

    def _told(self, scores: Tensor, x: Tensor, threshold: Threshold) -> Tensor | None:
        """The library's own probabilities where log-odds are as near to the threshold as rounding goes: `(batch,)`.

        Of all other rows 0 or 1; None where there is no such row, or nothing tells probabilities.
        """
        c = threshold.column
        if self.chances is None or c >= scores.shape[1]:
            return None
        scores = scores.detach()
        others = torch.cat([scores[:, :c], scores[:, c + 1 :]], 1)
        own = scores[:, c] - others.logsumexp(1) - threshold.odds
        near = own.abs() <= threshold.rounding(float(torch.finfo(scores.dtype).eps), scores.abs().amax(1))
        if not bool(near.any()):
            return None
        told = chance_of(check_shape(self.chances(x[near]), int(near.sum())), c)
        chance = (own >= 0).to(told)
        chance[near] = told
        return chance

    def model(self, model: Model) -> Model:
        """`model` with the fields that this source fills."""
        shown: dict[str, Any] = {"labels": Labels(self), "scores": None, "module": None, "classes": self.classes}
        if self.output != "labels":
            shown |= {"scores": Scores(self, self.ask, False), "module": self.slope and Scores(self, self.slope, True)}
            if self.slope is not None and self.wide is not None:
                shown["wide"] = Wide(self.wide.of, Scores(self, self.wide.ask, True))
        return dataclasses.replace(model, **shown)


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """batch -> `(batch, classes)`. Until `settle` has looked, every batch is read anew."""

    source: Source
    ask: Callable[[Tensor], Tensor]
    gradient: bool

    def __call__(self, x: Tensor) -> Tensor:
        """Scores `(batch, classes)`."""
        with torch.set_grad_enabled(self.gradient and torch.is_grad_enabled()):
            return self.source.scores(check_shape(self.ask(x), len(x)), None if self.gradient else x)


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """batch -> `(batch,)` int64 decisions."""

    source: Source

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Decisions `(batch,)`."""
        source = self.source
        if source.decide is not None and source.threshold is None:
            return source.decide(x)
        raw = check_shape(source.ask(x), len(x))
        output = source.output or recognize(raw).output
        return as_labels(raw) if output == "labels" else source.scores(raw, x).argmax(1)


def source_of(model: Model) -> Source | None:
    """The source behind a wrapped model; None for models that were put together by hand or by a guard."""
    return model.labels.source if isinstance(model.labels, Labels) else None
