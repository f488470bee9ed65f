"""What a gate says as SARIF 2.1.0 (OASIS, 2020): a result for each rule that is not met, at its line in the policy."""

import json
import os
import urllib.parse
from typing import Any

from holdfast.core.records import digest
from holdfast.evaluation.gate import Check, Gate
from holdfast.report.visible import cleaned

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warn": "warning", "off": "none"}


def render(found: Gate, category: str = "") -> str:
    """The log, one run.

    Args:
        found: What the gate says.
        category: Keeps its alerts apart from those of other gates on one commit; the model's name where empty. A code
            host replaces what came earlier in the same category; and GitHub takes a rule of one id, at one line, for
            one alert in whatever category, and reads no fingerprint but its own. So it is in the ids of the rules too.
    """
    path, related = _relative(found.policy), _inside(found.model_file)
    found = cleaned(found)
    judged = [check for check in found.checks if check.state != "off"]
    missed = [check for check in judged if check.state in ("failed", "warned")]
    decided = found.state in ("passed", "failed")
    invocation: dict[str, Any] = {"executionSuccessful": decided}
    if not decided:
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": {"text": _plain(found.text)}}]
    prefix = f"holdfast.gate.{category}" if category else "holdfast.gate"
    run = {
        "tool": {
            "driver": {
                "name": "holdfast",
                "version": found.holdfast,
                "rules": [_rule(check, prefix) for check in judged],
            }
        },
        "automationDetails": {"id": f"holdfast/gate/{category or _quoted(found.model)}/"},
        "invocations": [invocation],
        "results": [_result(check, judged.index(check), path, found, prefix) | related for check in missed],
        "columnKind": "unicodeCodePoints",
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _rule(check: Check, prefix: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"tags": ["security", "robustness"], "precision": "high"}
    if check.rate is not None:
        properties["security-severity"] = f"{max(0.1, 10 * (1 - check.rate.low)):.1f}"
    return {
        "id": f"{prefix}.{check.id}",
        "name": "RobustnessPolicy",
        "shortDescription": {"text": _plain(f"{check.name}: {check.wanted}")},
        "defaultConfiguration": {"level": LEVELS[check.level]},
        "properties": properties,
    }


def _result(check: Check, place: int, path: str, found: Gate, prefix: str) -> dict[str, Any]:
    level = "note" if found.advisory else LEVELS[check.level]
    return {
        "ruleId": f"{prefix}.{check.id}",
        "ruleIndex": place,
        "kind": "fail",
        "level": level,
        "message": {"text": _plain(f"{found.model}: {check.name}: {check.seen}; wanted: {check.wanted}.")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": path},
                    "region": {"startLine": check.line},
                }
            }
        ],
        "partialFingerprints": {"holdfastRule/v2": digest([prefix, found.model, check.id])[:16]},
    }


def _inside(model: str) -> dict[str, Any]:
    """The model's file as a related location, where it lies below this folder: an alert can lead to nothing else."""
    if not model or os.path.relpath(model).startswith(os.pardir):
        return {}
    place = {"physicalLocation": {"artifactLocation": {"uri": _relative(model)}}}
    return {"relatedLocations": [{"message": {"text": "The model"}, **place}]}


def _quoted(model: str) -> str:
    """The name of a model as one part of a path."""
    return urllib.parse.quote(model.encode("utf-8", "replace"), safe="")


def _plain(text: str) -> str:
    """Text without square brackets and backslashes, from which a SARIF viewer would make links."""
    return text.replace("[", "(").replace("]", ")").replace("\\", "/")


def _relative(path: str) -> str:
    """A file as a URI reference: relative where it lies below this folder, else its name alone."""
    inside = os.path.relpath(path)
    name = os.path.basename(inside) if inside.startswith(os.pardir) else inside
    try:
        return urllib.parse.quote(os.fsencode(name))
    except UnicodeEncodeError:  # no name that a file can have
        return urllib.parse.quote(name.encode("utf-8", "replace"))
