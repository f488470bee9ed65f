"""A leaderboard over run folders, with bands instead of ranks: no number on it is typed, each comes from a run.

Models stand in one table where they were asked the same question: the same samples, threats and attacks. There are
tables over all threats of a run together, and tables under each threat alone, where runs meet that differ in others.
The band of a model is the ranks it may have: `2-4` where one model is significantly better and all but four are
significantly worse. Every pair is compared by the exact McNemar test on the samples (sign flips of whole groups, where
they come in some), corrected (Holm) for the number of pairs of the table.

A model has one row in a table, its newest run; older ones are history. What is best known about it is the worst case
over all its runs on those samples, whatever their attacks: each is an upper bound. What a card claims is a number of
somebody else, and stands beside what was measured.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal

from holdfast.core.errors import HoldfastError, UsageError, some
from holdfast.evaluation.claims import Claim, Verified, verified
from holdfast.evaluation.clusters import grouped, share, sign_flip
from holdfast.evaluation.comparable import Seen, question, read, refuse_partial
from holdfast.evaluation.paired import holm, mcnemar
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Summary
from holdfast.models.cuts import decisions

ALPHA = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Past:
    """A run that a newer one of the same model and the same question has replaced."""

    run: str
    clean: Rate
    robust: Rate
    seed: int
    finished: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """What several runs of one model on the same samples leave together: a sample counts that all of them hold.

    Args:
        rate: The share of those samples, an upper bound like each run's own.
        runs: How many runs.
        suite, finished: Of the run that holds fewest samples, the one that did most for it.
    """

    rate: Rate
    runs: int
    suite: str
    finished: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A model, as one run found it.

    Args:
        run: The run folder.
        best, worst: The band: the ranks that the model may have.
        clean, robust: The two rates; `robust` is the worst case over the threats of the table.
        threats: Literal -> rate under that threat.
        state: Of the run's verdict: `measured` or `doubtful`.
        total: Samples of the data, of which `robust.n` were used.
        seconds, queries: What the attacks of the whole run cost.
        finished: When.
        command: What repeats it.
        decided: Which class is decided at which threshold, as a sentence; empty where the highest score decides.
        license: Of the data.
        known: Best known over several runs of the model; None where this is the only one.
        claimed_clean, claimed: What a card claims, beside `clean` and `robust`; None where none does.
        history: Runs that this one has replaced, newest first.
    """

    run: str
    model: str
    fingerprint: str
    best: int
    worst: int
    clean: Rate
    robust: Rate
    threats: dict[str, Rate]
    state: str
    total: int
    seconds: float
    queries: int
    finished: str
    command: str
    decided: str = ""
    license: str = ""
    known: Known | None = None
    claimed_clean: Verified | None = None
    claimed: Verified | None = None
    history: tuple[Past, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """Models that were asked the same question, best first; `tests` is the number of pairs that were compared."""

    data: str
    threats: tuple[str, ...]
    suite: str
    samples: int
    tests: int
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A run that stands in no table, and why."""

    run: str
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Board:
    """All tables, the one with most models first.

    Args:
        rankings: Over all threats of the runs together.
        under: Under each threat alone.
        left_out: Runs that stand in no table.
    """

    schema: Literal["urn:holdfast:board:1"] = "urn:holdfast:board:1"
    rankings: tuple[Ranking, ...]
    left_out: tuple[LeftOut, ...]
    under: tuple[Ranking, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class _Entry:
    """A run that can stand in a table, and what it says about each sample."""

    folder: Folder
    seen: Seen

    def held(self, threats: Sequence[str]) -> dict[str, bool]:
        """Sample -> whether none of the threats breaks it."""
        return {key: all(self.seen.held[t][key] for t in threats) for key in self.seen.ids}


def runs_in(places: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The places that are run folders, and the run folders right inside the others.

    Raises:
        UsageError: HF825 where there is none.
    """
    found = []
    for place in places:
        inside = sorted(path.parent for path in place.glob("*/manifest.json"))
        found += [place] if (place / "manifest.json").is_file() else inside
    if not found:
        raise UsageError("HF825", "There is no run for a board", seen=some(places), fix="holdfast ls FOLDER")
    return list(dict.fromkeys(found))


def board(folders: Sequence[Folder], claims: tuple[Claim, ...] = ()) -> Board:
    """The leaderboard of these runs; what cannot stand in a table is listed with the reason.

    Args:
        folders: The runs.
        claims: What model cards say of the models, matched by name.
    """
    entries: list[_Entry] = []
    left: list[LeftOut] = []
    for folder in folders:
        try:
            refuse_partial(folder)
            if folder.summary.data.chosen:
                left.append(LeftOut(run=str(folder.path), why=f"its samples are {folder.summary.data.chosen}"))
                continue
            seen = read(folder)
            if not seen.ids or folder.summary.rates.clean_accuracy is None:
                left.append(LeftOut(run=str(folder.path), why="no sample could be judged"))
                continue
            entries.append(_Entry(folder, seen))
        except HoldfastError as error:
            left.append(LeftOut(run=str(folder.path), why=error.line()))
    whole = _tables([(entry, tuple(sorted(entry.seen.held))) for entry in entries], entries, claims)
    single = _tables([(entry, (literal,)) for entry in entries for literal in entry.seen.held], entries, claims)
    return Board(rankings=whole, left_out=tuple(left), under=single)


def _tables(
    asked: Sequence[tuple[_Entry, tuple[str, ...]]], entries: Sequence[_Entry], claims: tuple[Claim, ...]
) -> tuple[Ranking, ...]:
    """A ranking for each question: runs with the threats that count, most models and then most runs first."""
    tables: dict[tuple[tuple[str, ...], str], list[_Entry]] = {}
    for entry, threats in asked:
        tables.setdefault((threats, question(entry.folder, entry.seen, threats)), []).append(entry)
    found = [_ranking(members, threats, entries, claims) for (threats, _), members in tables.items()]
    return tuple(sorted(found, key=lambda r: (-len(r.rows), -sum(len(row.history) for row in r.rows))))


def bands(
    held: Sequence[Mapping[str, bool]], groups: Mapping[str, int] | None = None, alpha: float = ALPHA
) -> list[tuple[int, int]]:
    """Best and worst possible rank of each model.

    Args:
        held: For each model, sample -> whether it held; the same samples for all.
        groups: Sample -> its group, negative or missing for none.
        alpha: Chance that any of the claimed differences is none.
    """
    better, worse = [0] * len(held), [0] * len(held)
    for (i, j), p in pairwise(held, groups).items():
        if p <= alpha + 1e-12:
            up, down = (i, j) if sum(held[i].values()) > sum(held[j].values()) else (j, i)
            better[down] += 1
            worse[up] += 1
    return [(1 + b, len(held) - w) for b, w in zip(better, worse, strict=True)]


def pairwise(
    held: Sequence[Mapping[str, bool]], groups: Mapping[str, int] | None = None
) -> dict[tuple[int, int], float]:
    """The p-value of each pair of models, i < j, corrected (Holm) for all pairs; arguments as in `bands`."""
    pairs = [(i, j) for i in range(len(held)) for j in range(i + 1, len(held))]
    source = [(groups or {}).get(key, -1) for key in held[0]] if held else []
    changes = [[int(held[i][key]) - int(held[j][key]) for key in held[0]] for i, j in pairs]
    values = [sign_flip(c, source) if grouped(source) else mcnemar(c.count(1), c.count(-1)) for c in changes]
    return dict(zip(pairs, holm(values), strict=True))


def _ranking(
    members: Sequence[_Entry], threats: tuple[str, ...], entries: Sequence[_Entry], claims: tuple[Claim, ...]
) -> Ranking:
    of_model: dict[str, list[_Entry]] = {}
    for entry in sorted(members, key=lambda m: m.folder.summary.provenance.finished, reverse=True):
        of_model.setdefault(entry.folder.summary.model.fingerprint, []).append(entry)
    newest = [runs[0] for runs in of_model.values()]
    found = bands([entry.held(threats) for entry in newest], members[0].seen.groups)
    rows = []
    for entry, band in zip(newest, found, strict=True):
        row = _row(entry, band, threats)
        past = tuple(_past(old, threats) for old in of_model[row.fingerprint][1:])
        known = _known(entry, threats, entries)
        data, robust = entry.folder.summary.data.name, row.robust if known is None else known.rate
        rows.append(
            dataclasses.replace(
                row,
                history=past,
                known=known,
                claimed_clean=verified(claims, row.model, data, "", row.clean),
                claimed=verified(claims, row.model, data, threats[0], robust) if len(threats) == 1 else None,
            )
        )
    first, n = newest[0].folder.summary, len(rows)
    return Ranking(
        data=first.data.name,
        threats=threats,
        suite=first.suite,
        samples=len(newest[0].seen.ids),
        tests=n * (n - 1) // 2,
        rows=tuple(sorted(rows, key=lambda r: (r.best, r.worst, -r.robust.point, -r.clean.point, r.run))),
    )


def _row(entry: _Entry, band: tuple[int, int], threats: tuple[str, ...]) -> Row:
    s: Summary = entry.folder.summary
    clean, robust = s.rates.clean_accuracy, _robust(s, threats)
    return Row(
        run=str(entry.folder.path),
        model=s.model.name,
        fingerprint=s.model.fingerprint,
        best=band[0],
        worst=band[1],
        clean=_there(clean, entry),
        robust=_there(robust, entry),
        threats={
            t.literal: t.empirical_robust_accuracy
            for t in s.threats
            if t.empirical_robust_accuracy is not None and t.literal in threats
        },
        state=s.verdict.state,
        total=s.data.total,
        seconds=s.cost.seconds,
        queries=s.cost.queries,
        finished=s.provenance.finished,
        command=s.provenance.command,
        decided="".join(decisions(s.model.notes)[:1]),
        license=s.data.license,
    )


def _robust(summary: Summary, threats: tuple[str, ...]) -> Rate | None:
    """The rate over all threats of the run, or under the one."""
    if len(threats) == len(summary.threats):
        return summary.rates.empirical_robust_accuracy
    return next((t.empirical_robust_accuracy for t in summary.threats if t.literal in threats), None)


def _there(rate: Rate | None, entry: _Entry) -> Rate:
    if rate is None:
        raise UsageError("HF825", "There is no sample to rank a model by", seen=str(entry.folder.path))
    return rate


def _past(entry: _Entry, threats: tuple[str, ...]) -> Past:
    row = _row(entry, (0, 0), threats)
    seed = entry.folder.summary.provenance.seed
    return Past(run=row.run, clean=row.clean, robust=row.robust, seed=seed, finished=row.finished)


def _known(entry: _Entry, threats: tuple[str, ...], entries: Sequence[_Entry]) -> Known | None:
    """The worst case over all runs of the model on these samples under these threats, whatever their attacks."""
    mine = entry.folder.summary
    runs = [
        other
        for other in entries
        if other.folder.summary.model.fingerprint == mine.model.fingerprint
        and other.folder.summary.data.bounds == mine.data.bounds
        and other.folder.summary.result_version == mine.result_version
        and set(threats) <= set(other.seen.held)
        and set(other.seen.ids) == set(entry.seen.ids)
    ]
    if len(runs) < 2:
        return None
    held = [other.held(threats) for other in runs]
    together = {key: all(one[key] for one in held) for key in entry.seen.ids}
    lowest = min(range(len(runs)), key=lambda i: (sum(held[i].values()), runs[i].folder.summary.provenance.finished))
    source, words = [entry.seen.groups.get(key, -1) for key in together], "all samples that are not invalid"
    best = runs[lowest].folder.summary
    return Known(
        rate=share(list(together.values()), source, words, seed=mine.provenance.seed),
        runs=len(runs),
        suite=best.suite,
        finished=best.provenance.finished,
    )
