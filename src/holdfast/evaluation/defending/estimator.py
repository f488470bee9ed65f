"""A hardened estimator, its file, and the same audit of it before and after."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic

from holdfast.attacks.run import belongs
from holdfast.core.errors import HoldfastError, IntegrityError, ModelError, Stop, UsageError
from holdfast.core.files import Lock, write_atomic, writing
from holdfast.core.progress import Event, Listener, Note, StageDone, silent
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset, Splits
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds
from holdfast.evaluation.audit import audit
from holdfast.evaluation.budget import seconds_of
from holdfast.evaluation.comparison import Comparison, compare
from holdfast.evaluation.defending.changes import Written, told
from holdfast.evaluation.defending.dividing import Parts
from holdfast.evaluation.defending.harden import AFTER, BEFORE, Inside, audited, stoppable
from holdfast.evaluation.defending.hardening import Hardening, TableChoice
from holdfast.evaluation.defending.place import finished
from holdfast.evaluation.defending.recipe import AUTO, plain
from holdfast.evaluation.defending.tabular import Asked, Subject, fewer, learner_of
from holdfast.evaluation.defending.trying import Trying
from holdfast.evaluation.document import adapter, to_json
from holdfast.evaluation.evading import direction, in_direction
from holdfast.evaluation.frames import Frame, frame, stacked
from holdfast.evaluation.interrupt import Interrupt
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Finding
from holdfast.learning.learner import Learner
from holdfast.models.estimator_files import endings_of, read_back, save_estimator
from holdfast.models.estimators import estimator_of
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint, settle
from holdfast.models.threshold import Threshold
from holdfast.models.wrap import wrap
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

KEPT = "Finished rounds and recipes are kept"
LEARNED = (
    "The given model is fitted. What it learned from is not known: if rows of the test part are among it, the figures "
    "before are better than they should be."
)


@dataclasses.dataclass(frozen=True, eq=False)
class HardenedEstimator:
    """What came of it.

    Args:
        estimator: The hardened one, fitted; it takes rows and says classes as the given one did.
        model: The same, wrapped and settled.
        choice: The recipe and why.
        before, after: Run folders of the same audit; None where they lay in a temporary folder.
        comparison: Of the two, row by row.
        report: All of it as a document, which `holdfast harden` shows.
        seconds: Of learning.
        file: The model file, read back and compared; None where none could be written.
        findings: Of the audit after, as in `Run.findings`; both audits are runs, `hf.open_run(found.after)`.
        samples: Rows of both audits, one for each threat and sample; the column `audit` says before or after.
    """

    estimator: Any
    model: Model
    choice: TableChoice
    before: pathlib.Path | None
    after: pathlib.Path | None
    comparison: Comparison
    report: Hardening
    seconds: float
    file: pathlib.Path | None
    findings: tuple[Finding, ...] = ()
    samples: pa.Table = dataclasses.field(default_factory=lambda: pa.table({}), repr=False)

    def to_frame(self, kind: Frame = "auto") -> Any:
        """`samples` as a data frame, as `Run.to_frame`; it is there also where the audits lay in a temporary folder.

        Raises:
            MissingExtra: HF701 where pandas was asked for and is not installed.
        """
        return frame(self.samples, kind)


def harden_estimator(
    given: Any,
    data: Dataset | Splits,
    *,
    threat: str | Threat,
    out: pathlib.Path,
    recipe: str = AUTO,
    budget: str = "10m",
    suite: str = "quick",
    limit: int | None = 500,
    evade: str = "",
    seed: int = 0,
    file: pathlib.Path | None = None,
    keep: bool = True,
    name: str = "",
    threshold: Threshold | None = None,
    on_event: Listener = silent,
    command: str = "",
) -> HardenedEstimator:
    """Learn an estimator anew so that it withstands more, and audit it before and after.

    Args:
        given: A classifier of scikit-learn, XGBoost, LightGBM or CatBoost, or a Pipeline, fitted or not; it stays as it
            is. One that is not fitted learns from the training part first.
        data: Splits, or one data set, of which a fifth is kept for the audits.
        threat: What it shall withstand; a radius is needed.
        out: A folder for the audits, for what was found on the way and for the model; the same call continues there.
        recipe: `adversarial_rounds(rounds=3)`, `robust_splitting`, `robust_stumps`, or "auto".
        budget: Time of learning; the audits come on top.
        suite: Of the audits.
        limit: Rows of the audits, a seeded random subset.
        evade: One direction alone, `fraud:legitimate`: rows of the first class are attacked and audited.
        seed: Of everything random.
        file: Where the model goes; `model` in the folder unless given, with the end of its kind.
        keep: Whether to write the model.
        name: What reports call the given model; its class unless given.
        threshold: Where the given model and the hardened one decide a class.
        on_event: Told of progress; may raise `holdfast.Stop`.
        command: The command line that led here.

    Raises:
        UsageError: HF827 the budget, HF831, HF834 the recipe.
        ModelError: HF208 no classifier, HF222 rows that it cannot learn from, HF260 a threat without a radius.
        ThreatError: HF307 or HF308 a threat that does not fit the data, HF309 a direction that is none.
        IntegrityError: HF401 another process writes, HF416 a folder of another hardening.
    """
    under, seconds, subject = _bounded(parse(threat)), seconds_of(budget), Subject.of(given, threshold)
    parts = Parts.of(data, seed, evade)
    belongs(under, parts.train.space)
    asked = Asked(under, _class(parts.train, evade), evade)
    if plain(recipe) != AUTO:
        learner_of(recipe, subject, parts.train, asked)  # refused before anything is learned
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with Lock(out / "lock"), Interrupt(on_event) as interrupt, stoppable(interrupt, KEPT):
        work = _Work(subject, parts, asked, out, seed, Inside(interrupt), name or subject.name)
        plan = functools.partial(
            audit, data=parts.judged, threat=under, suite=suite, seed=seed, limit=limit, command=command
        )
        return work.carried_out(plan, [plain(recipe), seconds, suite, limit], (file or out / "model") if keep else None)


@dataclasses.dataclass(frozen=True, eq=False)
class _Work:
    """One hardening: everything of it that learns."""

    subject: Subject
    parts: Parts
    asked: Asked
    out: pathlib.Path
    seed: int
    tell: Inside
    name: str

    def carried_out(self, plan: Callable[..., Folder], said: list[Any], file: pathlib.Path | None) -> HardenedEstimator:
        """All of it: the choice, the model and its file, both audits.

        Args:
            plan: An audit of a model.
            said: Recipe, budget in seconds, suite and limit.
            file: Where the model goes; None to write none.
        """
        unknown = LEARNED if self.subject.fitted and not self.parts.remark else ""
        remarks = [text for text in (self.subject.remark, self.parts.remark, unknown) if text]
        for remark in remarks:
            self.tell(Note(remark))
        start = self.before()
        choice = self.choice(start, said)
        self.tell(Note(choice.text))
        began = time.perf_counter()
        made, estimator, choice = self.made(choice)
        spent = time.perf_counter() - began
        model, kept, trust, why = _written(estimator, made, self.parts.train, file)
        if why:
            self.tell(Note(why))
        before, after = (self.judged(plan, self.aimed(m), n) for n, m in ((BEFORE, start), (AFTER, model)))
        report = told(
            compare([before, after]),
            choice,
            (start, model),
            self.parts,
            self.asked,
            (before, after),
            Written(type(estimator).__name__, spent, "" if kept is None else str(kept), bool(trust)),
            (*remarks, *([why] if why else [])),
        )
        write_atomic(self.out / "hardening.json", to_json(report).encode())
        found, paths = after.summary.findings, (before.path, after.path)
        rows = stacked({BEFORE: before.samples, AFTER: after.samples})
        return HardenedEstimator(estimator, model, choice, *paths, report.comparison, report, spent, kept, found, rows)

    def before(self) -> Model:
        """The given model, settled; learned first where it is not fitted."""
        train = self.parts.train
        if not self.subject.fitted:
            found = self.subject.learner.fit(train, self.seed, self.tell)
        else:
            space = train.bounds if train.schema is None else train.space
            found = settle(wrap(self.subject.given, space, threshold=self.subject.threshold), train.x)
        return dataclasses.replace(found, name=self.name)

    def choice(self, start: Model, said: list[Any]) -> TableChoice:
        """The choice of this folder, made once."""
        train, path, kept = self.parts.train, self.out / "choice.json", self.out / "asked.txt"
        recipe, seconds = said[:2]
        who = fingerprint(start, tuple(train.x.shape[1:]), train.x.dtype)
        what = [self.asked.threat.literal, self.asked.source, *said, self.seed]
        wanted = digest([who, list(train.digests), list(self.parts.judged.digests), what])
        if kept.is_file() and kept.read_bytes() != wanted.encode():
            raise IntegrityError(
                "HF416",
                f"'{self.out}' belongs to another hardening",
                seen="another model, data, threat, recipe, budget, suite or seed",
                expected="those it was begun with",
                fix="give another folder with -o",
            )
        write_atomic(kept, wanted.encode())
        if path.is_file():
            try:
                found: TableChoice = adapter(TableChoice).validate_json(path.read_bytes())
            except (pydantic.ValidationError, OSError) as error:
                raise IntegrityError(
                    "HF418", f"'{path}' cannot be read", seen=type(error).__name__, fix="delete it; it is chosen anew"
                ) from error
            return found
        made = self._chosen(recipe, seconds)
        write_atomic(path, to_json(made).encode())
        return made

    def _chosen(self, recipe: str, seconds: float) -> TableChoice:
        if plain(recipe) != AUTO:
            _, text = learner_of(recipe, self.subject, self.parts.train, self.asked)
            return TableChoice(recipe=text, budget=seconds, tried=(), text=f"{text}, as asked.")
        return Trying(
            subject=self.subject,
            learned=self.parts.learned,
            validation=self.parts.validation,
            asked=self.asked,
            folder=self.out,
            seconds=seconds,
            again=self.parts.learned is not self.parts.train,
            seed=self.seed,
            on_event=self.tell,
        ).choice()

    def made(self, choice: TableChoice) -> tuple[Model, Any, TableChoice]:
        """The hardened model, its estimator, and the choice; where the clock ended the rounds, that of the finished."""
        watch = _Watch(self.tell, 0.0 if choice.tried else choice.budget)
        learner = self._learner(choice)
        try:
            found = learner.fit(self.parts.train, self.seed, watch)
        except Stop:
            if not watch.rounds:
                raise
            choice = dataclasses.replace(
                choice,
                recipe=fewer(choice.recipe, watch.rounds),
                text=f"{choice.text} The budget of {choice.budget:.0f} s ran out after round {watch.rounds}.",
            )
            write_atomic(self.out / "choice.json", to_json(choice).encode())  # the same call makes no more of them
            learner = self._learner(choice)
            found = learner.fit(self.parts.train, self.seed, self.tell)
        estimator = estimator_of(found)
        words = getattr(self.subject.given, "classes_", None) if self.subject.fitted else None
        if not isinstance(learner, AdversarialRounds) and isinstance(words, np.ndarray):
            estimator.classes_ = words  # a robust forest learned numbers, and says the words of the given one
            found = settle(wrap(estimator, self.parts.train.bounds), self.parts.train.x)
        found = self.subject.deciding(found, self.parts.train.x)
        return dataclasses.replace(found, name=f"{self.name}, hardened"), estimator, choice

    def _learner(self, choice: TableChoice) -> Learner:
        return learner_of(choice.recipe, self.subject, self.parts.train, self.asked, str(self.out))[0]

    def aimed(self, model: Model) -> Model:
        """The model as the rows that are judged ask it: of more than two classes, whether it says what is aimed at."""
        return in_direction(model, self.parts.test, self.asked.evade)

    def judged(self, plan: Callable[..., Folder], model: Model, part: str) -> Folder:
        """The audit in a folder; one that is there is that of this model.

        Raises:
            IntegrityError: HF402 where it is of another one.
        """
        path, x = self.out / part, self.parts.train.x
        if finished(path):
            there = Folder(path).manifest.fingerprint
            if there != fingerprint(settle(model, x), tuple(x.shape[1:]), x.dtype):
                raise IntegrityError(
                    "HF402",
                    f"The audit in '{path}' is of another model",
                    seen="an estimator that learned otherwise this time",
                    fix="give another folder with -o, and one thread to the estimator (n_jobs=1)",
                )
        return audited(plan, model, path, self.tell)


class _Watch:
    """Ends rounds after the one in which the budget ran out."""

    def __init__(self, inner: Listener, budget: float):
        self.inner, self.budget, self.began, self.rounds, self.seen = inner, budget, time.perf_counter(), 0, 0

    def __call__(self, event: Event) -> None:
        self.inner(event)
        if not isinstance(event, StageDone) or not event.stage.startswith("round "):
            return
        self.seen += 1
        if self.budget and not event.reused and time.perf_counter() - self.began >= self.budget:
            self.rounds = self.seen
            self.inner(Note(f"the budget ran out: stopped after {event.stage}"))
            raise Stop


def _bounded(threat: Threat) -> Threat:
    """The threat.

    Raises:
        ModelError: HF260 for one without a radius.
    """
    if not threat.bounded:
        raise ModelError(
            "HF260",
            "Hardening needs a radius",
            seen=threat.literal,
            expected="a threat with a limit",
            fix=f"--threat {threat.norm}:{'features=2' if threat.norm == 'table' else 'RADIUS'}",
        )
    return threat


def _class(data: Dataset, evade: str) -> str:
    """The name of the class that is attacked; empty where all are.

    Raises:
        UsageError: HF834 for several.
    """
    way = direction(data, evade)
    if way is None:
        return ""
    if len(way.source) > 1:
        raise UsageError(
            "HF834",
            "One class that hides is hardened at a time",
            seen=evade,
            expected="one class on the left of the colon",
            fix=f"{data.classes[way.source[0]]}:{evade.rpartition(':')[2].strip()}",
        )
    return data.classes[way.source[0]]


def _written(
    estimator: Any, made: Model, data: Dataset, file: pathlib.Path | None
) -> tuple[Model, pathlib.Path | None, str, str]:
    """The model that the audit asks, its file, the trust that it needs, and why there is none or another one.

    Where there is a file, the model is what it holds.
    """
    if file is None:
        return made, None, "", ""
    known, note, path = endings_of(estimator), "", file
    if path.suffix not in known:
        path = path.with_suffix(known[0])
        if file.suffix:
            note = f"Written as {path.name}: {type(estimator).__name__} has a format of its own."
    try:
        save_estimator(estimator, path)
        found, trust = read_back(path, made, data.x)
    except HoldfastError as error:
        with writing(path):
            path.unlink(missing_ok=True)
        return made, None, "", f"No model file: {error.line()}"
    return dataclasses.replace(found, name=made.name), path, trust, note
