"""The steps of an audit: each asks for what is not committed yet, part by part, and commits it."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from holdfast.attacks.attack import Attack
from holdfast.core.errors import ModelError
from holdfast.core.progress import BatchDone, Note, StageDone
from holdfast.core.records import canonical, config
from holdfast.evaluation import manifest, provenance, work
from holdfast.evaluation.earlier import Replay
from holdfast.evaluation.finals import View, curve_needs, finals, survivors
from holdfast.evaluation.interrupt import Interrupt
from holdfast.evaluation.masking import limits
from holdfast.evaluation.pace import Ahead, Pace, expected
from holdfast.evaluation.parts import Question, Took
from holdfast.evaluation.plan import CLEAN, control_question, passes, question, radii
from holdfast.evaluation.rows import CleanRow, ControlRow, SearchRow
from holdfast.evaluation.store import Store
from holdfast.evaluation.suites import describe
from holdfast.evaluation.work import Answers, Bench
from holdfast.models.model import Model
from holdfast.models.spending import rows_left, spent
from holdfast.threats.threats import Threat

CAP = "HF245"  # rows that an endpoint may be asked
SMALL = "nothing was finished: the next sample alone needs more rows than this cap allows, so the same command would "
SMALL += "end here again; raise the cap, or ask fewer questions about a sample (queries= in the threat)"
CLEANLY, JUDGED = 2, 10  # rows for a clean prediction and why it is rejected; to begin a search and to judge its end
AGAIN = "HF232"  # samples that failed are tried again
TOGETHER = 256  # samples that start together in a search which gives most rows up early: a few rows cost as many do


@dataclasses.dataclass(eq=False)
class Work:
    """One audit at work.

    Args:
        store: Where it commits.
        view: What it is asked for.
        bench: The model and the samples.
        interrupt: Who wants to stop, and whom to tell.
        others: Models for transfer, with their fingerprints.
        cut: Whether work was left undone because somebody wanted to stop.
        forwards: Rows sent through the model so far.
        pace: What they took.
        repairs: Whether it was told that samples are tried again.
        dear: How many times the rows that a search says a sample took, where a cap is watched.
    """

    store: Store
    view: View
    bench: Bench
    interrupt: Interrupt
    others: tuple[tuple[Model, str], ...] = ()
    cut: bool = False
    forwards: int = 0
    pace: Pace = dataclasses.field(default_factory=Pace)
    repairs: bool = False
    dear: float = 1.0

    def stopping(self) -> bool:
        """Asked before every part: whether it must be left undone."""
        self.cut = self.cut or self.interrupt.stops(begun=self.forwards > 0)
        return self.cut

    def remark(self, text: str, code: str) -> None:
        """Write down and tell what happened, once."""
        if self.store.remark(text):
            self.interrupt.tell(Note(text, code))

    def failed(self, asked: Question, kind: type[Any], among: Sequence[str]) -> set[str]:
        """Samples on which the model failed in an earlier session: they are tried once more."""
        found = self.store.parts.failed(asked, kind) & set(among)
        if found and not self.repairs:
            self.repairs = True
            self.interrupt.tell(Note("samples on which the model had failed are tried once more", AGAIN))
        return found

    def mended(self, name: str, asked: Question, kind: type[Any], failed: set[str]) -> None:
        """Write down how many of them have a result now."""
        rows = self.store.parts.rows(asked, kind)
        k = sum(rows[key].status != "error" for key in failed)
        if k and kind in (CleanRow, SearchRow):
            self.remark(f"{name}: {k} of {len(failed)} samples on which the model had failed are answered now", AGAIN)

    def timed(self, ask: Callable[[], Answers], samples: int, toll: "Toll") -> tuple[Answers, float] | None:
        """Answers and the seconds they took; None where the model is out of reach, which ends the work resumably."""
        began, before, left = time.perf_counter(), spent(toll.model), rows_left(toll.model)
        try:
            answers = dataclasses.replace(ask(), spent=spent(toll.model) - before)
            if left < math.inf:
                self.dear = max(self.dear, (left - rows_left(toll.model)) / (samples * toll.rows))
            return answers, time.perf_counter() - began
        except ModelError as error:
            if not work.gone(error):
                raise
            self.cut = True
            self.interrupt.reason = f"{error.code} {error.what}, {error.seen}".strip(" :")[:240]
            self.interrupt.tell(Note(error.line().removeprefix(error.code).strip(), error.code))
            if error.code == CAP and not self.forwards:
                self.remark(SMALL, CAP)
            return None

    def pieces(self, keys: Sequence[str], toll: "Toll") -> Iterator[list[str]]:
        """The samples in parts that the model's cap surely allows, cut when they are asked for; one without a cap.

        A cap ends the part that meets it, and what is paid for it is lost. The first part of a call is one sample:
        should a search take more rows than it says, every call still finishes something, if anything can be finished.
        """
        rest = list(keys)
        while rest:
            left = rows_left(toll.model)
            sure = max(1, int(left // (toll.rows * self.dear))) if left < math.inf else len(rest)
            most = sure if self.forwards or left == math.inf else 1
            yield rest[:most]
            rest = rest[most:]

    def ahead(self, threat: Threat, stage: int, right: int) -> Ahead:
        """What follows an attack; later threats find samples left that this one does not, so they count in full."""
        view = self.view
        later = view.threats[view.threats.index(threat) + 1 :]
        return Ahead(
            view.attacks(threat)[stage + 1 :],
            (view.curve(threat), len(radii(threat, view.threats))),
            [attack for t in later for attack in view.attacks(t)],
            right,
            limits.count(right) * len(view.threats),
        )


@dataclasses.dataclass(frozen=True)
class Toll:
    """Who is asked in a step, and the rows that one sample takes at most, as far as its parameters tell."""

    model: Model
    rows: int


@dataclasses.dataclass(frozen=True)
class Told:
    """How a step is told to whoever listens.

    Args:
        name: Of the stage.
        before: Samples that earlier stages broke.
        all_judged: Whether every sample of the stage was judged by an earlier one.
        ahead: What follows; None for steps at the end.
    """

    name: str
    before: int = 0
    all_judged: bool = False
    ahead: Ahead | None = None

    def event(self, done: int, total: int, broken: int, left: float, pace: Pace) -> BatchDone:
        """`held` of `judged`: of the samples that were right, as far as anybody has attacked them."""
        judged = self.before + (total if self.all_judged else done)
        if self.ahead is not None:
            held = self.ahead.right - self.before - expected(done, total, broken)
            left += pace.left(self.ahead.passes(held))
        return BatchDone(self.name, done, total, judged - self.before - broken, judged, left)


def clean_step(w: Work) -> None:
    """The model's decisions on the samples as they are."""
    failed = w.failed(CLEAN, CleanRow, w.view.keys)
    missing = [key for key in w.view.keys if key not in w.view.clean() or key in failed]
    _decisions(w, missing, failed)
    w.mended("clean predictions", CLEAN, CleanRow, failed)


def _decisions(w: Work, missing: Sequence[str], failed: set[str]) -> None:
    """Ask for them. A part where every row fails waits until one does not."""
    held: list[tuple[Answers, float]] = []
    toll = Toll(w.bench.model, CLEANLY)
    teams = manifest.teams(w.store.manifest.samples, missing)
    for team in (piece for whole in teams for piece in w.pieces(whole, toll)):
        if w.stopping():
            return
        found = w.timed(functools.partial(work.clean, w.bench, team), len(team), toll)
        if found is None:
            return
        answers, seconds = found[0].without(failed), found[1]
        held.append((answers, seconds))
        if any(row.status != "error" for row in answers.rows) or w.view.clean():
            for answer, spent in held:
                _commit(w, CLEAN, CleanRow, answer, spent)
            held = []
    if held:
        raise ModelError(
            "HF231",
            "The model failed on every sample",
            seen=held[0][0].rows[0].reason,
            fix="call it on one sample by hand",
        )


def search_steps(w: Work, threat: Threat) -> None:
    """Every attack of the suite on what the earlier ones left."""
    for stage, attack in enumerate(w.view.attacks(threat)):
        needed = survivors(w.view, threat, stage, finals(w.view))
        clean = w.view.clean()
        right = sum(key in clean and clean[key].status == "right" for key in w.view.keys)
        ahead = w.ahead(threat, stage, right)
        replay = isinstance(attack, Replay)
        before = 0 if replay else right - len(needed)
        told = Told(
            f"{describe(attack)} {threat.literal}", before, attack != w.view.first(threat) and not replay, ahead
        )
        began = time.monotonic()
        reused = _search(w, threat, attack, needed, told)
        rows = w.view.searched(threat, attack)
        broken = sum(key in rows and rows[key].status == "broken" for key in needed)
        if w.cut:
            return
        w.interrupt.tell(StageDone(told.name, len(needed), broken, time.monotonic() - began, reused))


def curve_steps(w: Work, threat: Threat) -> None:
    """One attack of the suite at smaller radii, on the samples that broke."""
    for radius in radii(threat, w.view.threats):
        needed = curve_needs(w.view, threat, radius, finals(w.view))
        _search(w, threat.at(radius), w.view.curve(threat), needed, Told(f"curve {threat.at(radius).literal}"))


def control_steps(w: Work, threat: Threat) -> None:
    """Plain noise of the same radius on every sample that is right."""
    if threat.bounded:
        right = {key for key, row in w.view.clean().items() if row.status == "right"}
        fill(
            w,
            control_question(threat, w.view.seed),
            ControlRow,
            [key for key in w.view.keys if key in right],
            lambda keys: work.control(w.bench, keys, threat),
            Told("noise control " + threat.literal),
            Toll(w.bench.model, 1),
        )


def transfer_steps(w: Work) -> None:
    """The adversarial inputs on the other models."""
    for other, name in w.others:
        for threat in w.view.threats:
            found = {
                key: w.view.adversarial(f) for key, f in finals(w.view)[threat.literal].items() if f.status == "broken"
            }
            there = {key: value for key, value in found.items() if value is not None}
            bench = dataclasses.replace(w.bench, model=other)
            fill(
                w,
                transfer_question(w.view, threat, name),
                ControlRow,
                list(there),
                functools.partial(work.transfer, bench, adversarial=there),
                Told(f"transfer {threat.literal}"),
                Toll(other, 2),
            )


def transfer_question(view: View, threat: Threat, fingerprint: str) -> Question:
    """Depends on the attacks too, because they made the inputs."""
    return Question(
        "transfer",
        threat.literal,
        canonical(
            {
                "model": fingerprint,
                "suite": [config(a) for a in view.attacks(threat)],
                "threats": [t.literal for t in view.threats],
            }
        ),
        view.seed,
    )


def _search(w: Work, threat: Threat, attack: Attack, needed: Sequence[str], told: Told) -> int:
    return fill(
        w,
        question(threat, attack, w.view.seed),
        SearchRow,
        needed,
        lambda keys: work.search(w.bench, keys, _ready(w.view, attack, threat, keys), threat),
        told,
        Toll(w.bench.model, min(passes(attack), threat.queries or passes(attack)) + JUDGED),
        TOGETHER if attack.thins else 0,
    )


def _ready(view: View, attack: Attack, threat: Threat, keys: Sequence[str]) -> Attack:
    """The attack; a replay with the inputs of these samples."""
    if view.earlier is None or not isinstance(attack, Replay):
        return attack
    found = view.earlier.found[threat.literal]
    return attack.showing({manifest.number_of(key): found[key] for key in keys})


def fill(
    w: Work,
    asked: Question,
    kind: type[Any],
    needed: Sequence[str],
    ask: Callable[[Sequence[str]], Answers],
    told: Told,
    toll: Toll,
    together: int = 0,
) -> int:
    """Ask for the samples that have no committed answer, a group or so many samples at once; how many had one."""
    known = w.store.parts.rows(asked, kind)
    failed = w.failed(asked, kind, needed)
    missing = [key for key in needed if key not in known or key in failed]
    done = len(needed) - len(missing)
    reused, took = done, 0.0
    samples = w.store.manifest.samples
    bundled = bundles(manifest.teams(samples, missing), max(together, *map(len, samples.groups)))
    for keys in (piece for teams in bundled for piece in w.pieces([key for team in teams for key in team], toll)):
        if w.stopping():
            break
        found = w.timed(functools.partial(ask, keys), len(keys), toll)
        if found is None:
            break
        answers, seconds = found[0].without(failed), found[1]
        _commit(w, asked, kind, answers.trimmed(list(manifest.teams(samples, keys))), seconds)
        done, took = done + len(keys), took + seconds
        left = took / max(1, done - reused) * (len(needed) - done)
        rows = w.store.parts.rows(asked, kind)
        broken = sum(key in rows and rows[key].status == "broken" for key in needed)
        w.interrupt.tell(told.event(done, len(needed), broken, left, w.pace))
    w.mended(told.name, asked, kind, failed)
    return reused


def bundles(teams: Iterable[Sequence[str]], most: int) -> list[list[Sequence[str]]]:
    """Teams of which attacks have left few are asked and committed together, up to `most` samples.

    A network takes two rows nearly as long as twenty. Bundles are cut from the front and committed whole, so that after
    a kill the rest is cut as it would have been: the same company, the same bits.
    """
    found: list[list[Sequence[str]]] = []
    for team in teams:
        if found and sum(map(len, found[-1])) + len(team) <= most:
            found[-1].append(team)
        else:
            found.append([team])
    return found


def _commit(w: Work, asked: Question, kind: type[Any], answers: Answers, seconds: float) -> None:
    if answers.batch:
        w.bench = dataclasses.replace(w.bench, batch=answers.batch)
        w.remark(f"memory ran out: the batch was halved to {answers.batch} rows; results do not depend on it", "HF504")
    w.forwards += answers.forwards
    gradients = sum(row.gradients for row in answers.rows if isinstance(row, SearchRow))
    w.pace.took(seconds, answers.forwards, gradients)
    if answers.rows:
        w.store.outdated()
        took = Took(seconds, answers.forwards, answers.spent.asked, answers.spent.remembered)
        w.store.parts.add(asked, kind, answers.rows, answers.arrays, took, provenance.now())
