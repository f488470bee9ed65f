"""What a gate says as annotations of GitHub: workflow commands that mark the line of a rule in the policy.

GitHub takes every line of a step's output that begins with `::` for a command, so text with strangers' names in it is
fenced in by `fenced` before the annotations follow.
"""

import os
import pathlib
import secrets

from holdfast.evaluation.gate import Gate
from holdfast.report.visible import cleaned, visible

LEVELS = {"failed": "error", "warned": "warning"}
TITLE = "holdfast gate"


def render(found: Gate, base: str) -> str:
    """A line for each rule that is not met, and one where nothing could be decided; empty where all is well.

    Args:
        found: The gate.
        base: Folder of the repository; the policy is named relative to it.
    """
    path = _below(visible(found.policy), base)
    found = cleaned(found)
    lines = []
    for check in found.checks:
        if check.state in LEVELS:
            level = "warning" if found.advisory else LEVELS[check.state]
            told = f"{check.name}: {check.seen}; wanted: {check.wanted}"
            lines.append(_command(level, path, check.line, f"{found.model}: {told}"))
    if found.state not in ("passed", "failed"):
        lines.append(_command("error", path, 1, f"{found.model}: {found.text}"))
    return "\n".join(lines)


def fenced(text: str) -> str:
    """The text between two lines that make GitHub read no command in it."""
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}\n{text}\n::{token}::"


def _command(level: str, path: str, line: int, message: str) -> str:
    return f"::{level} file={_property(path)},line={line},title={_property(TITLE)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _below(path: str, base: str) -> str:
    """The file as the repository knows it; its name alone where it lies elsewhere."""
    file = pathlib.Path(os.path.realpath(path))
    root = pathlib.Path(os.path.realpath(base))
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
