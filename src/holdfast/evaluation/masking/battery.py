"""The masking battery as steps of an audit: which samples, which questions, in which order.

Cost a sample and threat, in forward passes (a backward pass counts as two), where the model shows its gradient:
6 + 13 once a run (`answers`, `slopes`); 14 (`directions`); at most 60 (`reach`); a sample that breaks in the first
trial takes a few steps of it and of the larger radius; one that holds takes 60 + 240 (`first`, `doubled`), 200
(`black_box`), 20 (`noise`) and 1 (`transfer`). So at most about 615, on at most 64 samples.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.core.records import canonical, config, digest
from holdfast.evaluation.finals import View
from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.masking import answers, directions, limits, slopes, surrogate, trials
from holdfast.evaluation.masking.trials import Trial
from holdfast.evaluation.parts import Question
from holdfast.evaluation.plan import passes
from holdfast.evaluation.rows import AnswerRow, DirectionRow, SlopeRow, TrialRow
from holdfast.evaluation.steps import JUDGED, Told, Toll, Work, fill
from holdfast.evaluation.work import Answers, Bench, surely
from holdfast.models.model import Model
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import Threat

FIELDS = ("module", "scores", "labels")
SLOPES, DIRECTIONS = 13, 14  # forward passes a sample, a backward pass as two


def seen(model: Model, threat: Threat) -> tuple[str, ...]:
    """The fields of a model that may be asked under a threat."""
    narrowed = model.seen_as(threat.knowledge)
    return tuple(name for name in FIELDS if getattr(narrowed, name) is not None)


def subset(view: View) -> list[str]:
    """The samples of the battery: a seeded random choice of those that are right, the same whatever their order."""
    clean = view.clean()
    right = [key for key in view.keys if key in clean and clean[key].status == "right"]
    order = sorted(right, key=lambda key: (number_of(f"masking {view.seed} {key}"), key))
    return order[: limits.count(len(right))]


def lessons(view: View) -> tuple[list[str], list[int]]:
    """What the substitute is taught: samples and what the model decides on them."""
    clean = view.clean()
    known = [key for key in view.keys if key in clean and clean[key].predicted >= 0]
    keys = sorted(known, key=lambda key: hashlib.blake2b(key.encode(), digest_size=8).digest())[: surrogate.PUPILS]
    return keys, [clean[key].predicted for key in keys]


def answers_question(view: View) -> Question:
    """Whether answers repeat, alone and in company."""
    return Question("answers", "", "", view.seed)


def slopes_question(view: View) -> Question:
    """Whether gradients keep their word."""
    return Question("slopes", "", "", view.seed)


def directions_question(view: View, threat: Threat) -> Question:
    """The gradient against random directions."""
    return Question("directions", threat.literal, "", view.seed)


def trial_question(view: View, threat: Threat, trial: Trial) -> Question:
    """A small attack."""
    told = {"trial": trial.name, "attack": config(trial.attack), "factor": str(trial.factor)}
    return Question("trial", threat.literal, canonical(told), view.seed)


def transfer_question(view: View, threat: Threat) -> Question:
    """Inputs made on the substitute; other lessons make another one."""
    return Question(
        "trial", threat.literal, canonical({"trial": "transfer", "lessons": digest(lessons(view))}), view.seed
    )


def held(view: View, threat: Threat, found: dict[str, Trial], among: Sequence[str]) -> list[str]:
    """The samples that the first and the doubled trial did not break."""
    rows = [
        view.parts.rows(trial_question(view, threat, found[n]), TrialRow) for n in ("first", "doubled") if n in found
    ]
    return [key for key in among if all(key not in known or known[key].status == "unbroken" for known in rows)]


def masking_steps(w: Work) -> None:
    """Every question of the battery that has no committed answer."""
    view, bench, keys = w.view, w.bench, subset(w.view)
    _ask(w, answers_question(view), AnswerRow, keys, answers.answers, answers.failed, limits.COMPANY + 4)
    if any("module" in seen(bench.model, threat) for threat in view.threats):
        _ask(w, slopes_question(view), SlopeRow, keys, slopes.slopes, slopes.failed, SLOPES)
    if wavers(view):
        return
    for threat in view.threats:
        _threat_steps(w, threat, keys)


def wavers(view: View) -> bool:
    """Whether the model's answers move from pass to pass: then the trials say nothing that this does not."""
    rows = view.parts.rows(answers_question(view), AnswerRow)
    moved = [rows[key].passes for key in subset(view) if key in rows]
    return sum(p is not None and p > limits.MOVED for p in moved) > limits.allowed(len(moved), limits.NEVER)


def _threat_steps(w: Work, threat: Threat, keys: Sequence[str]) -> None:
    view, sees = w.view, seen(w.bench.model, threat)
    found = trials.trials(threat, sees)
    table = isinstance(threat, Table)
    if "module" in sees and threat.bounded and threat.radius > 0 and not table:
        asked = functools.partial(directions.directions, threat=threat)
        _ask(w, directions_question(view, threat), DirectionRow, keys, asked, directions.failed, DIRECTIONS)
    for name, trial in found.items():
        needed = needs(view, threat, found, name, keys)
        asked = functools.partial(trials.tried, trial=trial, threat=threat)
        rows = passes(trial.attack) + JUDGED
        _ask(w, trial_question(view, threat, trial), TrialRow, needed, asked, trials.failed, rows)
    if transfers(threat, sees, w.bench.inputs[0].numel(), view):
        taught, decisions = lessons(view)
        asked = functools.partial(surrogate.transferred, threat=threat, lessons=taught, decisions=decisions)
        needed = held(view, threat, found, keys)
        _ask(w, transfer_question(view, threat), TrialRow, needed, asked, trials.failed, 1)


def transfers(threat: Threat, sees: Sequence[str], size: int, view: View) -> bool:
    """Whether a substitute is taught."""
    ball = threat.bounded and threat.radius > 0 and not isinstance(threat, Table)
    return "module" in sees and ball and size <= surrogate.LARGEST and len(set(lessons(view)[1])) > 1


def needs(view: View, threat: Threat, found: dict[str, Trial], name: str, keys: Sequence[str]) -> list[str]:
    """The samples that a trial must try: those it can say something new about."""
    if name in ("first", "reach"):
        return list(keys)
    first = view.parts.rows(trial_question(view, threat, found["first"]), TrialRow)
    if name == "larger":
        return [key for key in keys if key in first and first[key].status == "broken"]
    if name == "doubled":
        return [key for key in keys if key in first and first[key].status == "unbroken"]
    return held(view, threat, found, keys)


def _ask(
    w: Work,
    question: Question,
    kind: type[Any],
    keys: Sequence[str],
    ask: Callable[[Bench, Sequence[str]], Answers],
    failed: Callable[[str, str], Any],
    rows: int,
) -> None:
    """Ask for the samples that have no committed answer; `rows` is what one takes of a model at most."""
    told = Told(f"masking {question.kind} {question.threat}".strip())
    fill(w, question, kind, keys, lambda team: surely(w.bench, team, ask, failed), told, Toll(w.bench.model, rows))
