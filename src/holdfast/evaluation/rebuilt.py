"""What `summary.json` must say, made again from the committed parts, and where it says something else.

The model is not asked: it only tells what an attacker may see of it, and in which space its inputs lie.
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from holdfast import attacks
from holdfast.attacks.attack import Attack
from holdfast.core.errors import HoldfastError
from holdfast.core.lazy import camel
from holdfast.core.records import revive
from holdfast.data.dataset import Dataset
from holdfast.evaluation import integrity, manifest, provenance
from holdfast.evaluation.derive import Concluded, Facts, concluded, transfers
from holdfast.evaluation.earlier import Earlier, Replay
from holdfast.evaluation.finals import View, finals
from holdfast.evaluation.masking.battery import seen
from holdfast.evaluation.plan import families, question, radii
from holdfast.evaluation.redecided import commanded, redecided
from holdfast.evaluation.rows import SearchRow
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.steps import transfer_question
from holdfast.evaluation.store import Folder
from holdfast.evaluation.suites import Suite
from holdfast.evaluation.summarize import Case
from holdfast.evaluation.summary import AttackFacts, Rates, Summary, ThreatFacts
from holdfast.models.model import Model
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

ATOL = 1e-6
DRAWN = 5e-3  # by how much an interval that is drawn may be off: another version of SciPy draws otherwise
RATES = ("empirical_robust_accuracy", "success_rate", "control")
COUNTED = {"empirical_robust_accuracy", "success_rate", "control", "statuses", "broken"}  # `rederive` tells these
WORDS = {"words", "text", "source", "title", "next", "not_tested", "id", "tried", "stored", "nist", "atlas", "reasons"}
SINCE = {"masking": (1, 1), "together": (1, 7)}  # the version of the document that said it first
NAMED = (1, 10)  # since then a transfer says to which fingerprint inputs were shown
UNSEEN = (
    "that samples which held were attacked as the parts say, what noise, masking checks and other models answered, "
    "times and machine: that takes another audit"
)


@dataclasses.dataclass(frozen=True)
class Rebuilt:
    """What of a summary does not follow from the parts, a line each, and what could not be made again, with why."""

    differs: tuple[str, ...]
    left: tuple[str, ...]


def rebuilt(folder: Folder, model: Model, data: Dataset | None) -> Rebuilt:
    """Masking verdict, curves, transfer rates, costs, findings and verdict, made again from the parts.

    Args:
        folder: A run whose parts are as they were committed.
        model: Its model, settled.
        data: The samples; without them rates by class are not made again.

    Raises:
        IntegrityError: HF405 no manifest, HF408 no summary.
    """
    summary = folder.summary
    if summary.replay is not None and not summary.complete:
        return Rebuilt((), ("what a stopped replay had left to try",))
    if integrity.table(folder)[1]:
        return Rebuilt((), ("numbers over a table that cannot be read",))
    keys = _keys(folder)
    if len(keys) != summary.data.n:
        return Rebuilt((), ("numbers over samples, of which several have one number or none",))
    own = [a.name for t in summary.threats for a in t.attacks if a.name != "replay" and _attack(a) is None]
    if own:
        return Rebuilt((), (f"what rests on {own[0]}, which is no attack of holdfast",))
    found = [
        _differences(summary, _made(folder, model, data, keys, curve), data is not None) for curve in _curves(folder)
    ]
    left = [] if data is not None else ["rates by class, without the data"]
    if summary.holdfast != provenance.version():
        left.append(f"sentences, which version {summary.holdfast} wrote")
    left += [f"{name}, which its version {summary.schema_version} did not say" for name in _unsaid(summary)]
    fewest = min(found, key=len)
    return Rebuilt(tuple(fewest), tuple(left))


def _written(summary: Summary) -> tuple[int, ...]:
    """Major and minor version of the document."""
    return tuple(int(part) if part.isdecimal() else 0 for part in summary.schema_version.split(".")[:2])


def _unsaid(summary: Summary) -> list[str]:
    """What a document of an earlier version leaves out."""
    names = [name for name, since in SINCE.items() if _written(summary) < since and getattr(summary, name) is None]
    return [name for name in names if name != "together" or len(summary.threats) > 1]


def _keys(folder: Folder) -> list[str]:
    """The samples of the summary in the order of its table, by key."""
    samples, wanted = folder.manifest.samples, folder.summary.threats[0].literal
    key_of = dict(zip(samples.ids, samples.keys, strict=True))
    rows = folder.samples.select(["sample", "threat"]).to_pylist()
    return list(dict.fromkeys(key_of[r["sample"]] for r in rows if r["threat"] == wanted and r["sample"] in key_of))


def _attack(facts: AttackFacts) -> Attack | None:
    """The attack that a summary names; None where it is none of ours."""
    return _revived({"name": camel(facts.name), **facts.config})


def _revived(config: Mapping[str, Any]) -> Attack | None:
    try:
        found = revive(config, lambda name: getattr(attacks, name))
    except (AttributeError, HoldfastError):
        return None
    return found if isinstance(found, Attack) else None


def _curves(folder: Folder) -> list[Attack | None]:
    """What may have searched the smaller radii: the first stage, or any attack that the journal names there."""
    summary, found = folder.summary, list[Attack | None]([None])
    threats = [parse(t.literal) for t in summary.threats]
    below = {t.at(r).literal for t in threats for r in radii(t, threats)}
    named = {q.attack for q in folder.parts.questions() if q.kind == "search" and q.threat in below}
    return found + [attack for attack in (_revived(json.loads(text)) for text in sorted(named)) if attack is not None]


def _made(folder: Folder, model: Model, data: Dataset | None, keys: Sequence[str], curve: Attack | None) -> Concluded:
    """The conclusions, with `curve` at the smaller radii."""
    summary = folder.summary
    threats = tuple(families([parse(t.literal) for t in summary.threats]))
    plans = [(t.literal, tuple(a for a in map(_attack, t.attacks) if a is not None)) for t in summary.threats]
    suite = Suite(summary.provenance.suite, (), curve=curve, critics=tuple(plans))
    view = View(folder.parts, tuple(keys), threats, suite, summary.provenance.seed, _earlier(folder, threats))
    samples = folder.manifest.samples
    place = {} if data is None else {key: i for i, key in enumerate(manifest.keys_of(data.digests))}
    known = data is not None and data.kinds is not None and all(key in place for key in keys)
    case = Case(
        view,
        finals(view),
        dict(zip(samples.keys, samples.labels, strict=True)),
        summary.model.class_names,
        model.space,
        summary.data.kind == "image",
        dict(zip(samples.keys, samples.source, strict=True)),
        model.suspicion is not None,
        {key: int(data.kinds[place[key]]) for key in keys} if known else {},  # type: ignore[union-attr,index]
        data.kind_names if data is not None else (),
        bool(summary.data.direction),
    )
    sees = {t.literal: seen(model, t) for t in threats}
    facts = Facts(summary.model, summary.data, summary.provenance.precision, summary.stopped, sees, case.rejects)
    return concluded(case, _others(folder, view), facts, dict(zip(samples.keys, samples.ids, strict=True)))


def _earlier(folder: Folder, threats: Sequence[Threat]) -> Earlier | None:
    """The replay of the run, as far as its parts tell which samples it had something for."""
    told = folder.summary.replay
    if told is None:
        return None
    stage = Replay(inputs=told.inputs, model=told.model)
    asked = {
        t.literal: folder.parts.rows(question(t, stage, folder.summary.provenance.seed), SearchRow) for t in threats
    }
    nothing = np.zeros(0)
    found = {literal: dict.fromkeys(rows, nothing) for literal, rows in asked.items()}
    return Earlier(told.run, stage, found, told.stored, told.knows)


def _others(folder: Folder, view: View) -> list[tuple[str, str]]:
    """The models for transfer: their names, which no part knows, with the fingerprints under which parts agree."""
    stated, asked = folder.summary.transfer, {q.digest for q in folder.parts.questions() if q.kind == "transfer"}
    marks = {str(json.loads(q.attack)["model"]) for q in folder.parts.questions() if q.digest in asked}
    known = [m for m in sorted(marks) if any(transfer_question(view, t, m).digest in asked for t in view.threats)]
    found = list[tuple[str, str]]()
    for start in range(0, len(stated), len(view.threats)):  # a model's threats stand together
        mine, name = stated[start : start + len(view.threats)], stated[start].model
        free = [m for m in known if all(m != mark for _, mark in found)]
        free = [stated[start].fingerprint] if stated[start].fingerprint else free
        fits = [m for m in (*free, "") if not list(_apart(mine, transfers(view, [(name, m)]), "", {"fingerprint"}))]
        found.append((name, (fits or free or [""])[0]))
    return found


def _differences(summary: Summary, made: Concluded, classes: bool) -> list[str]:
    """Fields of the summary that are not those of the conclusions."""
    told = summary.holdfast == provenance.version() and not summary.data.chosen  # another version has other words
    made, decision = redecided(summary, made)
    if _written(summary) < NAMED:
        made = dataclasses.replace(made, transfer=tuple(dataclasses.replace(t, fingerprint="") for t in made.transfer))
    skipped = COUNTED | (set() if told else WORDS) | (set() if classes else {"per_class", "confusions"})
    aside = {"rates", "coverage", *_unsaid(summary)}
    names = [f.name for f in dataclasses.fields(Concluded) if f.name not in aside]
    found = [
        line
        for name in names
        for line in _apart(getattr(summary, name), getattr(made, name), name, skipped | {"tried", "stored"})
    ]
    found += _spans(summary, made)
    if summary.decision is not None:
        found += _apart(summary.decision, decision, "decision", set() if told else {"text"})
    command, answered = commanded(summary.provenance.command), summary.decision and summary.decision.question
    plain = summary.complete and not summary.data.chosen
    if command is not None and (plain or answered) and str(command) != answered:
        found.append(f"summary.json decides {answered or 'nothing'}, its command asks {command}")
    found += _apart(summary.coverage.errors, made.coverage.errors, "coverage.errors", skipped)
    found += _apart(summary.coverage.statuses, made.coverage.statuses, "coverage.statuses", skipped)
    return found


def _spans(summary: Summary, made: Concluded) -> Iterator[str]:
    """The headline rates that have another interval than their counts and groups give; `rederive` tells the counts."""
    sides: list[tuple[str, Any, Any, str]] = [
        (f"rates.{f.name}", summary.rates, made.rates, f.name) for f in dataclasses.fields(Rates)
    ]
    for stated, again in zip(summary.threats, made.threats, strict=False):
        sides += [(f"threats[{stated.literal}].{name}", stated, again, name) for name in RATES]
    for path, one, other, name in sides:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, Rate) and isinstance(b, Rate) and (a.k, a.n) == (b.k, b.n):
            yield from _apart(a, b, path, set())


def _span(rate: Rate) -> tuple[str, int | None, float]:
    return rate.method, rate.groups, rate.level


def _apart(stated: Any, made: Any, path: str, skipped: set[str]) -> Iterator[str]:
    """Where two records differ, a line a place."""
    if isinstance(stated, Rate) and isinstance(made, Rate):
        near = DRAWN if made.method == "cluster bootstrap" else ATOL
        ends = all(abs(getattr(stated, e) - getattr(made, e)) <= near for e in ("low", "high"))
        if (stated.k, stated.n) != (made.k, made.n) or _span(stated) != _span(made) or not ends:
            yield _line(path, stated, made)
    elif dataclasses.is_dataclass(stated) and type(stated) is type(made):
        for field in dataclasses.fields(stated):
            if field.name not in skipped:
                yield from _apart(
                    getattr(stated, field.name), getattr(made, field.name), f"{path}.{field.name}", skipped
                )
    elif isinstance(stated, tuple) and isinstance(made, tuple) and len(stated) == len(made):
        for i, (a, b) in enumerate(zip(stated, made, strict=True)):
            yield from _apart(a, b, f"{path}[{_place(a, i)}]", skipped)
    elif isinstance(stated, Mapping) and isinstance(made, Mapping) and set(stated) == set(made):
        for key in stated:
            yield from _apart(stated[key], made[key], f"{path}.{key}", skipped)
    elif not _same(stated, made):
        yield _line(path, stated, made)


def _place(record: Any, i: int) -> str:
    """What a reader finds a member of a list by."""
    if isinstance(record, ThreatFacts):
        return record.literal
    name, threat = getattr(record, "name", ""), getattr(record, "threat", "")
    return " ".join(part for part in (str(name), str(threat)) if part) or str(i)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=ATOL, abs_tol=ATOL)
    return bool(a == b)


def _line(path: str, stated: Any, made: Any) -> str:
    return f"summary.json says {path} is {_told(stated)}, the parts say {_told(made)}"


def _told(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Rate):
        return f"{value.k} of {value.n} [{value.low:.4f}, {value.high:.4f}] ({value.method})"
    if isinstance(value, tuple | dict):
        return f"{len(value)} entries"
    text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"
