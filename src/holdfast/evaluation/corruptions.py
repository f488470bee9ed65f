"""How many samples a model gets right under the common corruptions, Hendrycks and Dietterich, ICLR 2019."""

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Literal

from holdfast.core.errors import DataError, ParameterError
from holdfast.core.progress import BatchDone, Listener, RunDone, RunStarted, silent
from holdfast.data.corruptions.corrupt import SEVERITIES, corrupt
from holdfast.data.corruptions.table import CORRUPTIONS
from holdfast.data.dataset import Dataset
from holdfast.evaluation import clusters, provenance
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.work import decided
from holdfast.models.deciding import decision
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint, settle

SAMPLES = "samples"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """The accuracy under one corruption at one severity; severity 0 is the mean over the asked ones."""

    corruption: str
    group: str
    severity: int
    accuracy: Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corruptions:
    """What `hf.corruptions` measured.

    Args:
        model, fingerprint, data, split: Who was asked about what.
        samples, seed: How many samples, and the start of all random numbers.
        severities: Those asked.
        clean: Accuracy on the samples as they are.
        mean: Accuracy over all corruptions and severities; its interval draws whole samples, or whole groups of them.
        cells: Every corruption at every severity, and its mean.
        decided: Which class is decided at which threshold, as a sentence; empty where the highest score decides.
    """

    schema: Literal["urn:holdfast:corruptions:1"] = "urn:holdfast:corruptions:1"
    holdfast: str
    model: str
    fingerprint: str
    data: str
    split: str
    samples: int
    seed: int
    severities: tuple[int, ...]
    clean: Rate
    mean: Rate
    cells: tuple[Cell, ...]
    decided: str = ""

    def __str__(self) -> str:
        worst = min((cell for cell in self.cells if not cell.severity), key=lambda cell: cell.accuracy.point)
        return (
            f"{self.model} gets {100 * self.clean.point:.1f} % of {self.samples} samples right, and "
            f"{100 * self.mean.point:.1f} % [{100 * self.mean.low:.1f}, {100 * self.mean.high:.1f}] under common "
            f"corruptions; worst is {worst.corruption.replace('_', ' ')} with {100 * worst.accuracy.point:.1f} %."
        )


def corruptions(
    model: Model,
    data: Dataset,
    *,
    names: Sequence[str] = (),
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    limit: int | None = None,
    batch: int = 256,
    on_event: Listener = silent,
) -> Corruptions:
    """Show the model every picture under every corruption and count the right answers.

    Not an attack: nobody chooses the change to fool the model. Cost: one forward pass for each sample, corruption and
    severity.

    Arguments as in `holdfast.api.corruptions`.
    """
    began = time.monotonic()
    names, severities = tuple(names) or tuple(CORRUPTIONS), tuple(severities)
    _check(names, severities)
    part = data if limit is None or limit >= len(data) else data.sample(limit, seed)
    if not len(part):
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    model = settle(model, part.x)
    groups = clusters.of(part)
    on_event(RunStarted("corruptions", "", len(part), names))
    clean = clusters.share(_right(model, part, batch), groups, SAMPLES)
    cells, every = list[Cell](), list[bool]()
    for name in names:
        seen, own = _cells(
            name, [_right(model, corrupt(part, name, s, seed), batch) for s in severities], severities, groups
        )
        cells, every = cells + seen, every + own
        on_event(BatchDone(name, len(part), len(part), sum(every), len(every)))
    on_event(RunDone("", True, time.monotonic() - began))
    return Corruptions(
        holdfast=provenance.version(),
        model=model.name,
        fingerprint=fingerprint(model, tuple(part.x.shape[1:]), part.x.dtype),
        data=part.name,
        split=part.split,
        samples=len(part),
        seed=seed,
        severities=severities,
        clean=clean,
        mean=_mean(every, groups),
        cells=tuple(cells),
        decided=decision(model, part.classes),
    )


def _check(names: Iterable[str], severities: Sequence[int]) -> None:
    unknown = [name for name in names if name not in CORRUPTIONS]
    strange = [severity for severity in severities if severity not in SEVERITIES]
    if unknown or strange or not severities:
        raise ParameterError(
            "HF001",
            "There is no such corruption" if unknown else "There is no such severity",
            seen=str((unknown or strange or ["none"])[0]),
            expected=", ".join(CORRUPTIONS) if unknown else "1 to 5",
        )


def _right(model: Model, data: Dataset, batch: int) -> list[bool]:
    found: list[bool] = (decided(model, data.x, batch) == data.y).tolist()
    return found


def _cells(
    name: str, looks: Sequence[list[bool]], severities: Sequence[int], groups: Sequence[int]
) -> tuple[list[Cell], list[bool]]:
    """The cells of a corruption, its mean last, and all its answers."""
    every = [right for look in looks for right in look]
    found = [_cell(name, s, clusters.share(look, groups, SAMPLES)) for s, look in zip(severities, looks, strict=True)]
    return [*found, _cell(name, 0, _mean(every, groups))], every


def _cell(name: str, severity: int, accuracy: Rate) -> Cell:
    return Cell(corruption=name, group=CORRUPTIONS[name].group, severity=severity, accuracy=accuracy)


def _mean(right: Sequence[bool], groups: Sequence[int]) -> Rate:
    """Over several looks at the same samples, which are drawn whole, or with all of their group."""
    looks = len(right) // len(groups)
    return clusters.share(right, clusters.named(groups) * looks, "samples under corruptions")
