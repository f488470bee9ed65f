"""`holdfast compare-defenses PROTOCOL.yaml -o FOLDER`: what defenses buy and cost, under attackers who know them."""

import pathlib
import shlex
from typing import Annotated

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.output import tell, write
from holdfast.cli.terminal import say

PAGES = (".html", ".md")


def command(
    protocol: Annotated[
        str, typer.Argument(metavar="PROTOCOL", help="A YAML file: data, base learner, threats, suite, defenses.")
    ],
    out: Annotated[
        str,
        typer.Option("-o", "--out", metavar="FOLDER", help="Where all of it is kept; the same folder continues."),
    ] = "",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
    log: options.Log = "",
    debug: options.Debug = False,
) -> int:
    """Train, fit and attack the defenses that PROTOCOL names; say what each buys and costs, and which to take."""
    from holdfast.cli.interrupt import announced
    from holdfast.cli.progress import Show
    from holdfast.core.progress import Event, RunStarted
    from holdfast.evaluation.defending.protocol import read
    from holdfast.evaluation.defending.work import compare_defenses
    from holdfast.report.defenses import render, screen

    asked = read(pathlib.Path(protocol))
    folder = out or f"defenses-{pathlib.Path(protocol).stem}"
    words = f"holdfast compare-defenses {shlex.quote(protocol)} -o {shlex.quote(folder)}"
    with options.log_file(log) as file, Show(-1 if quiet else verbose, file) as show:
        shown = announced(show, bool(quiet))

        def listen(event: Event) -> None:
            inner = isinstance(event, RunStarted) and event.what == "audit"
            (announced(lambda _: None, bool(quiet)) if inner else shown)(event)

        found = compare_defenses(asked, folder, on_event=listen, command=words)
    for ending in PAGES:
        write(str(pathlib.Path(folder) / f"comparison{ending}"), render(found, ending))
    tell(found, screen, as_json, quiet)
    if not quiet:
        say(f"Page: {pathlib.Path(folder) / 'comparison.html'}")
    if found.left:
        say(f"Partial. {words} continues.")
        return ExitCode.INTERRUPTED
    return ExitCode.INCOMPLETE if found.refused else ExitCode.PASSED
