"""`holdfast compare RUN RUN`: the difference of runs over the same samples, sample by sample. No model is needed."""

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import result
from holdfast.cli.codes import ExitCode
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import form_of, tell, write

if TYPE_CHECKING:
    from holdfast.data.dataset import Dataset
    from holdfast.evaluation.store import Folder

Runs = Annotated[
    list[str], typer.Argument(metavar="RUN RUN", help="Run folders; the others are compared with the first.")
]
Common = Annotated[bool, typer.Option("--common", help="Compare what the runs share where samples or threats differ.")]
Rows = Annotated[
    bool,
    typer.Option(
        "--rows", help="Show inputs that the runs do not keep (rows of your own tables too), from the first run's data."
    ),
]


def command(
    runs: Runs,
    common: Common = False,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="Write a page too: .md, .html, .json or .txt.")
    ] = "",
    rows: Rows = False,
    as_json: Json = False,
    quiet: Quiet = 0,
) -> int:
    """Compare RUNs with the first one. Exit code 4 where the numbers of one should not be trusted yet."""
    from holdfast.evaluation.comparison import compare
    from holdfast.evaluation.store import Folder
    from holdfast.report.comparison import FORMS, page, render

    form = form_of(out, FORMS)
    folders = [Folder(run) for run in runs]
    found = compare(folders, common)
    if out:
        write(out, render(found, form, folders, data_of(folders[0], rows)))
    tell(found, page, as_json, quiet)
    doubtful = any(result.exit_code(folder.summary) != ExitCode.PASSED for folder in folders)
    return ExitCode.UNTRUSTWORTHY if doubtful else ExitCode.PASSED


def data_of(folder: "Folder", wanted: bool) -> "Dataset | None":
    """The data that a run remembers, where they are wanted."""
    if not wanted:
        return None
    from holdfast.cli.subject import load_data, remembered
    from holdfast.evaluation.evading import of_source

    words = remembered(folder, "", "", "", "")
    whole = load_data(words.data, words.split, words.bounds, words.profile, words.schema, words.label)
    return of_source(whole, words.evade)
