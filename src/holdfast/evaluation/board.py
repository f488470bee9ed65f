"""A leaderboard over run folders, with bands instead of ranks: no number on it is typed, each comes from a run.

Models stand in one table where they were asked the same question: the same samples, threats and attacks. The band of a
model is the ranks it may have: `2-4` where one model is significantly better and all but four are significantly worse.
Every pair is compared by the exact McNemar test on the samples (sign flips of whole groups, where they come in some),
corrected (Holm) for the number of pairs of the table.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal

from holdfast.core.errors import HoldfastError, UsageError, some
from holdfast.evaluation.clusters import grouped, sign_flip
from holdfast.evaluation.comparable import Seen, question, read, refuse_partial
from holdfast.evaluation.paired import holm, mcnemar
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Summary

ALPHA = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A model, as one run found it.

    Args:
        run: The run folder.
        best, worst: The band: the ranks that the model may have.
        clean, robust: The two rates; `robust` is the worst case over the threats.
        threats: Literal -> rate under that threat.
        state: Of the run's verdict: `measured` or `doubtful`.
        total: Samples of the data, of which `robust.n` were used.
        seconds, queries: What the attacks cost.
        finished: When.
        command: What repeats it.
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
    """All tables, the one with most models first."""

    schema: Literal["urn:holdfast:board:1"] = "urn:holdfast:board:1"
    rankings: tuple[Ranking, ...]
    left_out: tuple[LeftOut, ...]


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


def board(folders: Sequence[Folder]) -> Board:
    """The leaderboard of these runs; what cannot stand in a table is listed with the reason."""
    asked: dict[str, list[tuple[Folder, Seen]]] = {}
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
            asked.setdefault(question(folder, seen), []).append((folder, seen))
        except HoldfastError as error:
            left.append(LeftOut(run=str(folder.path), why=error.line()))
    rankings = [_ranking(members) for members in asked.values()]
    return Board(rankings=tuple(sorted(rankings, key=lambda r: -len(r.rows))), left_out=tuple(left))


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


def _ranking(members: Sequence[tuple[Folder, Seen]]) -> Ranking:
    held = [{key: all(under[key] for under in seen.held.values()) for key in seen.ids} for _, seen in members]
    rows = [_row(folder, band) for (folder, _), band in zip(members, bands(held, members[0][1].groups), strict=True)]
    first, n = members[0][0].summary, len(members)
    return Ranking(
        data=first.data.name,
        threats=tuple(sorted(t.literal for t in first.threats)),
        suite=first.suite,
        samples=len(members[0][1].ids),
        tests=n * (n - 1) // 2,
        rows=tuple(sorted(rows, key=lambda r: (r.best, r.worst, -r.robust.point, -r.clean.point, r.run))),
    )


def _row(folder: Folder, band: tuple[int, int]) -> Row:
    s: Summary = folder.summary
    clean, robust = s.rates.clean_accuracy, s.rates.empirical_robust_accuracy
    if clean is None or robust is None:
        raise UsageError("HF825", "There is no sample to rank a model by", seen=str(folder.path))
    return Row(
        run=str(folder.path),
        model=s.model.name,
        fingerprint=s.model.fingerprint,
        best=band[0],
        worst=band[1],
        clean=clean,
        robust=robust,
        threats={t.literal: t.empirical_robust_accuracy for t in s.threats if t.empirical_robust_accuracy is not None},
        state=s.verdict.state,
        total=s.data.total,
        seconds=s.cost.seconds,
        queries=s.cost.queries,
        finished=s.provenance.finished,
        command=s.provenance.command,
    )
