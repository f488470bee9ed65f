"""`holdfast board RUNS`: a static leaderboard over run folders, with rank bands. No model is needed."""

import pathlib
from typing import Annotated

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import form_of, write
from holdfast.cli.terminal import emit

Places = Annotated[list[str], typer.Argument(metavar="RUNS", help="Run folders, or folders that hold some.")]


def command(
    runs: Places,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="Write a page too: .html, .md, .json or .txt.")
    ] = "",
    cards: Annotated[
        list[str] | None,
        typer.Option("--card", metavar="FILE", help="A model card whose claims stand beside what was measured."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = 0,
) -> int:
    """Rank the models of RUNS. Those that a paired test cannot tell apart share a band."""
    from holdfast.evaluation.board import board, runs_in
    from holdfast.evaluation.claims import read
    from holdfast.evaluation.document import to_json
    from holdfast.evaluation.store import Folder
    from holdfast.report.board import FORMS, page, render
    from holdfast.report.sheet import text

    form = form_of(out, FORMS)
    claims = tuple(claim for card in cards or () for claim in read(pathlib.Path(card)))
    found = board([Folder(path) for path in runs_in([pathlib.Path(run) for run in runs])], claims)
    if out:
        write(out, render(found, form))
    if as_json:
        emit(to_json(found), end="")
    elif quiet < 2:
        emit(text(page(found)).rstrip())
    return ExitCode.PASSED if found.rankings else ExitCode.EMPTY
