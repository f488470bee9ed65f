"""`holdfast schema summary`: the JSON schemas of the documents that holdfast writes."""

import importlib
import json
from typing import Annotated, Any

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import SCHEMA, nearest
from holdfast.cli.terminal import emit
from holdfast.core.errors import UsageError

RECORDS = {
    "summary": ("holdfast.evaluation.summary", "Summary"),
    "comparison": ("holdfast.evaluation.comparison", "Comparison"),
    "gate": ("holdfast.evaluation.gate", "Gate"),
    "policy": ("holdfast.evaluation.policy", "Document"),
    "baseline": ("holdfast.evaluation.baseline", "Updated"),
    "board": ("holdfast.evaluation.board", "Board"),
    "spread": ("holdfast.evaluation.spread", "Spread"),
    "corruptions": ("holdfast.evaluation.corruptions", "Corruptions"),
    "models": ("holdfast.evaluation.comparing.records", "ModelComparison"),
    "defenses": ("holdfast.evaluation.defending.records", "DefenseComparison"),
    "hardening": ("holdfast.evaluation.defending.hardening", "Hardening"),
    "bench": ("holdfast.evaluation.bench.records", "Bench"),
}
DOCUMENTS = (*RECORDS, "error")


def command(
    document: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT",
            help="summary, comparison, gate, policy, board, spread, bench, ...",
        ),
    ] = "summary",
) -> int:
    """Print the JSON schema of a document: what a verb prints under --json, or a policy (holdfast.toml)."""
    if document not in DOCUMENTS:
        raise UsageError(
            "HF807",
            f"There is no document {document!r}",
            expected=", ".join(DOCUMENTS),
            fix=nearest(document, list(DOCUMENTS)) or "holdfast schema summary",
        )
    emit(json.dumps(error() if document == "error" else published(document), indent=1))
    return ExitCode.PASSED


def published(document: str) -> dict[str, Any]:
    """The schema of a document that is written from a record or, as a policy, read into one."""
    from holdfast.evaluation.document import schema

    place, kind = RECORDS[document]
    return schema(getattr(importlib.import_module(place), kind))


def error() -> dict[str, Any]:
    """The schema of the object that `--json` prints instead of a result."""
    text = {"type": "string"}
    fields = {
        "schema": {"const": SCHEMA},
        "exit": {"enum": [int(code) for code in ExitCode if code]},
        "error": text,
        "code": {"type": "string", "pattern": "^HF[0-9]{3}$"},
        "kind": text,
        "what": text,
        "seen": {},
        "expected": {},
        "fix": {"type": ["string", "null"]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "Error",
        "type": "object",
        "properties": fields,
        "required": ["schema", "exit", "error", "code", "kind", "fix"],
        "additionalProperties": False,
    }
