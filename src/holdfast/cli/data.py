"""`holdfast data inspect TABLE`: what the columns of a table are, for review, and the schema as a file."""

import dataclasses
import json
import pathlib
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import nearest
from holdfast.cli.options import Json, Quiet
from holdfast.cli.terminal import emit, say, table
from holdfast.core.errors import UsageError

if TYPE_CHECKING:
    from holdfast.data.tables.inspecting import Inspection

ACTIONS = ("inspect",)
HEADS = ("feature", "kind", "range", "missing", "values", "why")
WIDTHS = (20, 11, 16, 7, 6, 80)
"""Characters of each column; with the gaps between them 16 are left for the last one in a terminal of 80."""


def command(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="inspect.")],
    source: Annotated[str, typer.Argument(metavar="TABLE", help="A .csv, .csv.gz, .tsv or .parquet file, or a name.")],
    label: Annotated[str, typer.Option("--label", metavar="NAME", help="The column to be told.")] = "",
    schema: Annotated[
        str, typer.Option("--schema", metavar="FILE", help="Hold the rows against this schema, and show it.")
    ] = "",
    out: Annotated[str, typer.Option("-o", "--out", metavar="FILE", help="Write the schema as TOML, to edit.")] = "",
    as_json: Json = False,
    quiet: Quiet = 0,
) -> int:
    """Show what the columns of TABLE seem to be and why, which rows repeat themselves, and write the schema."""
    from holdfast.data.tables.inspecting import inspect

    if action not in ACTIONS:
        raise UsageError(
            "HF807",
            f"There is no action {action!r}",
            expected=", ".join(ACTIONS),
            fix=nearest(action, list(ACTIONS)) or "holdfast data inspect TABLE",
        )
    found = inspect(source, label=label, schema=schema or None)
    if out:
        found.schema.write(out)
    if as_json:
        emit(json.dumps(document(found), indent=1))
    elif quiet < 2:
        emit(page(found))
    if out and not quiet:
        say(f"The schema is in {pathlib.Path(out)}. Only you know what an attacker can change: review it.")
    elif not as_json and not quiet:
        say(f"To keep and correct these guesses: holdfast data inspect {shlex.quote(source)} -o schema.toml")
    return ExitCode.PASSED


def page(found: "Inspection") -> str:
    """The table of the features and what else there is to say."""
    schema = found.schema
    rows = [
        (guess.feature.name, guess.feature.kind, range_of(guess.feature), str(guess.missing or ""),
         str(guess.distinct), guess.why)
        for guess in found.guesses
    ]  # fmt: skip
    lines = [table([tuple(map(cut, row, WIDTHS)) for row in rows], HEADS), ""]
    counts = ", ".join(f"{name} {count}" for name, count in found.classes) or "none; say --label NAME"
    lines += [f"label: {schema.label}: {counts}" if schema.label else f"label: {counts}"]
    lines += [f"relation: {relation}" for relation in schema.relations]
    lines += [f"left out: {name}: {why}" for name, why in found.left]
    lines += [f"rows: {part} {count}" + "".join(f"; {note}" for note in notes) for part, count, notes in found.parts]
    return "\n".join(lines)


def document(found: "Inspection") -> dict[str, object]:
    """The same as one JSON object."""
    return {
        "name": found.schema.name,
        "label": found.schema.label,
        "classes": dict(found.classes),
        "features": [
            {**dataclasses.asdict(guess.feature), "missing_cells": guess.missing, "distinct": guess.distinct}
            | {"why": guess.why}
            for guess in found.guesses
        ],
        "relations": list(found.schema.relations),
        "left": dict(found.left),
        "parts": {part: {"rows": count, "notes": list(notes)} for part, count, notes in found.parts},
    }


def range_of(feature: object) -> str:
    """`0 ... 57715`, or how many levels there are."""
    from holdfast.threats.tables.feature import Feature

    if not isinstance(feature, Feature):
        return ""
    if feature.levels and feature.kind != "binary":
        return f"{len(feature.levels)} levels"
    low, high = feature.span
    return f"{feature.shown(low)} ... {feature.shown(high)}"


def cut(text: str, width: int) -> str:
    """The text, its middle left out where it is too long."""
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - half]}…{text[-half:]}"
