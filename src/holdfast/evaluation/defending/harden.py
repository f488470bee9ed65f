"""A hardened model, and the same audit of it before and after."""

import contextlib
import copy
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from holdfast.attacks.run import belongs
from holdfast.core.errors import IntegrityError, Stop, UsageError
from holdfast.core.files import Lock, write_atomic, writing
from holdfast.core.progress import BatchDone, Event, Listener, Note, RunStarted, silent
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset, Splits
from holdfast.evaluation.audit import audit
from holdfast.evaluation.budget import seconds_of
from holdfast.evaluation.comparison import Comparison, compare
from holdfast.evaluation.defending.place import finished
from holdfast.evaluation.defending.recipe import Choice, chosen, learner_of, plain
from holdfast.evaluation.document import adapter, to_json
from holdfast.evaluation.frames import Frame, frame, stacked
from holdfast.evaluation.interrupt import Interrupt
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Finding
from holdfast.learning.inner import training_of
from holdfast.learning.learner import Learner, enough
from holdfast.learning.precision import Precision, stands
from holdfast.learning.train import Train
from holdfast.models.deciding import at_threshold
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint, settle
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized
from holdfast.models.wrap import wrap
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

BEFORE, AFTER, CHECKPOINT = "before", "after", "checkpoint.pt"
RATE = 0.05  # highest learning rate: half of that of a training from the start


@dataclasses.dataclass(frozen=True, eq=False)
class Hardened:
    """What came of it.

    Args:
        net: The hardened network, in evaluation mode; inputs as the original's.
        model: The same, wrapped and settled.
        choice: The recipe, its epochs and why.
        before, after: Run folders of the same audit; None where it was stopped before.
        comparison: Of the two, sample by sample; None as well.
        seconds: Of the training.
        findings: Of the audit after, as in `Run.findings`; both audits are runs, `hf.open_run(found.after)`.
        samples: Rows of both audits, one for each threat and sample; the column `audit` says before or after.
    """

    net: nn.Module
    model: Model
    choice: Choice
    before: pathlib.Path | None
    after: pathlib.Path | None
    comparison: Comparison | None
    seconds: float
    findings: tuple[Finding, ...] = ()
    samples: pa.Table = dataclasses.field(default_factory=lambda: pa.table({}), repr=False)

    def to_frame(self, kind: Frame = "auto") -> Any:
        """`samples` as a data frame, as `Run.to_frame`; it is there also where the audits lay in a temporary folder.

        Raises:
            MissingExtra: HF701 where pandas was asked for and is not installed.
        """
        return frame(self.samples, kind)


def harden(
    model: Model,
    data: Dataset | Splits,
    *,
    threat: str | Threat,
    out: pathlib.Path,
    recipe: str = "auto",
    budget: str = "10m",
    epochs: int = 0,
    suite: str = "quick",
    limit: int | None = 500,
    batch: int = 128,
    precision: Precision = "auto",
    seed: int = 0,
    on_event: Listener = silent,
    command: str = "",
) -> Hardened:
    """Train a model on so that it withstands more, and audit it before and after.

    Args:
        model: A wrapped torch network; it stays as it is.
        data: Splits, or one data set, of which a fifth is kept for the audits.
        threat: What it shall withstand; a radius is needed.
        out: A folder for the audits and the training's checkpoint; the same call continues there.
        recipe: A trained defense as text, `trades(beta=6)`, or "auto".
        budget: Time of the training; the audits come on top.
        epochs: Passes over the data, whatever they cost; 0 for as many as fit into the budget.
        suite: Of the audits.
        limit: Samples of the audits, a seeded random subset.
        batch: Samples in a training step.
        precision: Of the training, as `holdfast.Train` has it; "auto" is bfloat16 only where the network stands it too.
        seed: Of everything random.
        on_event: Told of progress; may raise `holdfast.Stop`.
        command: The command line that led here.

    Raises:
        ThreatError: HF307, HF308 a threat that does not fit the model's space.
        UsageError: HF827 the budget, HF830, HF831, HF834 the recipe, HF835 a model that cannot be trained on.
        ModelError, ParameterError: HF220 data of one class; HF001 another precision.
        IntegrityError: HF401 another process writes, HF416 a folder of another hardening.
    """
    under, seconds, recipe = parse(threat), seconds_of(budget), plain(recipe)
    train, test = divided(data, seed)
    enough(train)
    start = _trainable(settle(model, train.x))
    belongs(under, start.space)
    of = Train(start=start, epochs=max(epochs, 1), batch=batch, rate=RATE, precision=precision)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with Lock(out / "lock"), Interrupt(on_event) as interrupt, stoppable(interrupt, "The checkpoint is kept"):
        told = Inside(interrupt)
        choice = _choice(out, start, train, under, recipe, seconds, epochs, seed, of, told)
        told(Note(choice.text))
        of = dataclasses.replace(of, epochs=choice.epochs, precision=choice.precision, checkpoint=str(out / CHECKPOINT))
        watch = _Watch(told, choice)
        made = _trained(learner_of(choice.recipe, of, under), start, train, seed, watch)
        plan = functools.partial(audit, data=test, threat=under, suite=suite, seed=seed, limit=limit, command=command)
        before, after = (audited(plan, m, out / name, told) for name, m in ((BEFORE, start), (AFTER, made)))
    found = (watch.seconds, after.summary.findings, stacked({BEFORE: before.samples, AFTER: after.samples}))
    return Hardened(_inside(made), made, choice, before.path, after.path, compare([before, after]), *found)


@contextlib.contextmanager
def stoppable(interrupt: Interrupt, kept: str) -> Iterator[None]:
    """Work that a listener may end by `Stop`, and a signal by KeyboardInterrupt, which says what is kept.

    Raises:
        KeyboardInterrupt: Where a signal ended it.
    """
    try:
        yield
    except Stop as stop:
        if interrupt.signaled:
            raise KeyboardInterrupt(f"{kept}; the same command continues") from stop
        raise


def audited(plan: Callable[..., Folder], model: Model, out: pathlib.Path, on_event: "Inside") -> Folder:
    """The run in the folder, carried out where it is not there.

    Raises:
        KeyboardInterrupt: Where somebody wants to stop.
    """
    if not finished(out) and not on_event.interrupt.stops(begun=True):
        plan(model, out=out, on_event=on_event)
    if not finished(out):
        raise KeyboardInterrupt(f"The audit {out.name} is not finished; the same command continues")
    return Folder(out)


def divided(data: Dataset | Splits, seed: int) -> tuple[Dataset, Dataset]:
    """What is learned from, and what is judged."""
    return (data.part("train"), data.part("test")) if isinstance(data, Splits) else data.divide(0.8, seed)


def _trainable(model: Model) -> Model:
    """The model, where it is a torch network alone.

    Raises:
        UsageError: HF835.
    """
    source = source_of(model)
    if source is None or not isinstance(source.ask, Normalized) or model.module is None:
        raise UsageError(
            "HF835",
            "Only a torch network alone, or an estimator, can be hardened",
            seen=repr(model),
            expected="hf.wrap(net, bounds=...), or a classifier of a library",
            fix="stages go in front of a hardened network; of trees and tables give the estimator or its file",
        )
    return model


def _inside(model: Model) -> nn.Module:
    return _asked(model).net


def _asked(model: Model) -> Normalized:
    source = source_of(model)
    if source is None or not isinstance(source.ask, Normalized):
        raise UsageError("HF835", "The recipe gave back no single network", seen=repr(model), expected="another recipe")
    return source.ask


def _choice(
    out: pathlib.Path,
    start: Model,
    train: Dataset,
    threat: Threat,
    recipe: str,
    seconds: float,
    epochs: int,
    seed: int,
    of: Train,
    on_event: Listener,
) -> Choice:
    """The choice of this folder, made once: measuring again may choose otherwise, and nothing could continue."""
    shape, dtype = tuple(train.x.shape[1:]), train.x.dtype
    asked = [] if of.precision == "auto" else [of.precision]  # as it was said before there was a choice
    who = [fingerprint(start, shape, dtype), list(train.digests), threat.literal]
    wanted = digest([*who, recipe, seconds, epochs, seed, of.batch, *asked])
    path, kept = out / "choice.json", out / "asked.txt"
    if path.is_file():
        if not kept.is_file() or kept.read_text(encoding="utf-8") != wanted:
            raise IntegrityError(
                "HF416",
                f"'{out}' belongs to another hardening",
                seen="another model, data, threat, recipe, budget, precision or seed",
                expected="those it was begun with",
                fix="give another file with -o",
            )
        found: Choice = adapter(Choice).validate_json(path.read_bytes())
        return found
    of = dataclasses.replace(of, precision=stands(of.precision, _asked(start), start.space, train.x[:1]))
    made = chosen(recipe, of, train, threat, seconds=seconds, epochs=epochs, seed=seed, on_event=on_event)
    write_atomic(kept, wanted.encode())
    write_atomic(path, to_json(made).encode())
    return made


def _trained(learner: Learner, start: Model, train: Dataset, seed: int, watch: "_Watch") -> Model:
    """The model; where the clock ended the training, with the average of its weights as it was then.

    Raises:
        Stop: Where somebody else ended it.
    """
    name, of = f"{start.name}, hardened", training_of(learner)
    try:
        made = dataclasses.replace(learner.fit(train, seed, watch), name=name)
        return made if start.threshold is None else settle(at_threshold(made, start.threshold), train.x)
    except Stop:
        if not watch.late or of is None:
            raise
    held = torch.load(of.checkpoint, map_location="cpu", weights_only=True)  # this process has just written it
    net, source = copy.deepcopy(_inside(start)), source_of(start)
    net.load_state_dict(held["chosen"] or held["average"])
    scaling = {name: getattr(source.ask, name) for name in ("mean", "std")} if source is not None else {}
    said: dict[str, Any] = {"output": "logits", "name": name, "classes": train.n_classes, **scaling}
    return settle(wrap(net.eval(), of.space_for(train), threshold=start.threshold, **said), train.x)


class _Watch:
    """Ends a training after the epoch in which its budget ran out, and keeps the time."""

    def __init__(self, inner: Listener, choice: Choice):
        self.inner, self.choice, self.began = inner, choice, time.perf_counter()
        self.late, self.seconds = False, 0.0

    def __call__(self, event: Event) -> None:
        self.seconds = time.perf_counter() - self.began
        self.inner(event)
        more = isinstance(event, BatchDone) and event.stage == "train" and event.done < event.total
        if more and self.choice.budget and self.seconds >= self.choice.budget:
            self.late = True
            self.inner(Note(f"the budget ran out: stopped after epoch {event.done} of {event.total}"))  # type: ignore
            raise Stop


class Inside:
    """Passes events on with the time that is left of a training; a wish to stop reaches trainings as `Stop`."""

    def __init__(self, interrupt: Interrupt):
        self.interrupt, self.began = interrupt, time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.began = time.monotonic()
        if isinstance(event, BatchDone) and event.seconds is None and event.done:
            left = (time.monotonic() - self.began) / event.done * (event.total - event.done)
            event = dataclasses.replace(event, seconds=left)
        self.interrupt.tell(event)
        if self.interrupt.stops(begun=True):
            raise Stop
