"""The work of `holdfast bench`, table after table; Ctrl-C keeps the rows that are finished."""

import dataclasses
import math
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from types import ModuleType

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.run import fits
from holdfast.core.errors import DataError, ThreatError, UsageError
from holdfast.core.progress import Listener, Note, RunDone, RunStarted, StageDone, silent
from holdfast.data.dataset import Dataset
from holdfast.evaluation import provenance
from holdfast.evaluation.bench import machine as here
from holdfast.evaluation.bench.growth import grown, shortened, sizes
from holdfast.evaluation.bench.memory import SIZES, remembered
from holdfast.evaluation.bench.peers import TITLES, peer_of, toolkits, victim
from holdfast.evaluation.bench.records import AttackRow, Bench, GrowthRow, MemoryRow, PassSeconds, PeerRow
from holdfast.evaluation.bench.rows import Subject, beside_peer, beside_plain, named, pass_seconds
from holdfast.evaluation.bench.timing import Clock
from holdfast.evaluation.suites import resolve
from holdfast.models.deciding import decision
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint, settle
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

DRAWN = 4  # times as many samples as are measured are looked at for those the model gets right
DEFAULTS = {
    math.inf: ("pgd(steps=40)", "apgd(steps=50)", "fab_t(steps=20, targets=2)", "square(steps=300)"),
    2.0: ("pgd(steps=40)", "apgd(steps=50)", "ddn(steps=50)", "deep_fool(steps=20)", "square(steps=300)"),
    1.0: ("pgd(steps=40)", "apgd(steps=50)", "fab_t(steps=20, targets=2)", "ead(steps=50, searches=3)"),
    0.0: ("pgd(steps=40)", "sigma_zero(steps=100)"),
}
BLIND = ("square(steps=300)", "hop_skip_jump(steps=10)")  # where no gradient is seen


@dataclasses.dataclass
class _Book:
    """What is finished."""

    attacks: list[AttackRow] = dataclasses.field(default_factory=list)
    peers: list[PeerRow] = dataclasses.field(default_factory=list)
    growth: list[GrowthRow] = dataclasses.field(default_factory=list)
    memory: list[MemoryRow] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    one: PassSeconds | None = None


def bench(
    model: Model,
    data: Dataset,
    *,
    threat: str | Threat,
    attacks: Sequence[str] = (),
    batch: int = 64,
    repeat: int = 3,
    others: str = "auto",
    growth: bool = False,
    memory: Sequence[int] = (),
    seed: int = 0,
    threads: int = 1,
    clock: Clock = time.process_time,
    on_event: Listener = silent,
) -> Bench:
    """Time attacks on a model, each beside a side that does the same work, taken A B A B in this process.

    Args:
        model: A wrapped model.
        data: Samples with labels; a seeded subset of those that the model gets right is used.
        threat: Under which samples are held.
        attacks: Texts such as `pgd(steps=40)`; a usual list for the threat's norm where there are none.
        batch: Samples, all attacked at once.
        repeat: Times that each side runs; medians count.
        others: Toolkits to compare with: `auto` for those installed, `none`, or names with commas.
        growth: Whether to measure batches, sides and classes too.
        memory: Numbers of samples of audits whose memory is measured, each in a process of its own.
        seed: Of every random draw.
        threads: Of torch; as they were afterwards.
        clock: Seconds; those of this process's processor unless given.
        on_event: Told of progress.

    Returns:
        The tables; `complete` is false where Ctrl-C ended the work.

    Raises:
        DataError: HF120 where the model gets no sample right.
        ThreatError, UsageError: HF3xx, HF8xx for threats, attacks and toolkits that do not exist or do not fit.
        MissingExtra: HF701 for a toolkit asked for by name that is not installed.
    """
    before, book, began = here.load(), _Book(), time.monotonic()
    threads_before, complete = torch.get_num_threads(), True
    torch.set_num_threads(threads)
    try:
        subject, chosen = _subject(model, data, parse(threat), attacks, batch, repeat, seed, clock)
        there = toolkits(others)
        on_event(RunStarted("bench", "", len(subject.x), tuple(named(a) for a in chosen)))
        try:
            with subject.model.borrowed(), warnings.catch_warnings(), redirect_stdout(sys.stderr):
                warnings.simplefilter("ignore")  # what peers complain about
                _tables(book, subject, chosen, there, growth, on_event)
            _memory(book, memory, seed, on_event)
        except KeyboardInterrupt:
            complete = False
        found = _document(book, subject, data, complete, chosen[0] if book.growth else None, before)
    finally:
        torch.set_num_threads(threads_before)
    on_event(RunDone("", complete, time.monotonic() - began))
    return found


def _subject(
    model: Model,
    data: Dataset,
    threat: Threat,
    attacks: Sequence[str],
    batch: int,
    repeat: int,
    seed: int,
    clock: Clock,
) -> tuple[Subject, list[Attack]]:
    """The samples and the attacks, looked at before anything is timed."""
    part = data.sample(DRAWN * batch, seed)
    if not len(part):
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    settled = settle(model, part.x)
    chosen = _chosen(attacks, settled.seen_as(threat.knowledge), threat)
    rows = (settled.predict(part.x) == part.y).nonzero()[:batch, 0]
    if not len(rows):
        raise DataError(
            "HF120",
            "The model gets none of these samples right, so there is nothing to attack",
            seen=f"0 of {len(part)} samples right",
            fix="holdfast doctor MODEL DATA",
        )
    part = part.take(rows)
    ids = torch.arange(len(part)) if part.ids is None else part.ids
    seen = Subject(model=settled, threat=threat, x=part.x, y=part.y, ids=ids, seed=seed, repeat=repeat, clock=clock)
    return seen, chosen


def _chosen(texts: Sequence[str], model: Model, threat: Threat) -> list[Attack]:
    """The attacks asked for, each of which must fit; or those of the usual list that do."""
    if texts:
        asked = [attack for text in texts for attack in resolve(text).attacks]
        for attack in asked:
            fits(attack, model, threat)
        return asked
    usual = [resolve(text).attacks[0] for text in dict.fromkeys((*DEFAULTS.get(threat.p, ()), *BLIND))]
    fitting = [attack for attack in usual if _fit(attack, model, threat)]
    white = [attack for attack in fitting if "module" in attack.needs or "scores" in attack.needs]
    if not fitting:
        raise UsageError(
            "HF810",
            f"No attack of the usual list serves {threat.literal} on this model",
            fix="--attack NAME; holdfast list attacks",
        )
    return white or fitting


def _fit(attack: Attack, model: Model, threat: Threat) -> bool:
    try:
        fits(attack, model, threat)
    except ThreatError:
        return False
    return True


def _tables(
    book: _Book,
    subject: Subject,
    chosen: Sequence[Attack],
    there: dict[str, ModuleType],
    growth: bool,
    on_event: Listener,
) -> None:
    book.one = pass_seconds(subject)
    for attack in chosen:
        row = beside_plain(subject, attack, book.one)
        book.attacks.append(row)
        _told(on_event, row.attack, subject, row.held, sum(row.seconds) + sum(row.seconds_plain))
    _peers(book, subject, chosen, there, on_event)
    if growth:
        _growth(book, subject, shortened(chosen[0]), on_event)


def _peers(
    book: _Book, subject: Subject, chosen: Sequence[Attack], there: dict[str, ModuleType], on_event: Listener
) -> None:
    if not there:
        return
    seen = victim(subject.model, subject.threat, subject.x, subject.y, subject.seed)
    if seen is None:
        book.notes.append(
            "Other toolkits were not run: they want a torch module of logits and one range for all inputs."
        )
        return
    for attack in chosen:
        for name, module in there.items():
            try:
                peer = peer_of(name, module, attack, seen)
                row = None if peer is None else beside_peer(subject, attack, peer)
            except Exception as error:  # noqa: BLE001 - a foreign package may refuse in any way
                book.notes.append(_refused(named(attack), TITLES[name], error))
                continue
            if row is not None:
                book.peers.append(row)
                spent = sum(row.seconds) + sum(row.seconds_theirs)
                _told(on_event, f"{row.attack} | {row.peer}", subject, row.held, spent)


def _refused(attack: str, name: str, error: Exception) -> str:
    said = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{attack}: no row beside {name}, which ended with {type(error).__name__}: {said}"


def _growth(book: _Book, subject: Subject, attack: Attack, on_event: Listener) -> None:
    for by, value, sized in sizes(subject):
        if isinstance(sized, str):
            book.notes.append(f"Growth with the {by}: no row, {sized}.")
            continue
        try:
            fits(attack, sized.model, sized.threat)
            row = grown(by, value, sized, attack)
        except ThreatError as error:
            book.notes.append(f"Growth with the {by} {value}: no row, {error.what}.")
            continue
        book.growth.append(row)
        on_event(Note(f"growth: {by} {value} measured"))


def _memory(book: _Book, counts: Sequence[int], seed: int, on_event: Listener) -> None:
    """Each audit; before the larger ones how long they will take, as the first one tells."""
    if not counts:
        return
    on_event(Note(f"memory: an audit of {min(counts):,} samples comes first; it tells how long the others take"))
    for count in sorted(counts):
        if book.memory:
            one = book.memory[-1]
            on_event(Note(f"memory: {count:,} samples, about {one.seconds / one.samples * count:.0f} s"))
        row = remembered(count, seed)
        if isinstance(row, str):
            book.notes.append(row)
            return
        book.memory.append(row)


def _told(on_event: Listener, stage: str, subject: Subject, held: float, seconds: float) -> None:
    count = len(subject.x)
    on_event(StageDone(stage, count, round((1 - held) * count), seconds))


def _document(
    book: _Book, subject: Subject, data: Dataset, complete: bool, first: Attack | None, before: float | None
) -> Bench:
    """Everything as it is published."""
    found = here.machine(before)
    precision = str(subject.x.dtype).removeprefix("torch.")
    notes = [
        "" if complete else "Interrupted: only the rows that were finished.",
        decision(subject.model, data.classes),
        here.busy(found),
        f"Precision {precision} on both sides; nothing is searched in bfloat16"
        + (", which this processor knows." if found.bfloat16 else ", which this processor does not know natively."),
        *book.notes,
    ]
    return Bench(
        holdfast=provenance.version(),
        complete=complete,
        model=subject.model.name,
        fingerprint=fingerprint(subject.model, tuple(subject.x.shape[1:]), subject.x.dtype),
        data=data.name,
        split=data.split,
        threat=subject.threat.literal,
        samples=len(subject.x),
        ids=tuple(subject.ids.tolist()),
        seed=subject.seed,
        repeat=subject.repeat,
        precision=precision,
        shape=tuple(subject.x.shape[1:]),
        machine=found,
        plain_pass=book.one,
        attacks=tuple(book.attacks),
        peers=tuple(book.peers),
        growth=tuple(book.growth),
        growth_attack="" if first is None else named(shortened(first)),
        memory=tuple(book.memory),
        notes=tuple(note for note in notes if note),
    )


__all__ = ["SIZES", "bench"]
