"""An audit that ends when a question is answered: it looks after 32, 48, 72, ... samples; a look continues the run."""

import dataclasses
import os
import pathlib
import time
from typing import Any

from holdfast.core.errors import UsageError
from holdfast.core.files import Lock, write_atomic
from holdfast.core.progress import Note
from holdfast.data.dataset import Dataset
from holdfast.evaluation import narrowly
from holdfast.evaluation.audit import audit
from holdfast.evaluation.budget import affordable, deadline_of
from holdfast.evaluation.clusters import grouped
from holdfast.evaluation.document import to_json
from holdfast.evaluation.sequential import Answer, Decision, Question, judge, looks, parse
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder, sibling
from holdfast.evaluation.summary import Summary
from holdfast.evaluation.verdict import interval, percent
from holdfast.models.model import Model
from holdfast.threats.literals import parse_all


def decided(
    model: Model,
    data: Dataset,
    *,
    decide: str | None,
    budget: str | None = None,
    deadline: str | None = None,
    hardest_of: str | os.PathLike[str] | None = None,
    began: float | None = None,
    out: pathlib.Path,
    limit: int | None,
    new: bool,
    **rest: Any,
) -> Folder:
    """`audit`, stopped once the question is answered; without a question the whole audit.

    Args:
        model: A wrapped model.
        data: Samples with labels; they are taken in a seeded random order.
        decide: The question, None for none.
        budget: A time that fixes the number of samples, None for none.
        deadline: A time after which no further part begins, None for none.
        hardest_of: A baseline whose hardest samples are attacked first, in a run of their own; None for none.
        began: Moment of the monotonic clock from which the deadline counts, now unless given.
        out: The run folder.
        limit: The most samples to use.
        new: Make a sibling of a folder that is taken.
        rest: Of `audit`.

    Raises:
        UsageError: HF826 for a question that is none, or data in groups; HF827 for a time that is none or
            holds no sample.
        IntegrityError: HF407, HF413, HF414 for a baseline that does not fit.
    """
    rest["deadline"] = deadline_of(deadline, time.monotonic() if began is None else began)
    if decide is not None:
        parse(decide)
    out, new = (sibling(out), False) if new and hardest_of is not None else (out, new)
    begun = budget is not None and (out / "manifest.json").exists()
    if budget is not None:
        asked = {key: rest[key] for key in ("threat", "suite", "batch")}
        limit, fits = affordable(model, data, budget=budget, out=out, limit=limit, **asked)
        rest["on_event"](Note(fits))
    if hardest_of is None:
        return _random(model, data, decide=decide, out=out, limit=limit, new=new, **rest)
    if decide is None and (limit is None or limit >= len(data)):
        return _whole(model, data, hardest_of, decide=decide, out=out, new=new, **rest)
    most, both = narrowly.shared_out(out, min(limit or len(data), len(data)), begun)
    hard, told = narrowly.first(model, data, hardest_of=hardest_of, out=out, most=most, **rest)
    if hard is None or told is None:
        return _random(model, data, decide=decide, out=out, limit=both, new=new, **rest)
    if not hard.summary.complete:
        return hard
    found = _random(model, data, decide=decide, out=out, limit=both - told.tried, new=new, **rest)
    return narrowly.beside(found, told)


def _whole(model: Model, data: Dataset, hardest_of: str | os.PathLike[str], **rest: Any) -> Folder:
    """The audit of all samples, with the hardest counted among the others."""
    baseline, threats = Folder(pathlib.Path(hardest_of)), [t.literal for t in parse_all(rest["threat"])]
    chosen = narrowly.chosen(baseline, data, threats, len(data) // 2)
    found = _random(model, data, limit=None, **rest)
    return narrowly.beside(found, narrowly.counted(found, baseline, chosen, data)) if chosen.rows else found


def _random(
    model: Model, data: Dataset, *, decide: str | None, out: pathlib.Path, limit: int | None, new: bool, **rest: Any
) -> Folder:
    """The audit of a simple random sample, stopped once the question is answered, where there is one."""
    if decide is None:
        return audit(model, data, out=out, limit=limit, new=new, **rest)
    question = parse(decide)
    if data.groups is not None and grouped(data.groups.tolist()):
        raise UsageError("HF826", "Samples in groups cannot decide one by one", fix="audit without --decide")
    seen: list[int] = []
    for n in looks(min(limit or len(data), len(data))):
        folder = audit(model, data, out=out, limit=n, new=new, **rest)
        out, new = folder.path, False
        seen.append(n)
        rate: Rate | None = getattr(folder.summary.rates, question.metric)
        if not folder.summary.complete or rate is None:
            break
        answer = judge(question, rate.k, rate.n)
        with Lock(out / "lock"):
            told = with_decision(folder.summary, question, answer, rate, tuple(seen))
            write_atomic(out / "summary.json", to_json(told).encode("utf-8", "backslashreplace"))
        if answer.answer != "undecided":
            break
    return Folder(out)


def with_decision(summary: Summary, question: Question, answer: Answer, rate: Rate, seen: tuple[int, ...]) -> Summary:
    """The summary with the decision, and with the interval that is valid although the run looked at it."""
    valid = dataclasses.replace(rate, low=answer.low, high=answer.high, method="confidence sequence")
    text = sentence(question, answer, valid)
    threats = summary.threats
    if question.metric == "empirical_robust_accuracy" and len(threats) == 1:
        threats = (dataclasses.replace(threats[0], empirical_robust_accuracy=valid),)
    return dataclasses.replace(
        summary,
        decision=Decision(
            question=str(question), answer=answer.answer, rate=valid, looks=seen, evidence=answer.evidence, text=text
        ),
        rates=dataclasses.replace(summary.rates, **{question.metric: valid}),
        threats=threats,
        verdict=dataclasses.replace(
            summary.verdict, text=f"{text} {summary.verdict.text.replace(interval(rate), interval(valid))}"
        ),
        limits=(
            *summary.limits,
            f"The run stopped when it knew enough about {question}. The interval of that rate holds at every look; "
            "those of other rates are made for a number of samples fixed before.",
        ),
    )


def sentence(question: Question, answer: Answer, rate: Rate) -> str:
    """The decision in a sentence."""
    name, share = question.metric.replace("_", " "), f"{percent(question.threshold)} %"
    wrong = f"at most {100 * (1 - answer.level):.0f} of 100 such answers are wrong, over all looks"
    if answer.answer == "undecided":
        return f"Undecided after {rate.n} samples whether the {name} is {question.operator} {share} ({interval(rate)})."
    name += " under these attacks" if question.metric == "empirical_robust_accuracy" else ""
    side = "above" if (answer.answer == "yes") == (question.operator == ">=") else "below"
    return f"Decided after {rate.n} samples: the {name} is {side} {share} ({wrong})."
