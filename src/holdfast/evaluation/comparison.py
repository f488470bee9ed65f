"""Two or more run folders over the same samples, threats and attacks, compared sample by sample; no model is needed."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Literal

from holdfast.core.errors import UsageError
from holdfast.evaluation.comparable import Seen, read, refuse, refuse_samples
from holdfast.evaluation.flips import Flip, flips
from holdfast.evaluation.paired import Paired, holm, over_groups
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Cost
from holdfast.models.cuts import differing

Metric = Literal["clean_accuracy", "empirical_robust_accuracy"]
CLEAN: Literal["clean_accuracy"] = "clean_accuracy"
ROBUST: Literal["empirical_robust_accuracy"] = "empirical_robust_accuracy"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One of the runs.

    Args:
        state: Of its verdict.
        cost: What the whole run spent.
        machine: Where.
        effort: Median queries that a broken sample took, over all its threats; None where nothing broke.
    """

    run: str
    model: str
    fingerprint: str
    data: str
    suite: str
    seed: int
    n: int
    state: str
    holdfast: str
    cost: Cost
    machine: str
    effort: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast:
    """One rate of both runs.

    Args:
        metric: `clean_accuracy` or `empirical_robust_accuracy`.
        threat: The threat's literal; empty for clean accuracy and for the worst case over all threats.
        counts: The paired comparison.
        lost, won: Numbers of the samples that only the first, only the second run holds.
    """

    metric: Metric
    threat: str
    counts: Paired
    lost: tuple[int, ...]
    won: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """The first run and another one.

    Args:
        other: Position of the other run in `Comparison.runs`.
        p: Of the headline contrast, corrected (Holm) for the number of runs that are compared with the first.
        contrasts: The headline first: empirical robust accuracy over all shared threats.
        notes: What to know before believing it.
        text: The comparison in one sentence.
        flips: The samples that only one of the two holds, up to 100 a side.
    """

    other: int
    p: float
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]
    text: str
    flips: tuple[Flip, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transferred:
    """Adversarial inputs of one run, shown to the model of another when they were made (`--transfer-to`).

    Args:
        source, target: Positions in `Comparison.runs` of the run that made them and of the one whose model saw them.
        threat: The threat's literal.
        rate: Over all samples of the source: those that the target gets wrong too, of those whose original it gets
            right; None for none.
    """

    source: int
    target: int
    threat: str
    rate: Rate | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first run against each of the others; `transferred`: what breaks one and was shown to another."""

    schema: Literal["urn:holdfast:comparison:1"] = "urn:holdfast:comparison:1"
    runs: tuple[Side, ...]
    threats: tuple[str, ...]
    samples: int
    pairs: tuple[Pair, ...]
    transferred: tuple[Transferred, ...] = ()

    def __str__(self) -> str:
        return "\n".join(pair.text for pair in self.pairs)


def compare(folders: Sequence[Folder], common: bool = False) -> Comparison:
    """Compare the first run with each of the others.

    Args:
        folders: At least two.
        common: Compare what all runs share where samples or threats differ, instead of refusing.

    Raises:
        UsageError: HF821 for fewer than two runs.
        IntegrityError: HF413 where two runs cannot be compared, HF414 where a run's files disagree.
    """
    if len(folders) < 2:
        raise UsageError("HF821", "A comparison needs two runs", seen=len(folders), fix="holdfast compare RUN RUN")
    for other in folders[1:]:
        refuse(folders[0], other, common)
    seen = [read(folder) for folder in folders]
    for answers in seen[1:]:
        refuse_samples(seen[0], answers, common)
    threats = [t for t in seen[0].held if all(t in s.held for s in seen)]
    keys = [key for key in seen[0].ids if all(key in s.ids for s in seen)]
    whole = all(len(s.held) == len(threats) and len(s.ids) == len(keys) for s in seen)
    found = [_contrasts(seen[0], other, keys, threats) for other in seen[1:]]
    corrected = holm([contrasts[0].counts.p for contrasts in found])
    pairs = []
    for place, (contrasts, p) in enumerate(zip(found, corrected, strict=True), 1):
        names = _names([folders[0], folders[place]])
        notes = _notes(folders[0], folders[place], whole, len(keys), threats, len(found))
        text = sentence(contrasts, p, names, len(found))
        changed = _flips(folders[0], folders[place], seen[0], contrasts[0], threats)
        pairs.append(Pair(other=place, p=p, contrasts=contrasts, notes=notes, text=text, flips=changed))
    return Comparison(
        runs=tuple(_side(folder) for folder in folders),
        threats=tuple(threats),
        samples=len(keys),
        pairs=tuple(pairs),
        transferred=_transferred(folders, threats),
    )


def sentence(contrasts: Sequence[Contrast], p: float, names: tuple[str, str], tests: int) -> str:
    """The headline of one comparison: what changed, on how many samples, how sure."""
    first, other = names
    main, clean = contrasts[0].counts, next((c.counts for c in contrasts if c.metric == CLEAN), None)
    test = "exact McNemar" if main.groups is None else f"exact sign flips over {main.groups} groups,"
    value = f"{test} p = {p:.2g}" + (f", corrected for {tests} comparisons" if tests > 1 else "")
    basis = f"(paired: {main.won} samples only {other}, {main.lost} only {first} of {main.n}; {value})"
    points = f"{100 * abs(main.difference):.1f} points"
    if p <= 1 - main.level + 1e-12:
        text = f"{other} withstands {points} {'more' if main.difference > 0 else 'less'} than {first} {basis}"
    else:
        text = f"No significant difference between {other} and {first}: {100 * main.difference:+.1f} points {basis}"
        if main.detectable is not None:
            text += (
                f"; with so many samples a drop of {100 * main.detectable:.1f} points is found "
                f"{100 * main.power:.0f} times of 100"
            )
    if clean is not None:
        text += f"; clean accuracy {100 * clean.difference:+.1f} points"
    return text + "."


def _contrasts(first: Seen, other: Seen, keys: Sequence[str], threats: Sequence[str]) -> tuple[Contrast, ...]:
    """The worst case over the threats, clean accuracy, then each threat where there are several."""
    source = [max(first.groups[key], other.groups[key]) for key in keys]  # a run may not know of the groups

    def contrast(metric: Metric, threat: str, a: Sequence[bool], b: Sequence[bool]) -> Contrast:
        lost = tuple(first.ids[k] for k, x, y in zip(keys, a, b, strict=True) if x and not y)
        won = tuple(first.ids[k] for k, x, y in zip(keys, a, b, strict=True) if y and not x)
        return Contrast(metric=metric, threat=threat, counts=over_groups(a, b, source), lost=lost, won=won)

    def under(seen: Seen, literals: Sequence[str]) -> list[bool]:
        return [all(seen.held[t][key] for t in literals) for key in keys]

    found = [
        contrast(ROBUST, threats[0] if len(threats) == 1 else "", under(first, threats), under(other, threats)),
        contrast(CLEAN, "", [first.clean[k] for k in keys], [other.clean[k] for k in keys]),
    ]
    for literal in threats if len(threats) > 1 else ():
        found.append(contrast(ROBUST, literal, under(first, [literal]), under(other, [literal])))
    return tuple(found)


def _flips(first: Folder, other: Folder, seen: Seen, headline: Contrast, threats: Sequence[str]) -> tuple[Flip, ...]:
    key_of = {number: key for key, number in seen.ids.items()}
    lost, won = ([key_of[number] for number in side] for side in (headline.lost, headline.won))
    return flips(first, other, lost, won, threats)


def _notes(first: Folder, other: Folder, whole: bool, n: int, threats: Sequence[str], tests: int) -> tuple[str, ...]:
    a, b, notes = first.summary, other.summary, list[str]()
    for folder in (first, other):
        if folder.summary.verdict.state != "measured":
            notes.append(f"The numbers of {folder.path} are {folder.summary.verdict.state}; see its report.")
        if folder.summary.data.chosen:
            chosen = f"The samples of {folder.path} are {folder.summary.data.chosen}"
            notes.append(f"{chosen}: an equally good model loses some of them by chance.")
        if folder.summary.decision is not None:
            notes.append(
                f"{folder.path} was asked with --decide, which stops when its samples answer: here their number counts "
                "as fixed before, so that p-values and intervals promise a little too much."
            )
    if a.model.fingerprint == b.model.fingerprint:
        notes.append("Both runs attacked the same model.")
    sides = zip(_names([first, other]), (a, b), strict=True)
    if told := differing([(name, summary.model.notes) for name, summary in sides]):
        notes.append(told)
    if not whole:
        notes.append(f"Compared on what the runs share: {n} samples under {', '.join(threats)}.")
    for name, x, y in (
        ("seeds", a.provenance.seed, b.provenance.seed),
        ("precision", a.provenance.precision, b.provenance.precision),
    ):
        if x != y:
            notes.append(f"The runs have different {name}: {x} and {y}.")
    if tests > 1:
        notes.append(
            f"The p-value of the sentence is corrected (Holm) for {tests} comparisons, those of the table are not."
        )
    return tuple(notes)


def _transferred(folders: Sequence[Folder], threats: Sequence[str]) -> tuple[Transferred, ...]:
    """What the runs say of each other's models, which they know by the fingerprint."""
    return tuple(
        Transferred(source=i, target=j, threat=told.threat, rate=told.rate)
        for i, one in enumerate(folders)
        for j, other in enumerate(folders)
        for told in one.summary.transfer
        if i != j and told.fingerprint == other.summary.model.fingerprint and told.threat in threats
    )


def _names(folders: Sequence[Folder]) -> tuple[str, str]:
    """What two runs are called: the folder's name, the whole path where that is the same."""
    short = [folder.path.resolve().name for folder in folders]
    return (short[0], short[1]) if short[0] != short[1] else (str(folders[0].path), str(folders[1].path))


def _side(folder: Folder) -> Side:
    s = folder.summary
    took = [r["queries"] for r in folder.samples.select(["status", "queries"]).to_pylist() if r["status"] == "broken"]
    return Side(
        run=str(folder.path),
        model=s.model.name,
        fingerprint=s.model.fingerprint,
        data=s.data.name,
        suite=s.suite,
        seed=s.provenance.seed,
        n=s.data.n,
        state=s.verdict.state,
        holdfast=s.holdfast,
        cost=s.cost,
        machine=f"{s.provenance.platform}, threads {s.provenance.threads}, {s.provenance.device}",
        effort=statistics.median(took) if took else None,
    )
