"""At most five findings, worst first: what, how many, what to do next. A rule fires on numbers, never on taste."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from holdfast.core.records import digest
from holdfast.evaluation.metrics.gradients import useless
from holdfast.evaluation.statistics import Rate, interval, rate
from holdfast.evaluation.summary import Finding, ThreatFacts, Transfer
from holdfast.evaluation.verdict import percent
from holdfast.threats.tables.threat import Table
from holdfast.threats.written import number

MOST, SHOWN = 5, 8
TRAIN = "train against the attack: PGD adversarial training, then audit again"
COLUMNS = (
    "see in the report which columns changed; make immutable in the schema what no attacker can touch (--profile says "
    "it for known tables), and fit without the columns that are easily changed, or with more that are not"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hint:
    """What a rule found.

    Args:
        weight: How bad it is; findings are sorted by it.
        slice: The label, or `label->label`, that it is about; empty for all samples.
        title: A few words.
        text: The numbers in a sentence.
        rate: The number behind it.
        next: What to do.
    """

    weight: float
    slice: str = ""
    title: str
    text: str
    rate: Rate
    next: str


@dataclasses.dataclass(frozen=True)
class Hit:
    """A broken sample: its number, the size of its change, its label and what it became."""

    sample: int
    size: float
    label: int
    into: int | None


def findings(
    lineage: str, threats: Sequence[ThreatFacts], moved: Sequence[Transfer], hits: Mapping[str, Sequence[Hit]]
) -> tuple[Finding, ...]:
    """The findings of a run.

    Args:
        lineage: What stays the same when the model is trained again; goes into the ids.
        threats: The results.
        moved: Transfer to other models.
        hits: Threat literal -> broken samples.
    """
    found: list[tuple[float, Finding]] = []
    for threat in threats:
        for rule in RULES:
            for hint in rule(threat):
                samples = _examples(hits.get(threat.literal, ()), hint.slice)
                found.append((hint.weight, _finding(hint, rule.__name__.strip("_"), lineage, threat.literal, samples)))
    for transfer in moved:
        for hint in _carries_over(transfer):
            found.append((hint.weight, _finding(hint, f"transfer {transfer.model}", lineage, transfer.threat, ())))
    return tuple(f for _, f in sorted(found, key=lambda pair: (-pair[0], pair[1].id))[:MOST])


def _finding(hint: Hint, rule: str, lineage: str, threat: str, samples: tuple[int, ...]) -> Finding:
    return Finding(
        id=digest([rule, lineage, threat, hint.slice])[:16],
        title=hint.title,
        text=hint.text,
        rate=hint.rate,
        threat=threat,
        samples=samples,
        next=hint.next,
    )


def _examples(hits: Sequence[Hit], part: str) -> tuple[int, ...]:
    """The samples of a slice with the smallest changes."""
    inside = [h for h in hits if part in ("", str(h.label), f"{h.label}->{h.into}")]
    return tuple(h.sample for h in sorted(inside, key=lambda h: (h.size, h.sample))[:SHOWN])


def _many_break(t: ThreatFacts) -> Iterator[Hint]:
    """More than a tenth of the right samples break, with certainty."""
    s = t.success_rate
    if s is None or s.low <= 0.1:
        return
    searches = [a for a in t.attacks if a.name != "replay"]  # whose one query says nothing about the cost of a search
    cost = next((a for a in searches if a.queries_median is not None), None)
    price = f" A broken sample took {cost.name} {cost.queries_median:.0f} queries (median)." if cost else ""
    yield Hint(
        weight=1 + s.point,
        title="Right answers break",
        rate=s,
        text=f"{s.k} of {s.n} samples that the model gets right ({percent(s.point)} %) break when {t.words}.{price}",
        next=COLUMNS if _of_rows(t) else TRAIN,
    )


def _of_rows(t: ThreatFacts) -> bool:
    """Whether the threat is about rows of a table."""
    return t.literal.startswith(f"{Table.norm}:")


def _noise_breaks(t: ThreatFacts) -> Iterator[Hint]:
    """Plain noise is enough."""
    c = t.control
    if c is None or c.low <= 0.02:
        return
    yield Hint(
        weight=0.95 + c.point,
        title="Plain noise is enough",
        rate=c,
        text=f"{c.k} of {c.n} right samples ({percent(c.point)} %) change their class under random noise of this size: "
        "no attacker is needed.",
        next=COLUMNS if _of_rows(t) else "train with noise augmentation; check the radius against the data",
    )


def _useless_gradients(t: ThreatFacts) -> Iterator[Hint]:
    """Gradients hide the truth."""
    k, n = useless(t.attacks)
    if not n or k <= 0.1 * n:
        return
    yield Hint(
        weight=1.5 + k / n,
        title="Gradients are hidden",
        rate=rate(k, n, "gradients asked"),
        text=f"{k} of {n} gradients were exactly zero or not finite. Attacks that climb them are blind here, so the "
        "model may only look robust.",
        next="attack without gradients: knowledge=scores",
    )


def _defense_known(t: ThreatFacts) -> Iterator[Hint]:
    """Inputs made on the model without its defense, against attacks on the model with it."""
    blind, aware = t.oblivious, t.defense_aware
    if blind is None or aware is None:
        return
    yield Hint(
        weight=1.2 + aware.point,
        title="What knowing the defense adds",
        rate=aware,
        text=f"{blind.k} of {blind.n} samples that the defended model gets right break by inputs made without knowing "
        f"the defense (oblivious), {aware.k} more by attacks that know it (defense-aware).",
        next="judge the defense by the attacks that know it",
    )


def _weak_class(t: ThreatFacts) -> Iterator[Hint]:
    """One class stands clearly worse than the whole; the level is corrected for the number of classes looked at."""
    whole = t.empirical_robust_accuracy
    if whole is None or len(t.per_class) < 2:
        return
    worst = min(t.per_class, key=lambda c: (c.robust.point, c.label))
    if interval(worst.robust.k, worst.robust.n, 1 - 0.05 / len(t.per_class))[1] >= whole.low:
        return
    yield Hint(
        weight=0.8 + whole.point - worst.robust.point,
        slice=str(worst.label),
        title=f"Class {worst.name} is the weakest",
        rate=worst.robust,
        text=f"Of its {worst.robust.n} samples {worst.robust.k} are not broken ({percent(worst.robust.point)} %, all "
        f"classes {percent(whole.point)} %; corrected for looking at {len(t.per_class)} classes).",
        next=f"look at the samples with label {worst.label}; more or more varied training data for it",
    )


def _small_change(t: ThreatFacts) -> Iterator[Hint]:
    """At half the radius at least half of what breaks is broken already."""
    half = [p for p in t.curve if 0 < p.radius <= t.curve[-1].radius / 2]
    if t.success_rate is None or t.success_rate.k < 10 or not half or (_of_rows(t) and t.curve[-1].radius <= 2):
        return
    gone, all_ = t.curve[0].rate.k - half[-1].rate.k, t.success_rate.k
    if 2 * gone < all_:
        return
    yield Hint(
        weight=0.7 + gone / all_ / 4,
        title="A smaller change is enough",
        rate=rate(gone, all_, "broken samples"),
        text=f"{gone} of the {all_} broken samples break already at radius {number(half[-1].radius)}, at most half "
        "of the radius tested.",
        next="audit again at smaller radii to see where the model begins to stand",
    )


def _one_direction(t: ThreatFacts) -> Iterator[Hint]:
    """Rows of a table of two classes break both ways; hardly anybody gains by both."""
    ways = {c.source: c.count for c in t.confusions}
    if not _of_rows(t) or len(t.per_class) != 2 or len(ways) < 2 or sum(ways.values()) < 10:
        return
    name = {c.label: c.name for c in t.per_class}
    told = " and ".join(
        f"{c.count} {name.get(c.source, c.source)} for {name.get(c.into, c.into)}" for c in t.confusions
    )
    top = t.confusions[0]
    yield Hint(
        weight=0.4,
        title="Rows break both ways",
        rate=rate(top.count, sum(ways.values()), "broken samples"),
        text=f"Attackers had {told}. Whoever gains by one direction alone asks for less and finds more.",
        next=f"--evade {name.get(top.source, top.source)}:{name.get(top.into, top.into)}, or the other way round, "
        "audits one direction alone",
    )


def _one_way(t: ThreatFacts) -> Iterator[Hint]:
    """Most broken samples become one and the same other class."""
    total = sum(c.count for c in t.confusions)
    if total < 10 or len(t.per_class) < 3 or 2 * t.confusions[0].count < total:
        return
    top = t.confusions[0]
    names = {c.label: c.name for c in t.per_class}
    before, after = names.get(top.source, str(top.source)), names.get(top.into, str(top.into))
    yield Hint(
        weight=0.5 + top.count / total / 2,
        slice=f"{top.source}->{top.into}",
        title=f"{before} becomes {after}",
        rate=rate(top.count, total, "broken samples"),
        text=f"{top.count} of {total} broken samples are {before} taken for {after}.",
        next="ask what this confusion costs in your application",
    )


def _carries_over(t: Transfer) -> Iterator[Hint]:
    """Inputs made for this model fool another one."""
    if t.rate is None or t.rate.low <= 0.1:
        return
    yield Hint(
        weight=0.3 + 0.3 * t.rate.point,
        title="Attacks carry over",
        rate=t.rate,
        text=f"{t.rate.k} of {t.rate.n} adversarial inputs ({percent(t.rate.point)} %) also fool {t.model}.",
        next="keeping this model private does not protect it; harden it",
    )


RULES: tuple[Callable[[ThreatFacts], Iterator[Hint]], ...] = (
    _many_break,
    _noise_breaks,
    _useless_gradients,
    _defense_known,
    _weak_class,
    _small_change,
    _one_direction,
    _one_way,
)
