"""`holdfast report RUN`: write a run's report as html, md, json, csv, txt or xml (JUnit). No model is needed."""

import pathlib
from typing import Annotated

import typer

from holdfast.cli import result
from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import nearest
from holdfast.cli.options import Quiet, Run
from holdfast.cli.terminal import clean, emit
from holdfast.core.errors import UsageError
from holdfast.core.files import writing


def command(
    run: Run,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORM", help="html, md, json, csv, txt, xml (JUnit); several with commas."),
    ] = "",
    out: Annotated[str, typer.Option("-o", "--out", metavar="PATH", help="A file, or a folder for several.")] = "",
    quiet: Quiet = 0,
) -> int:
    """Write the report of RUN: into the run folder, or where -o says. The exit code is that of the run."""
    from holdfast.report.run import FORMATS, Run

    found = Run(run)
    for path in paths(found.path, form, out, tuple(suffix[1:] for suffix in FORMATS)):
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        found.report(path)
        if quiet < 2:
            emit(clean(str(path), ""))
    return result.exit_code(found.summary) if not found.complete else ExitCode.PASSED


def paths(folder: pathlib.Path, form: str, out: str, known: tuple[str, ...]) -> list[pathlib.Path]:
    """The files to write.

    Raises:
        UsageError: HF807 for a form that does not exist, HF805 where a file's ending and `--format` disagree.
    """
    ending = pathlib.Path(out).suffix[1:].lower()
    wanted = [word.strip().lower() for word in form.split(",") if word.strip()] or [
        ending if ending in known else "html"
    ]
    for word in wanted:
        if word not in known:
            raise UsageError(
                "HF807",
                f"There is no form of report {word!r}",
                expected=", ".join(known),
                fix=nearest(word, known) or "--format html",
            )
    if ending in known:
        if wanted != [ending]:
            raise UsageError(
                "HF805",
                "One file has one form",
                seen=f"-o {out}, --format {form}",
                expected="a folder for several",
                fix="leave --format away",
            )
        return [pathlib.Path(out)]
    return [(pathlib.Path(out) if out else folder) / f"report.{word}" for word in wanted]
