"""`holdfast show RUN [SAMPLE]`: the result of a run, its samples, or one of them, in the terminal."""

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli import result
from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import nearest
from holdfast.cli.options import Json, Limit, Quiet, Run
from holdfast.cli.terminal import clean, emit, say, table
from holdfast.core.errors import UsageError

if TYPE_CHECKING:
    from holdfast.evaluation.store import Folder
    from holdfast.evaluation.summary import Summary

COLUMNS = ("sample", "label", "predicted", "status", "becomes", "broken by", "margin")
ROWS, WIDE, LONGEST = 20, 72, 200  # shown at once, letters of what changed, and of a reason


def command(
    run: Run,
    sample: Annotated[int | None, typer.Argument(metavar="[SAMPLE]", help="A sample's number in the data set.")] = None,
    status: Annotated[str, typer.Option("--status", metavar="STATUS", help="broken, unbroken, wrong, error, ...")] = "",
    threat: Annotated[str, typer.Option("--threat", metavar="THREAT", help="Only the samples under this threat.")] = "",
    limit: Limit = ROWS,
    as_json: Json = False,
    quiet: Quiet = 0,
) -> int:
    """Show the result of RUN; with --status or SAMPLE its samples. The exit code is that of the run."""
    from holdfast.evaluation.store import Folder

    folder = Folder(run)
    if sample is None and not status and not threat:
        result.show(folder, as_json, False, quiet, folder.summary.provenance.command)
        return result.exit_code(folder.summary)
    rows = chosen(folder, sample, status, threat)
    if as_json:
        emit(json.dumps(rows, indent=1, default=str))
    elif rows:
        emit(one(rows, folder.summary) if sample is not None else many(rows, limit, folder.summary))
    else:
        say(f"No sample of the run is {status or 'there'}.")
    return ExitCode.PASSED


def chosen(folder: "Folder", sample: int | None, status: str, threat: str) -> list[dict[str, Any]]:
    """The rows that are asked for: the smallest change first, of equal ones the shorter (L2), then the least margin.

    Raises:
        UsageError: HF807 for a status that does not exist, HF809 for a sample or threat that the run does not hold.
    """
    from holdfast.evaluation.summary import STATUSES

    if status and status not in STATUSES:
        raise UsageError(
            "HF807",
            f"There is no status {status!r}",
            expected=", ".join(STATUSES),
            fix=nearest(status, STATUSES) or None,
        )
    wanted = ""
    if threat:
        from holdfast.threats.literals import parse  # brings torch

        wanted = parse(threat).literal
    there = [t.literal for t in folder.summary.threats]
    if wanted and wanted not in there:
        raise UsageError(
            "HF809", f"The run has no threat {wanted}", expected=", ".join(there), fix=f"--threat {there[0]}"
        )
    rows: list[dict[str, Any]] = folder.samples.to_pylist()
    if sample is not None and all(row["sample"] != sample for row in rows):
        numbers = [row["sample"] for row in rows]
        raise UsageError(
            "HF809",
            f"The run has no sample {sample}",
            expected=f"one of {len(set(numbers))} from {min(numbers)} to {max(numbers)}",
            fix="holdfast show RUN --status broken lists some",
        )
    kept = [
        row
        for row in rows
        if sample in (None, row["sample"]) and status in ("", row["status"]) and wanted in ("", row["threat"])
    ]
    from holdfast.threats.written import measure_of

    measures = {literal: measure_of(literal) for literal in there}
    return sorted(
        kept,
        key=lambda row: (
            *(_size(row.get(size)) for size in (measures[row["threat"]], "l2", "margin")),
            row["sample"],
        ),
    )


def many(rows: list[dict[str, Any]], limit: int, summary: "Summary") -> str:
    """A table, and how many more there are."""
    names, shown = summary.model.class_names, rows[: limit or None]
    several = len({row["threat"] for row in rows}) > 1
    told = [name for name in ("change", "reason") if any(row.get(name) for row in shown)]
    sizes = ("linf", "l2", "l0", *(("cost",) if any(row.get("cost") is not None for row in rows) else ()))
    cells = [
        (
            *((row["threat"],) if several else ()),
            str(row["sample"]),
            _name(row["label"], names),
            _name(row["predicted"], names),
            row["status"],
            _name(row["adversarial_label"], names),
            row["broken_by"] or "",
            *(_number(row[key]) for key in ("margin", *sizes, "queries")),
            *(_cut(row.get(name) or "", WIDE if name == "change" else LONGEST) for name in told),
        )
        for row in shown
    ]
    text = table(cells, (*(("threat",) if several else ()), *COLUMNS, *sizes, "queries", *told))
    return text if len(shown) == len(rows) else f"{text}\n\n{len(shown)} of {len(rows)}; -n 0 shows all"


def one(rows: list[dict[str, Any]], summary: "Summary") -> str:
    """Everything about one sample, a block for each threat."""
    names = summary.model.class_names
    blocks = []
    for row in rows:
        told = [
            (
                key.replace("_", " "),
                _name(value, names) if key in ("label", "predicted", "adversarial_label") else _number(value),
            )
            for key, value in row.items()
            if value is not None and value != ""
        ]
        blocks.append(table(told))
    return clean("\n\n".join(blocks))


def _size(value: Any) -> float:
    return value if isinstance(value, int | float) and not math.isnan(value) else math.inf


def _name(label: Any, names: tuple[str, ...]) -> str:
    if label is None:
        return ""
    return names[label][:24] if 0 <= label < len(names) else str(label)


def _cut(text: str, most: int) -> str:
    """What changed in a row of a table, or why there is no answer, on a line."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
