"""`holdfast export card RUN`: the result of a run in a form that others read. No model is needed."""

import pathlib
from typing import Annotated

import typer

from holdfast.cli import result
from holdfast.cli.codes import ExitCode
from holdfast.cli.options import Quiet, Run
from holdfast.cli.output import form_of, write
from holdfast.cli.terminal import clean, emit
from holdfast.core.errors import UsageError


def command(
    what: Annotated[str, typer.Argument(metavar="card", help="What to write: card.")],
    run: Run,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="A new file or a model card, such as README.md.")
    ] = "",
    quiet: Quiet = 0,
) -> int:
    """Write the robustness card of RUN, or renew it in FILE, whose prose stays. The exit code is that of the run."""
    if what != "card":
        raise UsageError("HF805", "There is no such export", seen=what, expected="card", fix="holdfast export card RUN")
    form_of(out, (".md",))
    from holdfast.evaluation.store import Folder
    from holdfast.report.card import render

    folder = Folder(run)
    path = pathlib.Path(out) if out else folder.path / "card.md"
    write(str(path), render(folder.summary, read(path)))
    if quiet < 2:
        emit(clean(str(path), ""))
    return ExitCode.PASSED if folder.summary.complete else result.exit_code(folder.summary)


def read(path: pathlib.Path) -> str:
    """The text of the file, empty where there is none; line ends as they are.

    Raises:
        UsageError: HF829 where it is no text.
    """
    if not path.is_file():
        return ""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            "HF829", "The card cannot be filled in: it is no UTF-8 text", seen=str(path), fix="another -o"
        ) from error
