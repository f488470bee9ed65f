"""The work of `holdfast compare-defenses`: defense after defense, each in a folder of its own, so any call continues.

The undefended model comes first. What was found against it is shown to every defended model before any attack, so that
an audit which knows the defense never finds less than one which does not.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence

from holdfast.core.errors import DataError, IntegrityError, MissingExtra, ModelError, ParameterError, Stop, ThreatError
from holdfast.core.files import Lock, write_atomic, writing
from holdfast.core.progress import BatchDone, Event, Listener, Note, RunDone, RunStarted, StageDone, silent
from holdfast.core.records import digest
from holdfast.data import load
from holdfast.data.dataset import Dataset, Splits
from holdfast.defenses.fitting import Fitted
from holdfast.evaluation.audit import audit
from holdfast.evaluation.bench import machine as here
from holdfast.evaluation.defending.chain import Chain
from holdfast.evaluation.defending.measure import passes
from holdfast.evaluation.defending.place import Place, finished, name_of, refused, timed
from holdfast.evaluation.defending.protocol import Protocol, write
from holdfast.evaluation.defending.records import DefenseComparison, Facts, Spent
from holdfast.evaluation.defending.rows import comparison
from holdfast.evaluation.document import to_json
from holdfast.evaluation.interrupt import Interrupt
from holdfast.evaluation.statistics import rate
from holdfast.evaluation.store import Folder
from holdfast.learning.checkpoints import kept
from holdfast.learning.learner import Learner, few
from holdfast.learning.precision import wants_bfloat16
from holdfast.learning.train import Train
from holdfast.models.deciding import at_threshold
from holdfast.models.model import Model
from holdfast.models.threshold import threshold_of
from holdfast.threats.threats import Threat

BARE = "undefended"
BFLOAT16 = "it and the trained defenses multiplied in bfloat16 as they learned, and are judged in float32"
CANNOT = (DataError, MissingExtra, ModelError, ParameterError, ThreatError)  # of one defense: the others go on


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The data of a comparison: to learn from, to fit on, to judge on."""

    train: Dataset
    held_out: Dataset
    test: Dataset


class Halted(Exception):
    """Somebody wants to stop, and what ran is kept."""


@dataclasses.dataclass(eq=False)
class Work:
    """One comparison at work.

    Args:
        protocol: Settled.
        folder: Where it lies.
        parts: The data.
        interrupt: Who wants to stop, and whom to tell.
        command: For the reports of the runs.
        spent: Seconds of the defenses finished in this call, by kind.
        bare: The undefended model, once it is there.
        ahead: Seconds that the defenses after the present one may take.
    """

    protocol: Protocol
    folder: pathlib.Path
    parts: Parts
    interrupt: Interrupt
    command: str = ""
    spent: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    bare: Model | None = None
    ahead: float = 0.0

    def place(self, name: str) -> Place:
        """Where a defense is kept."""
        return Place(self.folder / name)

    def alive(self) -> None:
        """Asked before everything that takes long."""
        if self.interrupt.stops(begun=True):
            raise Halted


def compare_defenses(
    protocol: Protocol,
    out: str | os.PathLike[str],
    *,
    data: Splits | None = None,
    on_event: Listener = silent,
    command: str = "",
) -> DefenseComparison:
    """Train, fit and attack what a protocol names, and say what each defense buys and costs.

    Args:
        protocol: Settled, from `protocol.read`.
        out: The folder; the same call continues, and other defenses may be added to the protocol.
        data: The data; loaded by the protocol's name unless given.
        on_event: Told of progress; may raise `holdfast.Stop`.
        command: The command line that led here.

    Returns:
        The comparison, also written as `comparison.json`; `complete` is false after Ctrl-C or Stop, when `left` says
        what is missing, and where a defense cannot be made for these data, when `refused` says why.

    Raises:
        DataError: HF108 data without a part to learn from or to judge on, HF109 too few to hold some out.
        ModelError: HF282 for a threshold of a class that the data do not know.
        IntegrityError: HF401 another process writes, HF416 a folder of another protocol, HF417 of other files.
    """
    folder, before = pathlib.Path(out), here.load()
    parts = divided(protocol, data if data is not None else load(protocol.data))
    if protocol.threshold:
        threshold_of(protocol.threshold, parts.test.classes)
    began, complete = time.monotonic(), True
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with Lock(folder / "lock"):
        _claim(folder, protocol, parts)
        with Interrupt(on_event) as interrupt:
            work = Work(protocol, folder, parts, interrupt, command)
            names = (BARE, *map(str, protocol.chains()))
            judged = _limited(parts.test, protocol.samples, protocol.subset_seed)
            interrupt.tell(RunStarted("compare-defenses", str(folder), len(judged), names))
            try:
                _everything(work)
            except (Halted, KeyboardInterrupt, Stop):
                complete = False
            found = comparison(protocol, folder, here.machine(before))
            complete = complete and found.complete
            write_atomic(folder / "comparison.json", to_json(found).encode())
            interrupt.tell(RunDone(str(folder), complete, time.monotonic() - began))
    return found


def divided(protocol: Protocol, data: Splits) -> Parts:
    """What is learned from, fitted on and judged on; no sample in two of them."""
    train, seed = data.part("train"), protocol.subset_seed
    if data.val is not None and len(data.val):
        held_out = data.val.sample(protocol.held_out, seed)
    else:
        if len(train) < 2:
            raise DataError("HF109", "Too few samples to hold some out", seen=len(train), expected="2 or more")
        train, held_out = train.divide(1 - min(0.5, protocol.held_out / len(train)), seed)
    return Parts(_limited(train, protocol.base.samples, seed), held_out, data.part("test"))


def _limited(data: Dataset, samples: int, seed: int) -> Dataset:
    return data.sample(samples, seed) if 0 < samples < len(data) else data


def _claim(folder: pathlib.Path, protocol: Protocol, parts: Parts) -> None:
    """Refuse a folder of something else, then write down whose it is."""
    path, said = folder / "protocol.yaml", folder / "identity.txt"
    judged = _limited(parts.test, protocol.samples, protocol.subset_seed)
    wanted = {key: digest(value) for key, value in protocol.identity().items()}
    for name, part in (("training samples", parts.train), ("held-out samples", parts.held_out), ("samples", judged)):
        wanted[f"the {name}"] = digest(list(part.digests))
    if said.is_file():
        known = dict(line.rsplit(" ", 1) for line in said.read_text(encoding="utf-8").splitlines() if " " in line)
        other = [key for key in wanted if known.get(key) != wanted[key]]
        if other:
            raise IntegrityError(
                "HF416",
                f"'{folder}' belongs to another comparison",
                seen=f"another value for {', '.join(other)}",
                expected="the protocol it was begun with; only defenses may be added",
                fix="give another folder with -o",
            )
    else:
        strange = sorted(p.name for p in folder.iterdir() if p.name != "lock" and not p.name.startswith("."))
        if strange:
            raise IntegrityError(
                "HF417",
                f"'{folder}' holds other files and is no comparison of defenses",
                seen=strange[0],
                fix="give a folder that is empty or does not exist",
            )
        write_atomic(said, "".join(f"{key} {value}\n" for key, value in wanted.items()).encode())
    write_atomic(path, write(protocol).encode())


def _everything(work: Work) -> None:
    """The undefended model, then every defense that is not finished."""
    chains = work.protocol.chains()
    others = bool(work.protocol.other_threats) and any(c.kind == "learner" for c in chains)
    _one(work, BARE, None, others)
    left = [c for c in chains if not work.place(name_of(str(c))).done(_more(work, c))]
    for chain in chains:
        left = [other for other in left if other is not chain]
        work.ahead = _ahead(work, left)
        place = work.place(name_of(str(chain)))
        place.allow()
        try:
            _one(work, name_of(str(chain)), chain, _more(work, chain))
        except CANNOT as error:
            place.refuse(str(error))
            work.interrupt.tell(Note(f"{chain} cannot be made, the others go on: {error}", error.code))


def _more(work: Work, chain: Chain) -> bool:
    return chain.kind == "learner" and bool(work.protocol.other_threats)


def _one(work: Work, name: str, chain: Chain | None, others: bool) -> None:
    """One defense: build and measure it, audit it, under the other threats too where it was trained."""
    place, began = work.place(name), time.monotonic()
    label, kind = (BARE, "none") if chain is None else (str(chain), chain.kind)
    if not place.done(others):
        work.alive()
        model = _built(work, place, chain, label)
        first = None if chain is None else work.place(BARE)
        _audited(work, place.run, model, (work.protocol.under,), label, None if first is None else first.run)
        if others:
            _audited(work, place.others, model, work.protocol.unseen, label, None if first is None else first.others)
        work.spent.setdefault(kind, []).append(time.monotonic() - began)
    summary = Folder(place.run).summary
    broken = summary.coverage.statuses.get("broken", 0)
    work.interrupt.tell(StageDone(label, summary.data.n, broken, time.monotonic() - began))


def _ahead(work: Work, left: Sequence[Chain]) -> float:
    """Seconds that unfinished defenses may take, as far as finished ones of their kind tell, else the undefended."""
    seen = {kind: sum(each) / len(each) for kind, each in work.spent.items()}
    return sum(seen.get(chain.kind, seen.get("none", 0.0)) for chain in left)


def _built(work: Work, place: Place, chain: Chain | None, label: str) -> Model:
    """The defended model; what it costs is measured and kept when it is built for the first time."""
    tell = _Renamed(work, label)
    trained, spent, notes = _trained(work, place, chain, tell)
    if chain is None:
        work.bare = trained
        model, fitted = trained, None
    else:
        learns = any(isinstance(part, Fitted) for part in chain.front)
        model, once = timed(lambda: chain.before(trained, work.parts.held_out, work.protocol.seed, tell))
        fitted = once if learns else None
    if place.facts is None:
        judged = _limited(work.parts.test, work.protocol.samples, work.protocol.subset_seed)
        count = refused(model, judged)
        facts = Facts(
            defense=label,
            kind="none" if chain is None else chain.kind,
            random=model.random,
            gradient=model.module is not None,
            trained=spent if chain is None or chain.learner is not None else None,
            fitted=fitted,
            passes=None if chain is None else passes(_bare(work), model, judged.x),
            rejected=None if count is None else rate(count, len(judged), "all samples, as they are"),
            notes=notes,
        )
        place.write(facts)
    return model


def _trained(
    work: Work, place: Place, chain: Chain | None, tell: "_Renamed"
) -> tuple[Model, Spent | None, tuple[str, ...]]:
    """The network behind the stages, deciding as the protocol says."""
    if chain is not None and chain.learner is None:
        return _bare(work), None, ()
    made, spent, notes = _learned(work, place, chain, tell)
    precision, cut = work.protocol.base.precision, work.protocol.threshold
    if chain is None and wants_bfloat16(precision, work.parts.train.x.device):
        notes = (*notes, f"{BFLOAT16} (base: precision: {precision}).")
    return at_threshold(made, cut, work.parts.train.classes) if cut else made, spent, notes


def _learned(
    work: Work, place: Place, chain: Chain | None, tell: "_Renamed"
) -> tuple[Model, Spent | None, tuple[str, ...]]:
    """The network as it was learned: kept from an earlier call, or trained now and kept."""
    there = place.model(work.parts.train)
    if there is not None:
        return there, place.trained, ()
    protocol, train = work.protocol, work.parts.train
    learner = protocol.base.learner() if chain is None or chain.learner is None else chain.learner
    _warm(learner, train)
    made, spent = place.training(lambda: kept(learner, place.checkpoints).fit(train, protocol.seed, tell))
    found = place.keep(made, protocol.base, train, spent)
    if found is not None:
        return found, spent, ()
    again = "continues from its checkpoints" if any(place.checkpoints.iterdir()) else "trains anew"
    note = (
        f"The trained model is no network and no ensemble of networks that a card can name: an interrupted run {again}."
    )
    return made, spent, (note,)


def _warm(learner: Learner, train: Dataset) -> None:
    """Let libraries set up before anything is timed: the undefended model is the first, and would pay for all."""
    if isinstance(learner, Train):
        dataclasses.replace(learner, epochs=1, checkpoint="", patience=0).fit(few(train, 4 * learner.batch))


def _bare(work: Work) -> Model:
    """The undefended model."""
    if work.bare is None:
        work.bare, _, _ = _trained(work, work.place(BARE), None, _Renamed(work, BARE))
    return work.bare


def _audited(
    work: Work, run: pathlib.Path, model: Model, threats: tuple[Threat, ...], label: str, first: pathlib.Path | None
) -> None:
    """An audit; of a defended model it begins with what broke the undefended one."""
    if finished(run):
        return
    work.alive()
    protocol = work.protocol
    audit(
        model,
        work.parts.test,
        threat=threats,
        out=run,
        suite=protocol.suite,
        seed=protocol.seed,
        limit=protocol.samples or None,
        subset_seed=protocol.subset_seed,
        replay=first,
        on_event=_Renamed(work, label),
        command=work.command,
    )
    if not finished(run):
        raise Halted


class _Renamed:
    """Passes on what happens inside one defense as its progress; a wish to stop reaches trainings as `Stop`."""

    def __init__(self, work: Work, label: str):
        self.work, self.label, self.began = work, label, time.monotonic()

    def __call__(self, event: Event) -> None:
        tell = self.work.interrupt.tell
        if isinstance(event, BatchDone):
            left = event.seconds
            if left is None and event.done:
                left = (time.monotonic() - self.began) / event.done * (event.total - event.done)
            tell(BatchDone(self.label, event.done, event.total, 0, 0, (left or 0.0) + self.work.ahead))
        elif isinstance(event, RunStarted) and event.what == "audit":
            tell(event)
        elif isinstance(event, Note):
            tell(Note(f"{self.label}: {event.text}", event.code))
        if self.work.interrupt.stops(begun=True):
            raise Stop
