"""The work of `holdfast compare-models`: model after model, each in a run folder of its own, so any call continues.

All models are opened once before anything is attacked: a file that cannot be read is told at the start, and the time
that all of them may take is known. They are not kept in memory.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.core.errors import (
    DataError,
    IntegrityError,
    MissingExtra,
    ModelError,
    OfflineError,
    ParameterError,
    ResourceError,
    Stop,
    ThreatError,
    UsageError,
)
from holdfast.core.files import Lock, write_atomic, writing
from holdfast.core.progress import BatchDone, Event, Listener, Note, RunDone, RunStarted, StageDone, silent
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.evaluation import provenance
from holdfast.evaluation.audit import audit, estimated, settled
from holdfast.evaluation.comparing.places import COMPARISON, Kept, Places, Subject, done
from holdfast.evaluation.comparing.records import Access, LeftOut, ModelComparison
from holdfast.evaluation.comparing.rows import Answered, answered, notes, replaced, rows
from holdfast.evaluation.document import to_json
from holdfast.evaluation.interrupt import Interrupt
from holdfast.evaluation.plan import families
from holdfast.evaluation.store import Folder
from holdfast.evaluation.suites import Suite, resolve
from holdfast.evaluation.summary import RESULT_VERSION
from holdfast.models.model import Model
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

CANNOT = (DataError, IntegrityError, MissingExtra, ModelError, OfflineError, ParameterError, ThreatError, UsageError)
CHILD = ("HF505", "HF506")  # of the child process that tries a file first
OPENING = "opening"
KEPT = "what it answered is kept, and the same call goes on from there"


class Halted(Exception):
    """Somebody wants to stop, and what ran is kept."""


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """What every model is asked: the options of an audit, read and checked once."""

    data: Dataset
    threats: tuple[Threat, ...]
    suite: Suite
    seed: int
    batch: int
    limit: int | None
    subset_seed: int | None

    @property
    def part(self) -> Dataset:
        """The samples that are used."""
        if self.limit is None or self.limit >= len(self.data):
            return self.data
        return self.data.sample(self.limit, self.seed if self.subset_seed is None else self.subset_seed)

    def digest(self) -> str:
        """Equal where two calls ask the same."""
        data, schema = self.part, self.data.schema
        ends = [end.tolist() for end in data.space.limits(data.x[:1])] if schema is None else schema.to_toml()
        literals = [threat.literal for threat in self.threats]
        return digest([list(data.digests), data.split, ends, literals, repr(self.suite), self.seed, RESULT_VERSION])


@dataclasses.dataclass(eq=False)
class Job:
    """One model: its folder once it is known, seconds its audit may take, whether it is finished, or why it cannot."""

    subject: Subject
    kept: Kept | None = None
    seconds: float = 0.0
    finished: bool = False
    left_out: LeftOut | None = None

    @property
    def name(self) -> str:
        """Of the model."""
        return self.subject.name


@dataclasses.dataclass(eq=False)
class Work:
    """A comparison at work.

    Args:
        asked: Of every model.
        places: The run folders.
        jobs: The models.
        interrupt: Who wants to stop, and whom to tell.
        command: Name of a model and its run folder -> the audit that repeats it.
        spent, planned: Seconds of the audits of this call, as they were and as they were estimated.
    """

    asked: Asked
    places: Places
    jobs: list[Job]
    interrupt: Interrupt
    command: Callable[[str, str], str]
    spent: float = 0.0
    planned: float = 0.0

    def alive(self) -> None:
        """Asked before everything that takes long."""
        if self.interrupt.stops(begun=True):
            raise Halted

    def ahead(self) -> float:
        """Seconds that the models after the present one may take, as far as the finished ones tell."""
        ratio = self.spent / self.planned if self.planned else 1.0
        waiting = [job.seconds for job in self.jobs if not job.finished and job.left_out is None]
        return ratio * sum(waiting[1:])


def compare_models(
    models: Sequence[Subject],
    data: Dataset,
    *,
    threat: str | Threat | Sequence[str | Threat],
    out: str | os.PathLike[str],
    suite: Any = "standard",
    seed: int = 0,
    batch: int = 256,
    limit: int | None = None,
    subset_seed: int | None = None,
    on_event: Listener = silent,
    command: Callable[[str, str], str] = lambda name, run: "",
) -> ModelComparison:
    """Audit models on the same samples under the same threats and compare them sample by sample.

    Args:
        models: At least one; each is opened twice, for the plan and for its audit.
        data: Samples with labels.
        threat: One threat or several, as values or literals.
        out: The folder; the same call continues, finished models are not attacked again, others may be added.
        suite: As in `audit`; a suite by name adapts to what each model shows.
        seed: Of every random draw.
        batch: Rows sent through a model at once.
        limit: A seeded simple random subset of so many samples, the same for all.
        subset_seed: Of the subset that `limit` draws; `seed` unless given.
        on_event: Told of progress; may raise `holdfast.Stop`.
        command: Name of a model and its run folder -> the audit that repeats it, for the reports of the runs.

    Returns:
        The comparison, also written as `comparison.json`. A model that cannot be opened or attacked, or whose endpoint
        goes out of reach, stands in `left_out` with its reason, and the others go on; `complete` is false then, and
        after Ctrl-C or Stop.

    Raises:
        DataError: HF120 no samples.
        ThreatError, UsageError: HF3xx threats that cannot be read, HF811, HF812 a suite, HF821 no model.
        IntegrityError: HF401 another process writes, HF417 a folder of other files or on other data, HF418.
    """
    folder, began, complete = pathlib.Path(out), time.monotonic(), True
    asked = _settled(models, data, threat, suite, seed, batch, limit, subset_seed)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with Lock(folder / "lock"):
        places = Places(folder)
        places.refuse_other(asked.part)
        with Interrupt(on_event) as interrupt:
            work = Work(asked, places, [Job(subject) for subject in models], interrupt, command)
            try:
                _everything(work)
            except (Halted, KeyboardInterrupt, Stop):
                complete = False
            found, earlier = comparison(work), places.earlier()
            if earlier is not None and (lost := replaced(earlier, found)):
                interrupt.tell(Note(lost))
            write_atomic(folder / COMPARISON, to_json(found).encode("utf-8", "backslashreplace"))
            interrupt.tell(RunDone(str(folder), complete and found.complete, time.monotonic() - began))
    return found


def comparison(work: Work) -> ModelComparison:
    """What is finished, in rows."""
    asked, runs, left_out = work.asked, list[Answered](), [job.left_out for job in work.jobs if job.left_out]
    part = asked.part
    for job in work.jobs:
        if job.finished and job.kept is not None:
            run = answered(job.name, Folder(work.places.path / job.kept.folder), job.kept.shows, part)
            if run is None:
                left_out.append(LeftOut(name=job.name, code="HF120", line="No sample could be judged."))
            else:
                runs.append(run)
    found = rows(runs)
    left = tuple(job.name for job in work.jobs if not job.finished and job.left_out is None)
    return ModelComparison(
        holdfast=provenance.version(),
        complete=not left and not left_out,
        folder=str(work.places.path),
        data=asked.data.name,
        split=asked.data.split,
        samples=len(part),
        total=len(asked.data),
        threats=tuple(threat.literal for threat in asked.threats),
        words=tuple(threat.words() for threat in asked.threats),
        suite=asked.suite.name,
        seed=asked.seed,
        tests=len(found) * (len(found) - 1) // 2,
        rows=found,
        left_out=tuple(left_out),
        left=left,
        notes=notes(found, runs),
    )


def _settled(
    models: Sequence[Subject],
    data: Dataset,
    threat: Any,
    suite: Any,
    seed: int,
    batch: int,
    limit: int | None,
    subset_seed: int | None,
) -> Asked:
    """What holds for all models, checked before any is opened."""
    if not models:
        raise UsageError("HF821", "A comparison needs models", seen=0, fix="holdfast compare-models MODEL MODEL DATA")
    if not len(data) or limit == 0:
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    given = [threat] if isinstance(threat, str | Threat) else list(threat)
    threats = tuple(families([parse(each) for each in given]))
    return Asked(data, threats, resolve(suite), seed, batch, limit, subset_seed)


def _everything(work: Work) -> None:
    """Look at every model, then audit those that are not finished."""
    question = work.asked.digest()
    for job in work.jobs:
        job.kept = work.places.finished(job.subject.content, question)
        job.finished = job.kept is not None
    for place, job in enumerate(work.jobs):
        work.alive()
        work.interrupt.tell(BatchDone(OPENING, place, len(work.jobs), 0, 0))
        _carefully(work, job, _once_only if job.finished else _looked, question)
    todo = [job for job in work.jobs if job.left_out is None]
    seconds = sum(job.seconds for job in todo if not job.finished)
    names, samples = tuple(job.name for job in todo), len(work.asked.part)
    work.interrupt.tell(RunStarted("compare-models", str(work.places.path), samples, names, seconds))
    for job in todo:
        began, before = time.monotonic(), job.finished
        if not before:
            work.alive()
            _carefully(work, job, _audited, question)
        if job.finished and job.kept is not None:
            summary = Folder(work.places.path / job.kept.folder).summary
            broken = summary.coverage.statuses.get("broken", 0)
            reused = summary.data.n if before else 0
            work.interrupt.tell(StageDone(job.name, summary.data.n, broken, time.monotonic() - began, reused))


def _carefully(work: Work, job: Job, what: Callable[[Work, Job, str], None], question: str) -> None:
    """Do it; what cannot be done with this model is told, and the others go on."""
    try:
        what(work, job, question)
    except (*CANNOT, ResourceError) as error:
        if isinstance(error, ResourceError) and error.code not in CHILD:
            raise
        line = error.line().removeprefix(error.code).strip()
        _leave(work, job, LeftOut(name=job.name, code=error.code, line=line))


def _leave(work: Work, job: Job, why: LeftOut) -> None:
    """Go on without a model."""
    job.left_out = why
    work.interrupt.tell(Note(f"{job.name} is left out, the others go on. {why.line}", why.code))


def _once_only(work: Work, job: Job, question: str) -> None:
    """Of a finished model that is all there is to check."""
    _once(work, job)


def _looked(work: Work, job: Job, question: str) -> None:
    """Open a model, find its folder, estimate its audit."""
    asked = work.asked
    request = settled(
        job.subject.opened(),
        asked.data,
        asked.threats,
        asked.suite,
        asked.seed,
        asked.batch,
        asked.limit,
        None,
        None,
        "",
        asked.subset_seed,
    )
    job.kept = work.places.claimed(job.subject, request.fingerprint, _shows(request.model))
    _once(work, job)
    job.finished = work.places.answers(job.kept, question)
    job.seconds = 0.0 if job.finished else estimated(request).seconds


def _once(work: Work, job: Job) -> None:
    """Refuse a model that stands before this one already: it would be compared with itself."""
    for other in work.jobs[: work.jobs.index(job)]:
        if other.left_out is None and None not in (other.kept, job.kept) and _folder(other) == _folder(job):
            seen, fix = f"{other.name} and {job.name}", "give each model once"
            raise UsageError("HF836", "The same model is given twice", seen=seen, fix=fix)


def _folder(job: Job) -> str:
    return "" if job.kept is None else job.kept.folder


def _shows(model: Model) -> Access:
    return "gradients" if model.module is not None else "scores" if model.scores is not None else "labels"


def _audited(work: Work, job: Job, question: str) -> None:
    """The audit of a model, in its folder."""
    if job.kept is None:
        raise Halted
    asked, run, began = work.asked, work.places.path / job.kept.folder, time.monotonic()
    audit(
        job.subject.opened(),
        asked.data,
        threat=asked.threats,
        out=run,
        suite=asked.suite,
        seed=asked.seed,
        batch=asked.batch,
        limit=asked.limit,
        subset_seed=asked.subset_seed,
        on_event=_Inside(work, job),
        command=work.command(job.name, str(run)),
    )
    if not done(run):
        _unfinished(work, job, run)
        return
    work.places.answered(job.kept, question)
    job.finished = True
    work.spent, work.planned = work.spent + time.monotonic() - began, work.planned + job.seconds


def _unfinished(work: Work, job: Job, run: pathlib.Path) -> None:
    """A model that went out of reach is told, and the others go on.

    Raises:
        Halted: Where somebody wants to stop.
    """
    code, _, why = Folder(run).summary.stopped.partition(" ")
    if work.interrupt.stops(begun=True) or not code.startswith("HF"):
        raise Halted
    _leave(work, job, LeftOut(name=job.name, code=code, line=f"{why}; {KEPT}."))


class _Inside:
    """Passes on what happens inside one audit as the progress of its model; a wish to stop reaches it as `Stop`."""

    def __init__(self, work: Work, job: Job):
        self.work, self.job, self.stages, self.ended = work, job, tuple[str, ...](), 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.stages = event.stages
            self.work.interrupt.tell(event)
        elif isinstance(event, StageDone) and event.stage in self.stages:
            self.ended += 1
        elif isinstance(event, BatchDone):
            self.work.interrupt.tell(self._seen(event))
        elif isinstance(event, Note):
            self.work.interrupt.tell(Note(f"{self.job.name}: {event.text}", event.code))
        if self.work.interrupt.stops(begun=True):
            raise Stop

    def _seen(self, event: BatchDone) -> BatchDone:
        """The batch as a part of all stages; work beside them leaves the bar where it is."""
        total, attack = event.total * max(len(self.stages), 1), event.stage in self.stages
        found = event.total * min(self.ended, len(self.stages)) + (event.done if attack else 0)
        left = None if event.seconds is None else event.seconds + self.work.ahead()
        held, judged = (event.held, event.judged) if attack else (0, 0)
        return BatchDone(self.job.name, min(found, total), total, held, judged, left)
