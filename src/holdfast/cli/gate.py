"""`holdfast gate RUN --policy holdfast.toml`: does a run meet the policy? The exit code says it to a build server."""

import os
import pathlib
import re
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.compare import Common
from holdfast.cli.options import Json, Quiet, Run, filled
from holdfast.cli.output import form_of, write
from holdfast.cli.terminal import clean, emit
from holdfast.core.errors import UsageError

if TYPE_CHECKING:
    from holdfast.evaluation.gate import Gate

CODES = {
    "passed": ExitCode.PASSED,
    "failed": ExitCode.FAILED,
    "incomplete": ExitCode.INCOMPLETE,
    "untrustworthy": ExitCode.UNTRUSTWORTHY,
    "empty": ExitCode.EMPTY,
}


def category(ctx: typer.Context, param: typer.CallbackParam, value: str) -> str:
    """What may stand in the ids of SARIF, and in the names of files that are made of it."""
    value = filled("HF805", "small")(ctx, param, value)
    if value and not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise UsageError(
            "HF805",
            "--category is no name of at most 64 letters, digits, '.', '_' and '-' that begins with a letter or digit",
            seen=repr(value),
            fix="--category small, or leave it out",
        )
    return value


def command(
    run: Run,
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="The rules, TOML.")] = "holdfast.toml",
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline",
            metavar="RUN",
            callback=filled("HF805", "baseline"),
            help="The run that rules with max_regression compare with.",
        ),
    ] = "",
    common: Common = False,
    out: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Write the result too, several times if wanted: .xml (JUnit), .sarif, .md, .html, .json, .txt, "
            ".svg or .badge.json (badges).",
        ),
    ] = None,
    category: Annotated[
        str,
        typer.Option(
            "--category",
            metavar="NAME",
            callback=category,
            help="Keeps the alerts of a .sarif file apart from those of other gates on the same commit.",
        ),
    ] = "",
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit code 0 instead of 1.")] = False,
    as_json: Json = False,
    quiet: Quiet = 0,
) -> int:
    """Hold RUN against a policy. Exit code 1 where a rule fails, 3, 4 or 5 where the run cannot be judged."""
    from holdfast.evaluation.document import to_json
    from holdfast.evaluation.gate import gate
    from holdfast.evaluation.policy import read
    from holdfast.evaluation.store import Folder
    from holdfast.report.gate import FORMS, page, render
    from holdfast.report.sheet import text

    forms = {path: form_of(path, FORMS) for path in out or ()}
    rules = read(pathlib.Path(policy))
    found = gate(Folder(run), rules, Folder(baseline) if baseline else None, common)
    for path, form in forms.items():
        write(path, render(found, form, category))
    if as_json:
        emit(to_json(found), end="")
    elif quiet < 2:
        tell(found, clean(found.text) if quiet else text(page(found)).rstrip())
    code = CODES[found.state]
    return ExitCode.PASSED if code == ExitCode.FAILED and (exit_zero or found.advisory) else code


def tell(found: "Gate", told: str) -> None:
    """Print the result; on GitHub also an annotation for each rule that is not met."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        emit(told)
        return
    from holdfast.report.annotations import fenced, render

    emit(fenced(told))
    marks = render(found, os.environ.get("GITHUB_WORKSPACE") or os.curdir)
    if marks:
        emit(clean(marks))
