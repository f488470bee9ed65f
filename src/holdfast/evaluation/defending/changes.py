"""What changed between two audits of a table's model: recall by class, columns that attackers used, rows in words."""

import collections
import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch

from holdfast.attacks.trees.exact import exact_distance
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._broken import BOXES, exactly
from holdfast.evaluation import provenance
from holdfast.evaluation.comparison import Comparison
from holdfast.evaluation.defending.dividing import Parts
from holdfast.evaluation.defending.hardening import Column, Example, Hardening, OfClass, TableChoice
from holdfast.evaluation.defending.tabular import ROUNDS, Asked
from holdfast.evaluation.evading import in_direction
from holdfast.evaluation.manifest import keys_of
from holdfast.evaluation.parts import Array
from holdfast.evaluation.statistics import Rate, rate
from holdfast.evaluation.store import Folder
from holdfast.models.model import Model
from holdfast.threats.tables.tabular import Tabular

EXAMPLES = 5
SEEN = (
    "The figures under attack are what this search leaves. Rounds have seen the same search on the training part: one "
    "that they have not seen, or a longer one (--suite standard), may find more."
)


@dataclasses.dataclass(frozen=True)
class Written:
    """What came out: the class of the estimator, the seconds it took, its file (or none), whether that needs trust."""

    kind: str
    seconds: float
    file: str
    trust: bool


def told(
    compared: Comparison,
    choice: TableChoice,
    models: tuple[Model, Model],
    parts: Parts,
    asked: Asked,
    runs: tuple[Folder, Folder],
    made: Written,
    remarks: tuple[str, ...],
) -> Hardening:
    """The document.

    Args:
        compared: The audits, row by row.
        choice: The recipe.
        models: Before and after.
        parts: The data.
        asked: What both were audited under.
        runs: The audits.
        made: What came out.
        remarks: What to know.
    """
    threat, data = asked.threat, parts.judged
    adversarial = [_adversarial(run, data) for run in runs]
    exact, aimed = None, tuple(in_direction(model, parts.test, asked.evade) for model in models)
    if all(exactly(model, threat) for model in aimed):
        audited = _rows_of(runs[0], data)
        exact = _both(lambda model: _proven(model, audited, float(threat.radius)), models)
    return Hardening(
        holdfast=provenance.version(),
        model=models[0].name,
        made=models[1].name,
        kind=made.kind,
        data=data.name,
        split=data.split,
        threat=threat.literal,
        words=threat.words(data.space),
        evade=asked.evade,
        suite=runs[0].summary.suite,
        choice=choice,
        seconds=made.seconds,
        file=made.file,
        trust=made.trust,
        comparison=compared,
        classes=_classes(runs),
        accuracy=_both(lambda model: _right(model, parts.test), models) if asked.evade else None,
        exact=exact,
        columns=_columns(data, *adversarial),
        broken=(len(adversarial[0]), len(adversarial[1])),
        examples=_examples(data, *adversarial),
        notes=(*remarks, *((SEEN,) if choice.recipe.startswith(ROUNDS) else ())),
    )


def _both(measure: Callable[[Model], Rate], models: tuple[Model, Model]) -> tuple[Rate, Rate]:
    """Before and after."""
    return measure(models[0]), measure(models[1])


def _classes(runs: tuple[Folder, Folder]) -> tuple[OfClass, ...]:
    """Recall and recall under attack of each class that both audits hold."""
    first, second = ({c.label: c for c in run.summary.threats[0].per_class} for run in runs)
    return tuple(
        OfClass(
            name=one.name,
            before=one.clean,
            after=second[label].clean,
            held_before=one.robust,
            held_after=second[label].robust,
        )
        for label, one in first.items()
        if label in second
    )


def _adversarial(run: Folder, data: Dataset) -> dict[int, Array]:
    """Position in the data -> the row that broke the model."""
    place = {key: i for i, key in enumerate(keys_of(data.digests))}
    found: dict[int, Array] = {}
    for asked in (q for q in run.parts.questions() if q.kind == "search"):
        for key, row in run.parts.arrays(asked, "adversarial").items():
            if key in place:
                found.setdefault(place[key], row)
    return found


def _rows_of(run: Folder, data: Dataset) -> Dataset:
    """The rows that a run has audited."""
    there = set(run.manifest.samples.keys)
    return data.take([i for i, key in enumerate(keys_of(data.digests)) if key in there])


def _columns(data: Dataset, before: Mapping[int, Array], after: Mapping[int, Array]) -> tuple[Column, ...]:
    """How many adversarial rows changed each column; a one-hot group is one column."""
    if data.schema is None:
        return ()
    names = [feature.group or feature.name for feature in data.schema.features]
    counts = []
    for found in (before, after):
        count: collections.Counter[str] = collections.Counter()
        for i, row in found.items():
            a, b = data.x[i].numpy(), np.asarray(row)
            moved = ~((a == b) | (np.isnan(a) & np.isnan(b)))
            count.update({names[j] for j in np.flatnonzero(moved)})
        counts.append(count)
    order = sorted({*counts[0], *counts[1]}, key=lambda name: (-counts[0][name] - counts[1][name], name))
    return tuple(Column(name=name, before=counts[0][name], after=counts[1][name]) for name in order)


def _examples(data: Dataset, before: Mapping[int, Array], after: Mapping[int, Array]) -> tuple[Example, ...]:
    """Rows in words, those that hold now first; only of data whose rows may be shown."""
    space = data.space
    if not data.shared or not isinstance(space, Tabular) or data.ids is None:
        return ()
    held, both = [i for i in before if i not in after], [i for i in before if i in after]
    shown = (*held[: EXAMPLES - min(2, len(both))], *both)[:EXAMPLES]

    def words(i: int, found: Mapping[int, Array]) -> str:
        return space.describe(data.x[i], torch.from_numpy(found[i])) if i in found else ""

    return tuple(Example(row=int(data.ids[i]), before=words(i, before), after=words(i, after)) for i in shown)


def _right(model: Model, data: Dataset) -> Rate:
    return rate(int((model.predict(data.x) == data.y).sum()), len(data), "rows of the test part")


def _proven(model: Model, data: Dataset, radius: float) -> Rate:
    """Rows that are right, and of which the exact search proves that nothing in the ball is another class."""
    found = exact_distance(model, data.x, data.y, budget=BOXES, within=np.nextafter(radius, np.inf))
    held = int((found.lower > radius).sum())
    return rate(held, len(data), "rows of the audit")
