"""The end of a run for a person or a script: the summary on stdout, three commands to go on with, the exit code."""

import json
import shlex
from typing import TYPE_CHECKING

from holdfast.cli import output
from holdfast.cli.codes import ExitCode, of_verdict
from holdfast.cli.terminal import clean, colored, emit

if TYPE_CHECKING:
    from holdfast.evaluation.store import Folder
    from holdfast.evaluation.summary import Summary


def exit_code(summary: "Summary", max_errors: float = 0.01) -> ExitCode:
    """130 after Ctrl-C, 3 where work is left, 5 without a sample, 4 where the numbers should not be trusted, else 0."""
    if not summary.complete:
        return of_verdict("partial", interrupted=summary.stopped.startswith(("interrupted", "terminated")))
    errors = summary.coverage.statuses.get("error", 0)
    if summary.data.n and errors / summary.data.n > max_errors:
        return ExitCode.UNTRUSTWORTHY
    return of_verdict(summary.verdict.state)


def show(folder: "Folder", as_json: bool, jsonl: bool, quiet: int, command: str, files: tuple[str, ...] = ()) -> None:
    """Print the result in the form that was asked for; `-qq` prints nothing."""
    if as_json:
        from holdfast.evaluation.document import to_json

        emit(to_json(folder.summary), end="")
    elif jsonl:
        for row in folder.samples.to_pylist():
            emit(json.dumps(row, ensure_ascii=True, default=str))
    elif quiet < 2:
        emit(text(folder, quiet, command, files))


def text(folder: "Folder", quiet: int, command: str, files: tuple[str, ...] = ()) -> str:
    """The one-screen summary; with `-q` the verdict alone."""
    summary = folder.summary
    if quiet:
        return clean(summary.verdict.text)
    lines = [screen(summary).rstrip(), ""]
    lines += [f"{'Report' if file.endswith('.html') else 'File'}: {clean(file)}" for file in files]
    return "\n".join([*lines, *([""] if files else []), *output.following(following(folder, command))])


def screen(summary: "Summary") -> str:
    """The summary on one screen, with color where stdout may carry it."""
    from holdfast.report import text as plain

    if not colored():
        return plain.text(summary)
    import io

    from rich.console import Console

    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system="standard", width=200).print(
        plain.rich(summary), soft_wrap=True
    )
    return file.getvalue()


def following(folder: "Folder", command: str) -> list[tuple[str, str]]:
    """Three commands with their reason, chosen by what was found."""
    summary, run = folder.summary, shlex.quote(str(folder.path))
    if not summary.complete:
        return [
            (command or "the same command", "continues where it stopped"),
            (f"holdfast show {run}", "what there is so far"),
            (f"holdfast ls {shlex.quote(str(folder.path.parent))}", "how far every run is"),
        ]
    if summary.verdict.state == "empty":
        wrong = summary.coverage.statuses.get("wrong", 0)
        status, why = ("wrong", "what was answered") if wrong else ("invalid", "why no sample could be judged")
        return [
            (f"holdfast show {run} --status {status}", why),
            ("holdfast doctor MODEL DATA", "checks range, normalization and clean accuracy"),
            (f"holdfast explain {status}", "what the word means"),
        ]
    found = [(finding.next, finding.title) for finding in summary.findings if finding.next.startswith("holdfast ")]
    found += _closer(summary, run) + _further(summary, command)
    seen: dict[str, str] = {}
    for words, why in found:
        seen.setdefault(words, why)
    return list(seen.items())[:3]


def _closer(summary: "Summary", run: str) -> list[tuple[str, str]]:
    """Look at what there is."""
    if summary.verdict.state == "doubtful":
        return [
            ("holdfast explain masking", "why these numbers may mislead"),
            (f"holdfast show {run} --status error", "samples without an answer"),
        ]
    if summary.hardest is not None and summary.hardest.broken:
        baseline = shlex.quote(summary.hardest.baseline)
        return [(f"holdfast show {run}/hardest --status broken", f"what {baseline} held most narrowly and breaks now")]
    if summary.coverage.statuses.get("broken", 0):
        return [(f"holdfast show {run} --status broken", "the samples that broke, smallest change first")]
    return [(f"holdfast show {run} --status unbroken", "the samples by the margin that is left")]


def _further(summary: "Summary", command: str) -> list[tuple[str, str]]:
    """Ask more of the same run, where a command of its own made it: what is committed is reused."""
    from holdfast.evaluation.journal import words_of

    words = words_of(command)
    if words[:2] != ["holdfast", "audit"]:
        return []
    found: list[tuple[str, str]] = []
    words = _without_defaults(words)
    if summary.provenance.suite == "quick":
        found.append((shlex.join(_with(words, "--suite", "standard")), "a number to state needs the standard attacks"))
    words = _with(words, "--hardest-of", None)
    if summary.data.limited:
        whole = words
        for option in ("--limit", "--decide", "--subset-seed", "--budget"):
            whole = _with(whole, option, None)
        found.append((shlex.join(whole), f"all {summary.data.total} samples, for a narrower interval"))
    statuses = summary.coverage.statuses
    broken, held = statuses.get("broken", 0), statuses.get("unbroken", 0)
    from holdfast.threats.written import scaled

    factor, why = (
        (0.5, "where does it begin to break? half the radius")
        if broken >= held
        else (2, "does it hold at twice the radius?")
    )
    other = scaled(summary.threats[0].literal, factor)
    if other:
        found.append((shlex.join([*words[:4], "--threat", other, *words[4:]]), why))
    return found


def _without_defaults(words: list[str]) -> list[str]:
    for option, value in (("--suite", "standard"), ("--seed", "0"), ("--split", "test")):
        if option in words and words[words.index(option) + 1] == value:
            words = _with(words, option, None)
    return words


def _with(words: list[str], option: str, value: str | None) -> list[str]:
    """The words with an option set, or without it."""
    at = words.index(option) if option in words else -1
    rest = words if at < 0 else words[:at] + words[at + 2 :]
    return rest if value is None else [*rest, option, value]
