"""The entry point: a table of verbs that imports nothing but what is asked for."""

import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.cli import errors
from holdfast.cli.codes import ExitCode
from holdfast.cli.terminal import emit, strong
from holdfast.core.errors import UsageError

VERBS = {
    "audit": ("holdfast.cli.audit", "attack a model and measure what it withstands"),
    "corrupt": ("holdfast.cli.corrupt", "right answers under noise, blur, weather and digital damage"),
    "harden": ("holdfast.cli.harden", "train a model that withstands more, and measure before and after"),
    "compare-defenses": ("holdfast.cli.compare_defenses", "what defenses buy and cost, under attackers who know them"),
    "compare-models": ("holdfast.cli.compare_models", "models of any library on the same rows, in one report"),
    "demo": ("holdfast.cli.demo", "a network that ships with holdfast, audited in a minute"),
    "show": ("holdfast.cli.show", "the result of a run, or its samples, in the terminal"),
    "report": ("holdfast.cli.report", "write the report of a run: html, md, json, csv, txt, xml"),
    "export": ("holdfast.cli.export", "the robustness card of a run, for the Hugging Face Hub"),
    "replay": ("holdfast.cli.replay", "attack one sample of a run again and look at it"),
    "recheck": ("holdfast.cli.recheck", "verify every stored claim of a run again with its model"),
    "compare": ("holdfast.cli.compare", "two or more runs over the same samples, sample by sample"),
    "board": ("holdfast.cli.board", "a leaderboard over run folders, with rank bands"),
    "gate": ("holdfast.cli.gate", "does a run meet the policy? for build servers"),
    "baseline": ("holdfast.cli.baseline", "write the small folder that later runs are held against"),
    "check": ("holdfast.cli.check", "policies, model files and baselines, at once: for commit hooks"),
    "data": ("holdfast.cli.data", "what the columns of a table are, and their schema as a file"),
    "ls": ("holdfast.cli.ls", "the runs in a folder and how far they are"),
    "doctor": ("holdfast.cli.doctor", "is this machine, this model, this data ready?"),
    "bench": ("holdfast.cli.bench", "what attacks cost here, beside the plain loop and other toolkits"),
    "list": ("holdfast.cli.catalog", "what there is: attacks, defenses, threats, data, models, ..."),
    "explain": ("holdfast.cli.explain", "what an error code, an attack or a word of the report means"),
    "schema": ("holdfast.cli.schema", "the JSON schema of a document that holdfast writes"),
    "completion": ("holdfast.cli.completion", "a script that completes holdfast in your shell"),
}
GROUPS = {
    "Run": ("audit", "corrupt", "harden", "compare-models", "compare-defenses", "demo"),
    "Look at a run": ("show", "report", "export", "replay", "recheck", "compare", "board", "gate", "baseline", "ls"),
    "Set up and look up": ("doctor", "check", "data", "bench", "list", "explain", "schema", "completion"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if callable(forgive := getattr(stream, "reconfigure", None)):
            forgive(errors="backslashreplace")  # a name that the terminal cannot show is no reason to end a run
    try:
        return int(_dispatch(words))
    except (Exception, KeyboardInterrupt) as error:
        return int(errors.report(error, words))


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if words[1:] and words[1] in VERBS:
            return _call(words[1], ["--help"])
        emit(overview())
        return ExitCode.PASSED if words else ExitCode.USAGE
    if words[0] in ("--version", "version"):
        from holdfast import __version__

        emit(f"holdfast {__version__}")
        return ExitCode.PASSED
    if words[0] in VERBS:
        return _call(words[0], words[1:])
    if words[0].startswith("-"):
        raise UsageError("HF802", "The verb comes first", seen=words[0], expected="a verb", fix="holdfast --help")
    raise UsageError(
        "HF802", f"There is no verb {words[0]!r}", fix=errors.nearest(words[0], list(VERBS)) or "holdfast --help"
    )


def overview() -> str:
    """The text of `holdfast --help`."""
    lines = [
        "holdfast: how does a model break, what does it withstand, and how sure is that?",
        "",
        "  holdfast demo                        a report in a minute, offline",
        "  holdfast audit MODEL DATA            the same for your model and your data",
    ]
    for head, verbs in GROUPS.items():
        lines += ["", strong(head)] + [f"  {verb:<18}{VERBS[verb][1]}" for verb in verbs]
    return "\n".join([*lines, "", "holdfast VERB --help tells the options of a verb. Exit codes: holdfast list codes"])


def _call(verb: str, words: list[str]) -> int:
    """Parse the words by the signature of the verb's function `command`, and call it."""
    function: Callable[..., int] = importlib.import_module(VERBS[verb][0]).command
    import typer
    import typer.main

    app = typer.Typer(add_completion=False, rich_markup_mode="rich" if _fancy(words) else None)
    app.command(context_settings={"help_option_names": ["-h", "--help"]}, help=function.__doc__)(_careful(function))
    usage: Any = typer.BadParameter.__base__
    try:
        code = typer.main.get_command(app).main(words, prog_name=f"holdfast {verb}", standalone_mode=False)
    except typer.Abort as abort:
        raise KeyboardInterrupt from abort
    except usage as error:
        raise _usage(verb, error) from error
    return int(code or 0)


def _careful(function: Callable[..., int]) -> Callable[..., int]:
    """The same function with Ctrl-C as an exception of ours."""

    @functools.wraps(function)
    def called(*words: Any, **options: Any) -> int:
        try:
            return function(*words, **options)
        except KeyboardInterrupt as error:
            raise errors.Interrupted(*error.args) from error

    return called


def _fancy(words: list[str]) -> bool:
    """Whether help is drawn by rich, which takes three times as long to import: only for a person at a terminal."""
    return ("-h" in words or "--help" in words) and sys.stdout.isatty()


def _usage(verb: str, error: Any) -> UsageError:
    """The parser's complaint in the one form that all errors have."""
    text = " ".join(str(error.format_message()).split())
    code = {"NoSuchOption": "HF803", "MissingParameter": "HF804"}.get(type(error).__name__, "HF805")
    return UsageError(code, text, fix=f"holdfast {verb} --help")
