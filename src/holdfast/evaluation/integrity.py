"""Whether the files of a run folder are what was committed, and say the same; no model and no tensors are needed."""

import dataclasses
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.core.errors import IntegrityError
from holdfast.evaluation import clusters, sequential
from holdfast.evaluation.before import PLACE
from holdfast.evaluation.rows import HELD
from holdfast.evaluation.statistics import Rate, rate
from holdfast.evaluation.store import Folder, encoded
from holdfast.evaluation.summary import ThreatFacts

ATOL = 1e-6  # of the ends of an interval: another scipy may end in other digits


def refuse_damaged(folder: Folder) -> None:
    """Refuse a run whose files were changed.

    Raises:
        IntegrityError: HF411, with the first thing that does not hold; HF405, HF408 no manifest or summary.
    """
    found = (*folder.parts.damage(), *contradictions(folder))
    if found:
        more = f", and {len(found) - 1} more" if found[1:] else ""
        raise IntegrityError(
            "HF411",
            f"The run in '{folder.path}' was changed after it was committed",
            seen=found[0] + more,
            fix="run the same audit again; holdfast recheck RUN tells all",
        )


def contradictions(folder: Folder) -> tuple[str, ...]:
    """Where manifest, `samples.parquet` and `summary.json` do not say the same, a line each.

    Raises:
        IntegrityError: HF405 no manifest, HF408 no summary.
    """
    samples, summary, told = folder.manifest.samples, folder.summary, list[str]()
    rows, unreadable = table(folder)
    if unreadable:
        return (unreadable,)
    if _touched(folder):
        told.append("samples.parquet was changed: its bytes are not those that its rows give")
    numbers = set(samples.ids)
    strange = {row["sample"] for row in rows if row["sample"] not in numbers}
    told += [f"samples.parquet has sample {number}, which the manifest does not know" for number in sorted(strange)]
    by_threat: dict[str, list[dict[str, Any]]] = {t.literal: [] for t in summary.threats}
    for row in rows:
        by_threat.setdefault(row["threat"], []).append(row)
    for literal, members in by_threat.items():
        if len(members) != summary.data.n:
            told.append(
                f"samples.parquet has {len(members)} rows under {literal}, summary.json {summary.data.n} samples"
            )
    for threat in summary.threats:
        told += _counted(threat, [row["status"] for row in by_threat[threat.literal]])
    lengths = {len(members) for members in by_threat.values()}
    if lengths == {summary.data.n}:
        worst = [
            all(row["status"] in HELD for row in both)
            for both in zip(*by_threat.values(), strict=True)
            if all(row["status"] != "invalid" for row in both)
        ]
        told += differing("not broken", summary.rates.empirical_robust_accuracy, sum(worst), len(worst))
    allowed = {"clopper-pearson"} | ({"cluster bootstrap"} if clusters.grouped(samples.source) else set())
    allowed |= {"confidence sequence"} if summary.decision is not None else set()
    return (*told, *_intervals(summary, allowed), *_hardest(folder))


def _hardest(folder: Folder) -> list[str]:
    """What does not hold of the hardest samples of a baseline, where their own run lies inside the folder.

    A run of all samples counts them among the others: what lies inside is then of an earlier call with fewer.
    """
    stated, inside = folder.summary.hardest, folder.path / PLACE
    if stated is None or not folder.summary.data.limited or not (inside / "summary.json").is_file():
        return []
    run = Folder(inside)
    rows, _ = table(run)
    broken = {row["sample"] for row in rows if row["status"] == "broken"}
    wrong = {row["sample"] for row in rows if row["status"] == "wrong"} - broken
    told = [f"{PLACE}: {line}" for line in (*run.parts.damage(), *contradictions(run))]
    if (len(broken), len(wrong)) != (stated.broken, stated.wrong):
        says = f"{stated.broken} broken and {stated.wrong} wrong of the hardest samples"
        told.append(f"summary.json says {says}, the run in {PLACE} {len(broken)} and {len(wrong)}")
    return told


def table(folder: Folder) -> tuple[list[dict[str, Any]], str]:
    """The rows of `samples.parquet`, and why it cannot be read, empty where it can."""
    try:
        rows: list[dict[str, Any]] = folder.samples.to_pylist()
        missing = {"sample", "threat", "status"} - set(folder.samples.column_names)
    except (pa.ArrowException, OSError, ValueError) as error:
        return [], f"samples.parquet cannot be read ({type(error).__name__})"
    return rows, f"samples.parquet has no column {min(missing)}" if missing else ""


def _touched(folder: Folder) -> bool:
    """Whether a byte of the table was changed, where the pyarrow that wrote it is the one that is here."""
    content = (folder.path / "samples.parquet").read_bytes()
    again = encoded(folder.samples)
    makers = [pq.read_metadata(io.BytesIO(file)).created_by for file in (content, again)]
    return makers[0] == makers[1] and content != again


def differing(what: str, stated: Rate | None, k: int, n: int) -> list[str]:
    """A line where the summary's rate is not k of n; none where it states none."""
    if stated is None or (stated.k, stated.n) == (k, n):
        return []
    return [f"summary.json says {stated.k} of {stated.n} samples {what}, the samples say {k} of {n}"]


def _counted(threat: ThreatFacts, statuses: Sequence[str]) -> list[str]:
    """The counts of a threat in the summary that are not those of the table."""
    counts = Counter(statuses)
    told = [
        f"summary.json says {stated} {status} under {threat.literal}, samples.parquet {counts[status]}"
        for status, stated in sorted({**dict.fromkeys(counts, 0), **threat.statuses}.items())
        if stated != counts[status] and threat.statuses
    ]
    judged = [status for status in statuses if status != "invalid"]
    held = sum(status in HELD for status in judged)
    return told + differing(f"not broken under {threat.literal}", threat.empirical_robust_accuracy, held, len(judged))


def _intervals(record: Any, allowed: Set[str]) -> list[str]:
    """Rates anywhere in a record whose interval is not that of their counts, or of a kind that the run has not."""
    rates = list(_rates(record))
    return [
        f"summary.json gives {found} an interval that is not that of its counts"
        for found in rates
        if not _follows(found)
    ] + [
        f"summary.json gives {found} the interval of a {found.method}, for which the run has no reason"
        for found in rates
        if found.method not in allowed
    ]


def _rates(record: Any) -> Iterator[Rate]:
    if isinstance(record, Rate):
        yield record
    elif dataclasses.is_dataclass(record):
        for field in dataclasses.fields(record):
            yield from _rates(getattr(record, field.name))
    elif isinstance(record, tuple):
        for member in record:
            yield from _rates(member)


def _follows(found: Rate) -> bool:
    """Whether the interval is that of the counts; one over groups is drawn at random, and drawn again by `recheck`."""
    if found.method == "clopper-pearson":
        exact = rate(found.k, found.n, found.denominator, found.level)
        low, high = exact.low, exact.high
    elif found.method == "confidence sequence":
        low, high = sequential.confidence(found.k, found.n, found.level)
    else:
        return True
    return math.isclose(low, found.low, abs_tol=ATOL) and math.isclose(high, found.high, abs_tol=ATOL)
