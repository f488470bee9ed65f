"""`holdfast schema summary`: the JSON schemas of the documents that holdfast writes."""

import json
from typing import Annotated, Any

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import SCHEMA, nearest
from holdfast.cli.terminal import emit
from holdfast.core.errors import UsageError


def command(
    document: Annotated[
        str, typer.Argument(metavar="DOCUMENT", help="summary, comparison, gate, policy, board, error.")
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
    emit(json.dumps(DOCUMENTS[document](), indent=1))
    return ExitCode.PASSED


def summary() -> dict[str, Any]:
    """The schema of summary.json."""
    from holdfast.evaluation.summary import schema

    return schema()


def comparison() -> dict[str, Any]:
    """The schema of what `holdfast compare --json` prints."""
    from holdfast.evaluation.comparison import schema

    return schema()


def gate() -> dict[str, Any]:
    """The schema of what `holdfast gate --json` prints."""
    from holdfast.evaluation.gate import schema

    return schema()


def policy() -> dict[str, Any]:
    """The schema of a policy, `holdfast.toml`."""
    from holdfast.evaluation.policy import schema

    return schema()


def board() -> dict[str, Any]:
    """The schema of what `holdfast board --json` prints."""
    from holdfast.evaluation.board import schema

    return schema()


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


DOCUMENTS = {
    "summary": summary,
    "comparison": comparison,
    "gate": gate,
    "policy": policy,
    "board": board,
    "error": error,
}
