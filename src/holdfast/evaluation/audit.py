"""The main job: how does this model break on these samples under these threats? One call, one run folder."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.run import belongs, fits
from holdfast.core.errors import DataError, ModelError, UsageError
from holdfast.core.progress import Listener, Note, RunDone, RunStarted, silent
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.evaluation import clusters, manifest, provenance
from holdfast.evaluation.derive import Facts, derive
from holdfast.evaluation.earlier import Earlier, earlier
from holdfast.evaluation.finals import View
from holdfast.evaluation.interrupt import Deadline, Interrupt
from holdfast.evaluation.manifest import Manifest, Stage
from holdfast.evaluation.masking.battery import masking_steps, seen
from holdfast.evaluation.metrics.coverage import TREES
from holdfast.evaluation.plan import Plan, estimate, families, seconds_of_a_pass
from holdfast.evaluation.statistics import interval
from holdfast.evaluation.steps import Work, clean_step, control_steps, curve_steps, search_steps, transfer_steps
from holdfast.evaluation.store import Folder, Store, opened
from holdfast.evaluation.suites import Suite, adapted, describe, resolve, stage_of
from holdfast.evaluation.summary import DataFacts, ModelFacts
from holdfast.evaluation.work import Bench
from holdfast.models.deciding import notes_of
from holdfast.models.model import Model
from holdfast.models.prepared import prepared
from holdfast.models.settle import fingerprint, settle, wrapped
from holdfast.threats.literals import parse_all
from holdfast.threats.space import Image
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.threats import Threat

FEW = 32  # rows of the batch that is timed
MOST = 10_000_000  # samples at once, a number that every library can take


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """What was asked for, settled: the same after defaults are applied and literals are read."""

    model: Model
    data: Dataset
    total: int
    threats: tuple[Threat, ...]
    suite: Suite
    seed: int
    subset_seed: int | None
    batch: int
    expect_accuracy: float | None
    others: tuple[tuple[Model, str], ...]
    fingerprint: str
    command: str
    earlier: Earlier | None = None

    @property
    def precision(self) -> str:
        """Number type of the inputs, `float32`."""
        return str(self.data.x.dtype).removeprefix("torch.")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The attacks that run under any of the threats, in order."""
        found: tuple[Stage, ...] = ()
        for threat in self.threats:
            found = manifest.appended(found, self.suite.serving(threat).stages())
        return found if self.earlier is None else (stage_of(self.earlier.stage), *found)


def audit(
    model: Model,
    data: Dataset,
    *,
    threat: str | Threat | Sequence[str | Threat],
    out: str | pathlib.Path,
    suite: str | Suite | Attack | Sequence[Attack] = "standard",
    seed: int = 0,
    batch: int = 256,
    limit: int | None = None,
    expect_accuracy: float | None = None,
    transfer_to: Model | Sequence[Model] | None = None,
    subset_seed: int | None = None,
    replay: str | os.PathLike[str] | None = None,
    deadline: Deadline | None = None,
    new: bool = False,
    on_event: Listener = silent,
    command: str = "",
) -> Folder:
    """Attack the samples and write a run folder; what is already committed there is used again.

    Args:
        model: A wrapped model.
        data: Samples with labels.
        threat: One threat or several, as values or literals.
        out: The run folder; the same call on the same folder continues, other threats, attacks or samples add to it.
        suite: A name, a text such as `pgd(steps=10)+square`, or attacks in their order.
        seed: Of every random draw.
        batch: Rows sent through the model at once; changes memory and speed, not results.
        limit: A seeded simple random subset of so many samples.
        expect_accuracy: Clean accuracy you know of; another one stops the run before any attack.
        transfer_to: Models to which the adversarial inputs are shown afterwards.
        subset_seed: Of the subset that `limit` draws; `seed` unless given.
        replay: An earlier run's folder: its adversarial inputs are tried before all attacks, one query a sample.
        deadline: When no further part begins, after at least one; the same call continues.
        new: Make a sibling of a folder that is taken.
        on_event: Told of progress; may raise `holdfast.Stop`.
        command: The command line that led here, for the report.

    Returns:
        The folder; `summary.complete` is false after Ctrl-C, Stop or the deadline.

    Raises:
        DataError: HF104 values outside the model's range, HF101 labels, HF120 no samples.
        ModelError: HF230 another accuracy than expected, HF231 the model failed on every sample.
        ThreatError: HF3xx literals, or attacks that cannot serve them.
        IntegrityError: HF4xx a folder of another model, locked, or changed; HF407, HF411 the run to replay.
        UsageError: HF828 a run that would replay itself.
        ResourceError: HF5xx disk, permissions.
    """
    request = settled(
        model, data, threat, suite, seed, batch, limit, expect_accuracy, transfer_to, command, subset_seed
    )
    if replay is not None:
        request = _after(request, replay, None if new else pathlib.Path(out))
    return _carried_out(request, pathlib.Path(out), new, Interrupt(on_event, deadline))


def _after(request: Request, replay: str | os.PathLike[str], out: pathlib.Path | None) -> Request:
    """The request with the inputs of an earlier run."""
    return dataclasses.replace(request, earlier=earlier(replay, out, request.model, request.data, request.threats))


def _carried_out(request: Request, out: pathlib.Path, new: bool, interrupt: Interrupt) -> Folder:
    """Lock the folder, do what is missing, write what is derived."""
    started = time.monotonic()
    with interrupt:
        with opened(out, _manifest(request), new, lambda text: interrupt.tell(Note(text, "HF409"))) as store:
            bench = _enrolled(store, request)
            keys = manifest.keys_of(request.data.digests)
            view = View(store.parts, keys, request.threats, request.suite, request.seed, request.earlier)
            work = Work(store, view, bench, interrupt, request.others)
            _announce(request, store, work)
            provenance.begin(store, request.command, request.batch, request.data.x.device.type)
            _perform(work, request)
            derive(
                store,
                view,
                request.data,
                [(m.name, n) for m, n in request.others],
                Facts(
                    facts_of_model(request),
                    facts_of_data(request),
                    request.precision,
                    interrupt.reason if work.cut else "",
                    {t.literal: seen(request.model, t) for t in request.threats},
                    request.model.suspicion is not None,
                ),
            )
        interrupt.tell(RunDone(str(store.folder), not work.cut, time.monotonic() - started))
    return Folder(store.folder)


def plan(
    model: Model,
    data: Dataset,
    *,
    threat: str | Threat | Sequence[str | Threat],
    suite: str | Suite | Attack | Sequence[Attack] = "standard",
    limit: int | None = None,
    batch: int = 256,
    replay: str | os.PathLike[str] | None = None,
) -> Plan:
    """What `audit` would do and cost, from one measured batch; writes nothing."""
    request = settled(model, data, threat, suite, 0, batch, limit, None, None, "")
    return estimated(_after(request, replay, None) if replay is not None else request)


def settled(
    model: Model,
    data: Dataset,
    threat: Any,
    suite: Any,
    seed: int,
    batch: int,
    limit: int | None,
    expect_accuracy: float | None,
    transfer_to: Any,
    command: str,
    subset_seed: int | None = None,
) -> Request:
    """Read, default and check everything before anything is attacked."""
    if not 1 <= batch <= MOST:
        raise UsageError("HF805", "A batch has too few or too many samples", seen=batch, expected=f"1 to {MOST:,}")
    read = tuple(families(parse_all(threat)))
    limited = limit is not None and limit < len(data)
    part = data.sample(limit or 0, seed if subset_seed is None else subset_seed) if limited else data
    if not len(part):
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    possible = _possible(model, part)
    for t in read:
        belongs(t, wrapped(model).space)
    settled_model = prepared(settle(model, possible, part.n_classes), possible)
    chosen = adapted(resolve(suite), settled_model, read, possible)
    _check(settled_model, part)
    for t in read:
        for attack in chosen.serving(t).attacks:
            fits(attack, settled_model.seen_as(t.knowledge), t)
    shape, dtype = tuple(part.x.shape[1:]), part.x.dtype
    others = [] if transfer_to is None else [transfer_to] if isinstance(transfer_to, Model) else list(transfer_to)
    seconds = [settle(other, part.x, part.n_classes) for other in others]
    return Request(
        settled_model,
        part,
        len(data),
        read,
        chosen,
        seed,
        subset_seed,
        batch,
        expect_accuracy,
        tuple((other, fingerprint(other, shape, dtype)) for other in seconds),
        fingerprint(settled_model, shape, dtype),
        command,
    )


def _possible(model: Model, data: Dataset) -> Tensor:
    """The samples that a model of a table can be asked about; all samples of any other model.

    Raises:
        DataError: HF149 where the schema allows none.
    """
    space = wrapped(model).space
    if not isinstance(space, Tabular):
        return data.x
    judged = space.schema.validate(data.x)
    if not bool(judged.valid.any()):
        raise DataError(
            "HF149",
            "The schema allows none of the rows",
            seen=f"{len(data)} rows, the first: {'; '.join(judged.reasons[0])}"[:240],
            expected=repr(space),
            fix="mend the schema; schema.validate(codes).reasons says what speaks against each row",
        )
    return data.x[judged.valid]


def _check(model: Model, data: Dataset) -> None:
    """Range and labels; impossible rows of a table are judged row by row in the clean step."""
    outside = ~model.space.validate(data.x)
    if bool(outside.any()) and not isinstance(model.space, Tabular):
        raise DataError(
            "HF104",
            "Data outside the model's declared range",
            fix="pass raw inputs, and wrap(model, bounds=..., mean=..., std=...)",
            seen=f"[{float(data.x.min()):.4g}, {float(data.x.max()):.4g}]",
            expected=repr(model.space),
        )
    if model.classes is None or int(data.y.max()) >= model.classes:
        raise DataError(
            "HF101",
            "A label that the model cannot output",
            seen=f"label {int(data.y.max())}",
            expected=f"0 to {(model.classes or 0) - 1}",
            fix="check that labels begin at 0 and that this is the right model",
        )


def _manifest(request: Request) -> Manifest:
    return Manifest(
        holdfast=provenance.version(),
        created=provenance.now(),
        fingerprint=request.fingerprint,
        precision=request.precision,
    )


def _enrolled(store: Store, request: Request) -> Bench:
    """Write the samples, stages and threats into the manifest, and put the samples where they are found by key."""
    data, found = request.data, store.manifest
    keys = manifest.keys_of(data.digests)
    ids = list(range(len(data))) if data.ids is None else data.ids.tolist()
    store.grow(
        samples=manifest.grow(
            found.samples, keys, ids, data.y.tolist(), clusters.of(data), manifest.width_of(data.x.shape[1:])
        ),
        stages=manifest.appended(found.stages, request.stages),
        threats=manifest.appended(found.threats, [t.literal for t in request.threats]),
    )
    return Bench(request.model, {key: i for i, key in enumerate(keys)}, data.x, data.y, request.seed, request.batch)


def _announce(request: Request, store: Store, work: Work) -> None:
    stages = tuple(f"{describe(a)} {t.literal}" for t in request.threats for a in work.view.attacks(t))
    try:
        seconds: float | None = estimated(request).seconds
    except Exception:  # noqa: BLE001 - a model that fails here is judged row by row in the clean step
        seconds = None
    work.interrupt.tell(RunStarted("audit", str(store.folder), len(request.data), stages, seconds))
    if request.suite.note:
        work.interrupt.tell(Note(request.suite.note))
    space = request.model.space
    if impossible := int((~space.validate(request.data.x)).sum()) if isinstance(space, Tabular) else 0:
        work.interrupt.tell(Note(f"{impossible} of {len(request.data)} rows break their schema and count nowhere"))
    if request.earlier is not None:
        work.interrupt.tell(Note(request.earlier.note(len(request.data))))


def estimated(request: Request) -> Plan:
    """The plan, with the time of a forward pass measured on one small batch."""
    few = request.data.x[:FEW]
    second, sample = seconds_of_a_pass(request.model, few), few[0].numel() * few.element_size()
    return estimate(request.suite, request.threats, len(request.data), second, sample, request.earlier)


def _perform(work: Work, request: Request) -> None:
    """Every step in order; once somebody wants to stop, none begins another part."""
    clean_step(work)
    if work.cut:
        return
    _expected(work, request)
    for threat in request.threats:
        search_steps(work, threat)
        curve_steps(work, threat)
        control_steps(work, threat)
    transfer_steps(work)
    masking_steps(work)


def _expected(work: Work, request: Request) -> None:
    """Stop before any attack where the model is not what its owner says."""
    rows = work.view.clean()
    judged = [rows[key] for key in work.view.keys if rows[key].status != "invalid"]
    if judged and all(row.status == "error" for row in judged):
        fix = "call it on one sample by hand"
        raise ModelError("HF231", "The model failed on every sample", seen=judged[0].reason, fix=fix)
    right = sum(row.status == "right" for row in judged)
    low, high = interval(right, len(judged)) if judged else (0.0, 1.0)
    if told := provenance.guessing(work.view, work.bench, high):
        work.remark(told, "HF230")
    if request.expect_accuracy is not None and not low <= request.expect_accuracy <= high:
        causes = provenance.causes(request.model, request.data)
        raise ModelError(
            "HF230",
            "The clean accuracy is not the expected one",
            expected=f"{request.expect_accuracy:.4g}",
            seen=f"{right / len(judged):.4g} [{low:.4g}, {high:.4g}] on {len(judged)} samples{causes}",
            fix="compare normalization, channel order, label numbers and eval mode with your own evaluation",
        )


def facts_of_model(request: Request) -> ModelFacts:
    """What the document says about the model."""
    model, names = request.model, tuple(request.data.classes)
    if model.names and names in ((), tuple(map(str, range(len(names))))):
        names = model.names  # the data only count
    return ModelFacts(
        name=model.name,
        fingerprint=request.fingerprint,
        adapter=model.adapter,
        classes=model.classes or 0,
        class_names=names if len(names) == model.classes else (),
        parameters=None if model.parameters is None else digest(model.parameters()),
        notes=(*notes_of(model, names), *((TREES,) if model.trees is not None else ())),
        stages=model.stages,
    )


def facts_of_data(request: Request) -> DataFacts:
    """What the document says about the samples."""
    data, space, ends = request.data, request.model.space, request.model.space.limits(request.data.x[:1])
    return DataFacts(
        name=data.name,
        split=data.split,
        direction=data.direction,
        n=len(data),
        total=request.total,
        limited=len(data) < request.total,
        seed=request.seed,
        subset_seed=request.subset_seed,
        digest=digest(list(data.digests)),
        shape=tuple(data.x.shape[1:]),
        bounds=(float(torch.min(ends[0])), float(torch.max(ends[1]))),
        license=data.license,
        kind="image" if isinstance(space, Image) else "vector",
    )
