"""The hardest samples of a baseline first, then a simple random sample of all: two runs, so that no rate is biased.

Samples that a run held most narrowly show soonest that a model got worse, and are no sample of anything: of two equally
good models the later one loses some of them by chance alone. So they are a run of their own in the folder `hardest`,
whose summary says how they were chosen, and only counts of them stand beside the rate of the random sample. The random
sample is drawn from all samples, not from those that are left over; the few that are in both are attacked twice. Where
all samples are used anyway, the chosen ones are counted in the one run.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from holdfast.core.errors import IntegrityError
from holdfast.core.files import Lock, write_atomic
from holdfast.core.progress import Note
from holdfast.data.dataset import Dataset
from holdfast.evaluation import comparable
from holdfast.evaluation.audit import audit
from holdfast.evaluation.before import PLACE, Hardest
from holdfast.evaluation.document import to_json
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Summary
from holdfast.models.model import Model
from holdfast.threats.literals import parse_all

KEPT = (
    "unbroken",
    "certified",
    "rejected",
)  # what a baseline must say of a sample; `undecided` and `error` say nothing
UNJUDGED = {"undecided", "error", "invalid"}
PART = 4  # of what was held, one part is called hardest: farther out a margin says little about the next model
SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The positions of a data set's samples that a baseline held most narrowly, and how many it held in all."""

    rows: tuple[int, ...]
    held: int


def chosen(baseline: Folder, data: Dataset, threats: Sequence[str], most: int) -> Chosen:
    """The samples that a baseline held under all these threats, those of the lowest margin first, a quarter at most.

    Args:
        baseline: A run or a baseline's folder.
        data: The samples; matched by the digest of input and label.
        threats: Literals, each of which the baseline was attacked under.
        most: Samples to choose at most.

    Raises:
        IntegrityError: HF413 where it was not attacked under one of the threats or holds none of the samples; HF414
            where its files do not belong together.
    """
    comparable.refuse_partial(baseline)
    if baseline.summary.data.chosen:
        raise _unfit("its own samples were chosen", baseline.summary.data.chosen, "the run of a random sample")
    seen = comparable.read(baseline)
    missing = [literal for literal in threats if literal not in seen.held]
    if missing:
        raise _unfit(f"it was not attacked under {missing[0]}", ", ".join(seen.held), "audit both under one threat")
    place: dict[str, int] = {}
    for row, found in enumerate(data.digests):
        place.setdefault(found, row)
    samples = baseline.manifest.samples
    row_of = {i: place.get(key.partition(".")[0], -1) for i, key in zip(samples.ids, samples.keys, strict=True)}
    if not any(row >= 0 for row in row_of.values()):
        raise _unfit(
            "it is a run on other samples", f"{len(row_of)} samples, none of these", "audit both on one data set"
        )
    margins: dict[int, list[float]] = {}
    for row in baseline.samples.select(["sample", "threat", "status", "margin"]).to_pylist():
        if row["threat"] in threats and row["status"] in KEPT and row_of[row["sample"]] >= 0:
            far = float("inf") if row["margin"] is None else row["margin"]
            margins.setdefault(row["sample"], []).append(far)
    held = {sample: min(found) for sample, found in margins.items() if len(found) == len(threats)}
    order = sorted(held, key=lambda sample: (held[sample], sample))
    rows = tuple(dict.fromkeys(row_of[sample] for sample in order))
    return Chosen(rows[: min(most, math.ceil(len(rows) / PART))], len(rows))


def first(
    model: Model, data: Dataset, *, hardest_of: str | os.PathLike[str], out: pathlib.Path, most: int, **rest: Any
) -> tuple[Folder | None, Hardest | None]:
    """Attack the hardest samples of a baseline in `out/hardest`; the same call continues.

    Args:
        model: A wrapped model.
        data: All samples.
        hardest_of: The baseline's folder.
        out: The folder of the random sample's run.
        most: Samples to attack at most.
        rest: Of `audit`; what is asked of a random sample alone is not asked here.

    Returns:
        Their run and what came of it; None and None where the baseline held none of the samples.
    """
    baseline = Folder(pathlib.Path(hardest_of))
    threats = tuple(threat.literal for threat in parse_all(rest["threat"]))
    found = chosen(baseline, data, threats, most)
    name = baseline.path.resolve().name
    if not found.rows:
        why = "has no place for hardest samples" if found.held else f"finds none that {name} held"
        rest["on_event"](Note(f"this run {why}, so none is attacked first"))
        return None, None
    part = data.take(list(found.rows))
    asked = {**rest, "expect_accuracy": None, "transfer_to": None, "limit": None, "new": False}
    rest["on_event"](Note(f"first the {len(part)} samples that {name} held most narrowly, of {found.held}"))
    folder = audit(model, part, out=out / PLACE, **asked)
    told = counted(folder, baseline, found, data)
    _write(folder, _marked(folder.summary, told, len(data)))
    return Folder(folder.path), told


def counted(folder: Folder, baseline: Folder, found: Chosen, data: Dataset) -> Hardest:
    """What became of the chosen samples in a run that holds them, of itself or among others."""
    ids = None if data.ids is None else data.ids[list(found.rows)].tolist()
    seen: dict[int, set[str]] = {number: set() for number in (found.rows if ids is None else ids)}
    for row in folder.samples.select(["sample", "status"]).to_pylist():
        if row["sample"] in seen:
            seen[row["sample"]].add(row["status"])
    tried = {number: statuses for number, statuses in seen.items() if statuses}
    broken = [number for number, statuses in tried.items() if "broken" in statuses]
    wrong = [number for number, statuses in tried.items() if "wrong" in statuses and "broken" not in statuses]
    open_ = [number for number, s in tried.items() if s & UNJUDGED and number not in {*broken, *wrong}]
    return Hardest(
        baseline=baseline.path.resolve().name,
        model=baseline.manifest.fingerprint,
        held=found.held,
        tried=len(tried),
        broken=len(broken),
        wrong=len(wrong),
        left=len(open_),
        samples=(*broken, *wrong)[:SHOWN],
    )


def beside(folder: Folder, told: Hardest) -> Folder:
    """The run of the random sample with the counts of the hardest samples in its summary."""
    _write(folder, dataclasses.replace(folder.summary, hardest=told))
    return Folder(folder.path)


def shared_out(out: pathlib.Path, limit: int, begun: bool) -> tuple[int, int]:
    """Samples for the hardest part at most, and for both together.

    Args:
        out: The folder of the random sample's run.
        limit: Samples for both; of a run that a budget had begun, those of the random sample alone.
        begun: Whether a budget fixed the number in an earlier call.
    """
    if not begun:
        return limit // 2, limit
    inside = (out / PLACE / "manifest.json").is_file()
    kept = len(Folder(out / PLACE).manifest.samples.keys) if inside else 0
    return kept, limit + kept


def _marked(summary: Summary, told: Hardest, total: int) -> Summary:
    """The summary of chosen samples, which says first that they were chosen."""
    how = f"the {told.tried} samples that {told.baseline} held most narrowly, of {told.held} that it held"
    return dataclasses.replace(
        summary,
        data=dataclasses.replace(summary.data, chosen=how, total=total),
        verdict=dataclasses.replace(
            summary.verdict, text=f"Chosen samples, no rate of the model: {summary.verdict.text}"
        ),
        limits=(
            f"These are {how}. They were chosen by what a run found on them: no rate and no interval here says "
            "anything about other samples, and an equally good model loses some of them by chance.",
            *summary.limits,
        ),
    )


def _write(folder: Folder, told: Summary) -> None:
    with Lock(folder.path / "lock"):
        write_atomic(folder.path / "summary.json", to_json(told).encode("utf-8", "backslashreplace"))


def _unfit(why: str, seen: str, fix: str) -> IntegrityError:
    return IntegrityError("HF413", f"The baseline has no hardest samples for this audit: {why}", seen=seen, fix=fix)
