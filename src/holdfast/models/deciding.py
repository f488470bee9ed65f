"""A wrapped model that decides a class at a threshold; and a threshold for a rate of false alarms."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.models.cuts import MARK, decisions
from holdfast.models.ensemble import Together
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.source import Source, source_of
from holdfast.models.stage import guarded
from holdfast.models.threshold import Threshold, threshold_of
from holdfast.models.trees.cutting import cut
from holdfast.models.trees.form import Trees
from holdfast.threats.goals import indices
from holdfast.threats.tables.tabular import Tabular

ROUNDING = 8
"""Steps of the floating type that a threshold lies above the highest log-odds that it shall not reach."""


def at_threshold(model: Model, threshold: Any, names: Sequence[str] = ()) -> Model:
    """The model with one class decided from a probability on; scores, gradients, trees and decisions alike.

    Costs nothing; `settle` sees on the first batch whether there are probabilities. A model that has a threshold gets
    this one instead. Behind stages it is the model's.

    Args:
        model: What `hf.wrap` made.
        threshold: As `threshold_of` reads it; `Threshold` itself too.
        names: Of the classes; those that the model knows unless given.

    Raises:
        ModelError: HF282 for what is no threshold, and for models without probabilities.
    """
    if model.guarded is not None:
        made = guarded(at_threshold(model.guarded.base, threshold, names), model.guarded.stage)
        hidden = {f: None for f in ("scores", "module", "features") if getattr(model, f) is None}
        return dataclasses.replace(made, **hidden)  # type: ignore[arg-type]
    source = source_of(model)
    if source is None or (source.origin is not None and source.chances is None):
        what = model.name if source is None else type(source.origin).__name__
        raise ModelError(
            "HF282",
            f"{what} tells no probabilities that a threshold could cut",
            expected="what hf.wrap makes of a network, a function, or a classifier with predict_proba",
            fix="calibrate it: CalibratedClassifierCV(classifier).fit(x, y)",
        )
    inside = source.ask.members if isinstance(source.ask, Together) else ()
    if cutting := next((member for member in inside if member.threshold is not None), None):
        raise ModelError(
            "HF282",
            "The members of this ensemble decide at thresholds of their own, so their mean is no probability",
            seen=repr(cutting)[:120],
            fix="give the threshold to the ensemble alone, or to its members alone",
        )
    known = tuple(names) or named(model)
    cut_at = threshold_of(threshold, known)
    ways = [source, *source.others]
    if source.chances is not None and source.output != "probabilities":
        told, origin, kept = source.chances, source.origin, source.remember
        ways.append(Source(ask=told, output="probabilities", chances=told, origin=origin, remember=kept))
    first, *others = (dataclasses.replace(way, threshold=cut_at, settled=False) for way in ways)
    note = cut_at.told(known[cut_at.column] if cut_at.column < len(known) else "")
    hidden = {f: None for f in ("scores", "module", "wide") if getattr(model, f) is None}
    made = dataclasses.replace(first, others=tuple(others)).model(
        dataclasses.replace(
            model,
            threshold=cut_at,
            notes=(*(one for one in model.notes if MARK not in one), note),
            trees=_cut(model.trees, cut_at) if model.classes in (None, 2) else None,
            swift=None,
        )
    )
    return dataclasses.replace(made, **hidden)  # type: ignore[arg-type]


def named(model: Model) -> tuple[str, ...]:
    """Names of the classes that a model or its schema knows."""
    if model.names:
        return model.names
    if isinstance(model.space, Tabular) and model.space.schema.classes:
        return tuple(model.space.schema.classes)
    source = source_of(model)
    words = getattr(None if source is None else source.origin, "classes_", ())
    return tuple(map(str, np.asarray(words).tolist())) if len(words) else ()


def notes_of(model: Model, names: Sequence[str]) -> tuple[str, ...]:
    """A model's notes; a class that is decided at a threshold by its name in the data.

    Asked in one direction, a model says whether it decides for what is aimed at: the threshold is of one of the classes
    that it had before, and these names are none of theirs.
    """
    cut_at, base = model.threshold, model
    while base.guarded is not None:
        base = base.guarded.base
    if cut_at is None or cut_at.column >= len(names) or source_of(base) is None:
        return model.notes
    return tuple(cut_at.told(names[cut_at.column]) if MARK in note else note for note in model.notes)


def decision(model: Model, names: Sequence[str]) -> str:
    """Which class is decided at which threshold, as a sentence; empty where the highest score decides."""
    return "".join(decisions(notes_of(model, names))[:1])


def threshold_at(model: Model, x: Any, y: Any, fpr: float, class_: int | str = 1) -> Threshold:
    """The lowest threshold at which no more than a share of the samples of other classes is taken for the class.

    Choose it on held-out samples, those that neither the model learned from nor the audit judges. Give it to
    `hf.wrap(..., threshold=...)`.

    Args:
        model: A wrapped model that tells probabilities, with or without a threshold.
        x: Clean samples `(n, ...)`, in the data's own units.
        y: Their classes, `(n,)`.
        fpr: False alarms, as a share of the samples that are not of the class; 0 or more and below 1.
        class_: The class that is decided at the threshold, by its number or by a name that the model knows.

    Raises:
        ModelError: HF282 for a rate that cannot be held, no samples of other classes, or a model without probabilities.
    """
    even = Threshold(0.5, class_) if isinstance(class_, int) else threshold_of(f"{class_}:0.5", named(model))
    column = even.column
    x = x if isinstance(x, Tensor) else model.space.batch(x)
    cut_model = settle(at_threshold(model, even), x)
    labels = indices(y, len(x), cut_model.classes)
    clean = (labels != column).nonzero()[:, 0].to(x.device)
    if not len(clean) or isinstance(fpr, bool) or not 0 <= fpr < 1:
        raise ModelError(
            "HF282",
            "No threshold holds this rate of false alarms",
            seen=f"fpr={fpr!r}, {len(clean)} samples of other classes",
            expected="a rate of 0 or more and below 1, and samples of other classes",
        )
    with cut_model.borrowed(), torch.no_grad():
        scores = torch.cat([cut_model.answer(rows).scores[:, column] for rows in torch.split(x[clean], 256)])
    highest = float(scores.sort(descending=True).values[math.floor(fpr * len(scores))])  # log-odds
    odds = highest + ROUNDING * torch.finfo(scores.dtype).eps * max(1.0, abs(highest))
    at = 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0
    if not 0 < at < 1:
        raise ModelError(
            "HF282",
            "No threshold holds this rate of false alarms",
            seen=f"log-odds of {highest:g} at fpr={fpr:g}",
            expected="a probability that is not 0 or 1 there",
            fix="allow more false alarms, or fewer",
        )
    return Threshold(at, column)


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """Trees that are read and cut at the first call."""

    read: Callable[[], Trees]
    threshold: Threshold

    @functools.cached_property
    def _made(self) -> Trees:
        return cut(self.read(), self.threshold)

    def __call__(self) -> Trees:
        """The arrays."""
        return self._made


def _cut(read: Callable[[], Trees] | None, threshold: Threshold) -> Cut | None:
    return None if read is None else Cut(read.read if isinstance(read, Cut) else read, threshold)
