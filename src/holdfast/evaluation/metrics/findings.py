"""At most five findings, worst first: what, how many, what to do next. A rule fires on numbers, never on taste."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from holdfast.core.records import digest
from holdfast.evaluation.metrics.gradients import useless
from holdfast.evaluation.statistics import Rate, interval, rate
from holdfast.evaluation.summary import Finding, ModelFacts, ThreatFacts, Transfer
from holdfast.evaluation.verdict import percent

MOST, SHOWN = 5, 8


def findings(
    model: ModelFacts,
    lineage: str,
    threats: Sequence[ThreatFacts],
    transfers: Sequence[Transfer],
    broken: Mapping[str, Sequence[tuple[int, float, int]]],
) -> tuple[Finding, ...]:
    """The findings of a run.

    Args:
        model: The model.
        lineage: What stays the same when the model is trained again; goes into the ids.
        threats: The results.
        transfers: On other models.
        broken: Threat literal -> `(sample, size of its change, label)` of the broken samples.
    """
    found: list[tuple[float, Finding]] = []
    for threat in threats:
        for rule in RULES:
            for weight, slice_, title, text, number, next_ in rule(threat):
                shown = sorted(broken.get(threat.literal, ()), key=lambda b: (b[1], b[0]))
                chosen = [b[0] for b in shown if not slice_ or str(b[2]) == slice_.split("->")[0]][:SHOWN]
                found.append(
                    (
                        weight,
                        Finding(
                            id=digest([rule.__name__, lineage, threat.literal, slice_])[:16],
                            title=title,
                            text=text,
                            rate=number,
                            threat=threat.literal,
                            samples=tuple(chosen),
                            next=next_,
                        ),
                    )
                )
    for t in transfers:
        if t.rate is not None and t.rate.low > 0.1:
            text = f"{t.rate.k} of {t.rate.n} adversarial inputs ({percent(t.rate.point)} %) also fool {t.model}, which they were not made for."
            found.append(
                (
                    0.3 + 0.3 * t.rate.point,
                    Finding(
                        id=digest(["transfer", lineage, t.threat, t.model])[:16],
                        title="Attacks carry over",
                        text=text,
                        rate=t.rate,
                        threat=t.threat,
                        samples=(),
                        next="keeping this model private does not protect it; harden it",
                    ),
                )
            )
    return tuple(f for _, f in sorted(found, key=lambda pair: (-pair[0], pair[1].id))[:MOST])


Row = tuple[float, str, str, str, Rate | None, str]


def _many_break(t: ThreatFacts) -> Iterator[Row]:
    """More than a tenth of the right samples break, with certainty."""
    s = t.success_rate
    if s is not None and s.low > 0.1:
        cost = next((a for a in t.attacks if a.broken), None)
        price = (
            f" A broken sample took {cost.name} {cost.queries_median:.0f} queries (median)."
            if cost and cost.queries_median is not None
            else ""
        )
        yield (
            1 + s.point,
            "",
            "Right answers break",
            f"{s.k} of {s.n} samples that the model gets right ({percent(s.point)} %) break when {t.words}.{price}",
            s,
            "train against the attack: PGD adversarial training, then audit again",
        )


def _noise_breaks(t: ThreatFacts) -> Iterator[Row]:
    """Plain noise is enough."""
    c = t.control
    if c is not None and c.low > 0.02:
        yield (
            0.95 + c.point,
            "",
            "Plain noise is enough",
            f"{c.k} of {c.n} right samples ({percent(c.point)} %) change their class under "
            "random noise of this size: no attacker is needed.",
            c,
            "train with noise augmentation; check the radius against the data",
        )


def _useless_gradients(t: ThreatFacts) -> Iterator[Row]:
    """Gradients hide the truth."""
    k, n = useless(t.attacks)
    if n and k / n > 0.1:
        yield (
            1.5 + k / n,
            "",
            "Gradients are hidden",
            f"{k} of {n} gradients were exactly zero or not finite. Attacks that climb them are "
            "blind here, so the model may only look robust.",
            rate(k, n, "gradients asked"),
            "attack without gradients: --suite square, or knowledge=scores",
        )


def _weak_class(t: ThreatFacts) -> Iterator[Row]:
    """One class stands clearly worse than the whole; the level is corrected for the number of classes looked at."""
    whole = t.empirical_robust_accuracy
    if whole is None or len(t.per_class) < 2:
        return
    level = 1 - 0.05 / len(t.per_class)
    worst = min(t.per_class, key=lambda c: (c.robust.point, c.label))
    if interval(worst.robust.k, worst.robust.n, level)[1] < whole.low:
        yield (
            0.8 + whole.point - worst.robust.point,
            str(worst.label),
            f"Class {worst.name} is the weakest",
            f"Of its {worst.robust.n} samples {worst.robust.k} are not broken ({percent(worst.robust.point)} %, all classes "
            f"{percent(whole.point)} %; interval corrected for {len(t.per_class)} classes).",
            worst.robust,
            f"look at the samples with label {worst.label}; more or more varied training data for it",
        )


def _small_change(t: ThreatFacts) -> Iterator[Row]:
    """At half the radius at least half of what breaks is broken already."""
    if t.success_rate is None or t.empirical_robust_accuracy is None or t.success_rate.k < 10 or not t.curve:
        return
    half = [p for p in t.curve if 0 < p.radius <= t.curve[-1].radius / 2]
    if not half:
        return
    n, base = t.empirical_robust_accuracy.n, t.curve[0].rate.k
    gone = base - half[-1].rate.k
    if gone >= t.success_rate.k / 2:
        yield (
            0.7 + gone / n,
            "",
            "A smaller change is enough",
            f"{gone} of the {t.success_rate.k} broken samples break already at radius "
            f"{half[-1].radius:.4g}, at most half of the radius tested.",
            rate(gone, t.success_rate.k, "broken samples"),
            "audit again at smaller radii to see where the model begins to stand",
        )


def _one_way(t: ThreatFacts) -> Iterator[Row]:
    """Most broken samples of a class become one and the same other class."""
    total = sum(c.count for c in t.confusions)
    if t.confusions and total >= 10 and t.confusions[0].count >= total / 2 and len(t.per_class) > 2:
        top = t.confusions[0]
        yield (
            0.5 + top.count / total / 2,
            f"{top.source}->{top.into}",
            f"{top.source} becomes {top.into}",
            f"{top.count} of {total} broken samples are {top.source} taken for {top.into}.",
            rate(top.count, total, "broken samples"),
            "ask what this confusion costs in your application",
        )


RULES: tuple[Callable[[ThreatFacts], Iterator[Row]], ...] = (
    _many_break,
    _noise_breaks,
    _useless_gradients,
    _weak_class,
    _small_change,
    _one_way,
)
