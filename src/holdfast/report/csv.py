"""The samples of a run as CSV, one row for each threat and sample, safe to open in a spreadsheet."""

import csv
import io
from typing import Any

import pyarrow as pa

from holdfast.evaluation.summary import Summary
from holdfast.report import words
from holdfast.report.visible import visible

_NAMED = {"label": "label_name", "predicted": "predicted_name", "adversarial_label": "adversarial_name"}
_FORMULA = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def render(summary: Summary, samples: pa.Table) -> str:
    """The table as text; columns as in `samples.parquet`, with the names of the classes beside their numbers."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerow([safe(name) for column in samples.column_names for name in (column, _NAMED.get(column)) if name])
    names = summary.model.class_names
    for row in samples.to_pylist():
        cells: list[Any] = []
        for column, value in row.items():
            cells.append(_cell(value))
            if column in _NAMED:
                known = value is not None and 0 <= value < len(names)
                cells.append(
                    safe(names[value]) if known else "" if value is None else safe(words.class_name(summary, value))
                )
        writer.writerow(cells)
    return file.getvalue()


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula: before a leading `=`, `+`, `-` or `@` stands an apostrophe."""
    shown = visible(text)
    return (
        "'" + shown if shown.lstrip(" '\"").startswith(_FORMULA) or shown.startswith(("\\t", "\\r", "\\n")) else shown
    )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, int | float) else safe(str(value))
