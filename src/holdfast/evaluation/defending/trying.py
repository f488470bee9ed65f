"""Which recipe hardens an estimator: each is learned on a part, attacked on another, and the best is taken."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator

import pydantic
import torch
from torch import Tensor

from holdfast.core.errors import DataError, HoldfastError, IntegrityError, UsageError
from holdfast.core.files import write_atomic
from holdfast.core.progress import BatchDone, Event, Listener, Note, StageDone, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._broken import broken
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds
from holdfast.evaluation.defending.hardening import TableChoice, Trials, Tried
from holdfast.evaluation.defending.tabular import ROUNDS, Asked, Subject, fitting, kin, learner_of, own
from holdfast.evaluation.document import adapter, to_json
from holdfast.evaluation.evading import in_direction, of_source
from holdfast.evaluation.statistics import rate
from holdfast.models.model import Model

PLAIN = "as it is"
CHECKED = 200  # validation rows that are attacked
MOST, PLANNED = 6, 3  # rounds that are tried at most, and that the budget is planned for
LEAST, ENOUGH = 20, 500  # rows attacked in a round
SAFE = 0.85  # share of the budget that is planned
RULE = (
    "of the recipes that the budget holds, the one of whose model most validation rows are right and hold; of equals "
    "the one with more right answers, then the first"
)
RULE_SOURCE = (
    "of the recipes that the budget holds, the one with the highest mean of two shares of the validation part: rows "
    "of the attacked class that are right and hold, and rows of the others that are right"
)

Clock = Callable[[], float]


@dataclasses.dataclass(frozen=True, eq=False)
class Trying:
    """The search for a recipe.

    Args:
        subject: The estimator.
        learned: What recipes learn from.
        validation: What they are judged on.
        asked: The threat.
        folder: Keeps rounds and what was tried.
        seconds: The budget.
        again: Whether the chosen recipe learns once more, on all data.
        seed: Of learning and attacks.
        on_event: Told of progress.
        clock: Seconds.
    """

    subject: Subject
    learned: Dataset
    validation: Dataset
    asked: Asked
    folder: pathlib.Path
    seconds: float
    again: bool
    seed: int = 0
    on_event: Listener = silent
    clock: Clock = time.perf_counter

    def choice(self) -> TableChoice:
        """The recipe; what an earlier call has tried is not tried again.

        Raises:
            IntegrityError: HF418 where what was tried cannot be read.
        """
        began = self.clock()
        trials = self._kept()
        if not trials.tried:
            trials = self._first()
        for text in self._texts(trials.samples):
            if text in [one.recipe for one in trials.tried]:
                continue
            if _wasted(text, trials.tried):
                break
            spent = sum(one.seconds for one in trials.tried)
            if len(trials.tried) > 1 and spent + self._cost(text, trials) > SAFE * self.seconds:
                self.on_event(Note(f"{text}: not tried, the budget of {self.seconds:.0f} s would not hold it"))
                break
            trials = self._with(trials, text)
        self.on_event(Note(f"{len(trials.tried) - 1} tried in {self.clock() - began:.0f} s"))
        return self._chosen(trials.tried)

    def _first(self) -> Trials:
        """The model as it is, and how many rows a round may attack for the budget."""
        began = self.clock()
        model = self.subject.learner.fit(self.learned, self.seed, self.on_event)
        fitted = self.clock() - began
        broken(model, self.validation.take(slice(0, 2)), self.asked.threat, None, self.seed)  # what happens once
        warm = self.clock()
        found = self._measured(PLAIN, model, began)
        row = (self.clock() - warm) / max(found.held.n, 1)
        check = row * found.held.n
        again = self.again * 4 * fitted
        left = SAFE * self.seconds - check - fitted - PLANNED * (2 * fitted + check) - again
        fits = left / (PLANNED * row * (1 + self.again)) if row > 0 else ENOUGH
        samples = int(min(max(fits, LEAST), ENOUGH))
        return self._keep(Trials(samples=samples, row_seconds=row, fit_seconds=fitted, tried=(found,)))

    def _texts(self, samples: int) -> Iterator[str]:
        """Recipes, the cheap ones first; rounds one more each time, until one adds nothing."""
        suited = fitting(self.subject, self.learned, self.asked.threat)
        if (name := kin(self.subject)) in suited:
            yield own(name, self.subject)
        for rounds in range(1, MOST + 1):
            text = f"{ROUNDS}(rounds={rounds}, samples={samples})"
            yield text
            learner, _ = learner_of(text, self.subject, self.learned, self.asked, str(self.folder))
            if isinstance(learner, AdversarialRounds) and not learner.added(self.learned, self.seed, rounds - 1):
                break

    def _cost(self, text: str, trials: Trials) -> float:
        """Seconds that trying a recipe, and learning it on all data, may take."""
        fit, row = trials.fit_seconds, trials.row_seconds
        most = int(_attacked(self.learned, self.asked.source).sum())
        attacked = min(trials.samples, most) * row
        check = row * trials.tried[0].held.n
        if not text.startswith(ROUNDS):
            return 4 * fit + check
        rounds = int(text.partition("rounds=")[2].partition(",")[0])
        return 2 * fit + attacked + check + self.again * (rounds * (fit + attacked) + fit)

    def _with(self, trials: Trials, text: str) -> Trials:
        """What was tried, and one more."""
        began = self.clock()
        learner, _ = learner_of(text, self.subject, self.learned, self.asked, str(self.folder))
        self.on_event(Note(f"trying {text}"))
        try:
            made = self.subject.deciding(learner.fit(self.learned, self.seed, self._tell), self.learned.x)
            found = self._measured(text, made, began)
        except HoldfastError as error:
            self.on_event(Note(f"{text}: not tried, {error.line()}"))
            return trials
        self.on_event(Note(f"{text}: {_told(found)}"))
        return self._keep(dataclasses.replace(trials, tried=(*trials.tried, found)))

    def _tell(self, event: Event) -> None:
        """Rounds that the recipe before has made already are no news."""
        if not isinstance(event, StageDone) or not event.reused:
            self.on_event(event)

    def _measured(self, text: str, model: Model, began: float) -> Tried:
        """A model on the validation part."""
        return measured(
            text, model, self.validation, self.asked, self.seed, self.on_event, lambda: self.clock() - began
        )

    def _chosen(self, tried: tuple[Tried, ...]) -> TableChoice:
        if len(tried) < 2:
            raise UsageError("HF834", f"No recipe could harden {self.subject.name}", seen="the notes above say why")
        best = max(tried[1:], key=lambda one: (one.score, one.right.point))
        rule = RULE_SOURCE if self.asked.source else RULE
        text = f"{best.recipe}: {_told(best)}; as it is {_told(tried[0])}. Rule: {rule}."
        if best.score <= tried[0].score:
            text += " None of them is better there than the model as it is."
        return TableChoice(recipe=best.recipe, budget=self.seconds, tried=tried, text=text)

    @property
    def _file(self) -> pathlib.Path:
        return self.folder / "tried.json"

    def _kept(self) -> Trials:
        if not self._file.is_file():
            return Trials()
        try:
            found: Trials = adapter(Trials).validate_json(self._file.read_bytes())
        except (pydantic.ValidationError, OSError) as error:
            raise IntegrityError(
                "HF418", f"'{self._file}' cannot be read", seen=type(error).__name__, fix="delete it; all is tried anew"
            ) from error
        return found

    def _keep(self, trials: Trials) -> Trials:
        write_atomic(self._file, to_json(trials).encode())
        return trials


def measured(
    text: str, model: Model, part: Dataset, asked: Asked, seed: int, on_event: Listener, spent: Callable[[], float]
) -> Tried:
    """What a model keeps of a part: rows that are right, and rows that are right and do not break.

    Args:
        text: Of the recipe.
        model: Settled.
        part: Rows; at most 200 of them are attacked, a seeded random part.
        asked: The threat.
        seed: Of the attack and the choice of rows.
        on_event: Told of progress.
        spent: Seconds so far, asked at the end.
    """
    right = model.predict(part.x) == part.y
    own_class = _attacked(part, asked.source)
    attacked = of_source(part, asked.evade).sample(CHECKED, seed)
    if not len(attacked):
        raise DataError(
            "HF109",
            "The validation part has no row to attack",
            seen=f"{len(part)} rows, none of {asked.source!r}",
            fix="more rows of that class, a split column with a part 'val', or a recipe by name",
        )
    tell = functools.partial(_renamed, on_event)
    aimed = in_direction(model, part, asked.evade)
    won, _ = broken(aimed, attacked, asked.threat, None, seed, tell)
    held = int((aimed.predict(attacked.x) == attacked.y).sum()) - len(won)
    others = right[~own_class]
    return Tried(
        recipe=text,
        right=rate(int(right.sum()), len(part), "validation rows"),
        held=rate(held, len(attacked), "validation rows that were attacked"),
        rest=rate(int(others.sum()), len(others), "validation rows of the other classes") if len(others) else None,
        seconds=spent(),
    )


def _told(found: Tried) -> str:
    """`71 % hold, 94 % right`."""
    rest = "" if found.rest is None else f" (the others {100 * found.rest.point:.0f} %)"
    return f"{100 * found.held.point:.0f} % hold, {100 * found.right.point:.0f} % right{rest}"


def _attacked(part: Dataset, source: str) -> Tensor:
    """Rows of the class that somebody wants to hide; all where none is named: `(n,)`."""
    return part.y == part.classes.index(source) if source else torch.ones(len(part), dtype=torch.bool)


def _wasted(text: str, tried: tuple[Tried, ...]) -> bool:
    """Whether one more round is no use: the last two were no better than the best before them."""
    rounds = [one.score for one in tried if one.recipe.startswith(ROUNDS)]
    return text.startswith(ROUNDS) and len(rounds) > 2 and max(rounds[-2:]) <= max(rounds[:-2])


def _renamed(on_event: Listener, event: Event) -> None:
    """An attack's progress, said to be that of the validation."""
    on_event(dataclasses.replace(event, stage="validation") if isinstance(event, BatchDone) else event)
