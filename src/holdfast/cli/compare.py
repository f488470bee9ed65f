"""`holdfast compare RUN RUN`: the difference of runs over the same samples, sample by sample. No model is needed."""

import pathlib
from typing import Annotated

import typer

from holdfast.cli import result
from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import nearest
from holdfast.cli.options import Json, Quiet
from holdfast.cli.terminal import clean, emit
from holdfast.core.errors import UsageError
from holdfast.core.files import write_atomic, writing

Runs = Annotated[
    list[str], typer.Argument(metavar="RUN RUN", help="Run folders; the others are compared with the first.")
]
Common = Annotated[bool, typer.Option("--common", help="Compare what the runs share where samples or threats differ.")]


def command(
    runs: Runs,
    common: Common = False,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="Write a page too: .md, .html, .json or .txt.")
    ] = "",
    as_json: Json = False,
    quiet: Quiet = 0,
) -> int:
    """Compare RUNs with the first one. Exit code 4 where the numbers of one should not be trusted yet."""
    from holdfast.evaluation.comparison import compare
    from holdfast.evaluation.document import to_json
    from holdfast.evaluation.store import Folder
    from holdfast.report.comparison import FORMS, page, render
    from holdfast.report.sheet import text

    form = form_of(out, FORMS)
    folders = [Folder(run) for run in runs]
    found = compare(folders, common)
    if out:
        write(out, render(found, form))
    if as_json:
        emit(to_json(found), end="")
    elif quiet < 2:
        emit(clean(str(found)) if quiet else text(page(found)).rstrip())
    doubtful = any(result.exit_code(folder.summary) != ExitCode.PASSED for folder in folders)
    return ExitCode.UNTRUSTWORTHY if doubtful else ExitCode.PASSED


def form_of(out: str, known: tuple[str, ...]) -> str:
    """The ending of a file that is to be written, empty where none is.

    Raises:
        UsageError: HF820 for an ending that is no form of page.
    """
    endings = [ending.lower() for ending in pathlib.Path(out).suffixes]
    double, form = "".join(endings[-2:]), endings[-1] if endings else ""
    form = double if double in known else form
    if out and form not in known:
        raise UsageError(
            "HF820",
            "This is no form of report",
            seen=pathlib.Path(out).name,
            expected="a file ending in " + ", ".join(known),
            fix=nearest(form, known) or f"-o page{known[0]}",
        )
    return form


def write(out: str, text: str) -> None:
    """Write a page, its folder too."""
    with writing(out):
        pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, text.encode("utf-8", "backslashreplace"))
