"""`holdfast baseline update RUN`: write the small folder that later runs are held against."""

import pathlib
from typing import Annotated

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.options import Json, Quiet, Run
from holdfast.cli.terminal import clean, emit
from holdfast.core.errors import UsageError


def command(
    action: Annotated[str, typer.Argument(metavar="update", help="What to do: update.")],
    run: Run,
    out: Annotated[str, typer.Option("-o", "--out", metavar="FOLDER", help="The baseline's folder.")] = "baseline",
    force: Annotated[bool, typer.Option("--force", help="Take an incomplete or doubtful run too.")] = False,
    as_json: Json = False,
    quiet: Quiet = 0,
) -> int:
    """Write the files of RUN that `holdfast gate --baseline` compares with, and say what changed."""
    if action != "update":
        raise UsageError(
            "HF805",
            "A baseline can only be updated",
            seen=action,
            expected="update",
            fix="holdfast baseline update RUN",
        )
    from holdfast.evaluation.baseline import update
    from holdfast.evaluation.document import to_json
    from holdfast.evaluation.store import Folder

    found = update(Folder(run), pathlib.Path(out), force)
    if as_json:
        emit(to_json(found), end="")
    elif quiet < 2:
        emit(clean(found.change if quiet else str(found)))
    return ExitCode.PASSED
