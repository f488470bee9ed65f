"""Options that mean the same on every verb."""

import contextlib
import fractions
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Annotated, TextIO

import typer

from holdfast.core.errors import UsageError
from holdfast.core.files import writing


def filled(code: str, example: str) -> Callable[[typer.Context, typer.CallbackParam, str], str]:
    """What refuses an option that was given with nothing in it: a variable of a build server that is not set.

    Args:
        code: Of the error.
        example: A value that the option takes.
    """

    def check(ctx: typer.Context, param: typer.CallbackParam, value: str) -> str:
        source = ctx.get_parameter_source(param.name or "")
        if value == "" and source is not None and source.name == "COMMANDLINE":
            name = param.opts[0]
            raise UsageError(
                code, f"{name} came with nothing in it", seen="''", fix=f"{name} {example}, or leave it out"
            )
        return value

    return check


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .safetensors or .pt file with its card, .onnx, .skops, .json or .ubj (XGBoost), .txt (LightGBM), .cbm, "
        ".keras, a folder of Hugging Face, digits-mlp, module:attribute, or the address of an endpoint.",
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A name (holdfast list data), a folder of pictures, an .npz with x and y, or a table: "
        ".csv, .csv.gz, .tsv, .parquet.",
    ),
]
Schema = Annotated[
    str,
    typer.Option(
        "--schema", metavar="FILE", help="What the rows of a table may be: TOML, as holdfast data inspect -o writes it."
    ),
]
Label = Annotated[str, typer.Option("--label", metavar="NAME", help="The column of a table's file that is to be told.")]
ShowRows = Annotated[
    bool, typer.Option("--show-rows", help="Reports say what changed in rows of your table; they stay out otherwise.")
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")]

Threat = Annotated[
    list[str] | None, typer.Option("--threat", metavar="THREAT", help="Such as linf:8/255; may be given several times.")
]
Suite = Annotated[
    str, typer.Option("--suite", metavar="SUITE", help="quick, frugal, standard, or attacks: 'pgd(steps=10)+square'.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Start of all random numbers.")]
SubsetSeed = Annotated[
    int | None,
    typer.Option("--subset-seed", metavar="N", help="Of the subset that --limit draws; else --seed."),
]
Seeds = Annotated[
    int,
    typer.Option("--seeds", metavar="N", min=1, show_default=False, help="Audit with N seeds and show the spread."),
]
Out = Annotated[
    str, typer.Option("-o", "--out", metavar="FOLDER", help="The run folder; the same folder continues the run.")
]
Limit = Annotated[
    int,
    typer.Option(
        "-n",
        "--limit",
        metavar="N",
        min=0,
        show_default=False,
        help="A seeded simple random subset of N samples; 0 for all.",
    ),
]
Split = Annotated[str, typer.Option("--split", metavar="NAME", help="Part of the data: train, val or test.")]
Bounds = Annotated[
    str,
    typer.Option(
        "--bounds",
        metavar="LOW,HIGH",
        callback=filled("HF805", "0,1"),
        help="Least and greatest possible value, where the data do not say.",
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="TIME",
        callback=filled("HF827", "10m"),
        help="Measure one batch and use as many samples as surely fit: 90s, 10m, 1h30m.",
    ),
]
Deadline = Annotated[
    str,
    typer.Option(
        "--deadline",
        metavar="TIME",
        callback=filled("HF827", "10m"),
        help="Stop by the clock after 90s, 10m, 1h30m; exit code 3 if work is left.",
    ),
]
Decide = Annotated[
    str,
    typer.Option(
        "--decide",
        metavar="QUESTION",
        callback=filled("HF826", "'empirical_robust_accuracy >= 0.5'"),
        help="Stop once it is answered: 'empirical_robust_accuracy >= 0.5'.",
    ),
]
Expected = Annotated[
    float | None,
    typer.Option(
        "--expect-accuracy",
        metavar="SHARE",
        min=0,
        max=1,
        help="Stop before any attack if the clean accuracy is another.",
    ),
]
TransferTo = Annotated[
    list[str] | None, typer.Option("--transfer-to", metavar="MODEL2", help="Try what breaks MODEL on this model too.")
]
Replay = Annotated[
    str | None, typer.Option("--replay", metavar="RUN", help="Try that run's adversarial inputs before all attacks.")
]
HardestOf = Annotated[
    str | None,
    typer.Option(
        "--hardest-of",
        metavar="BASELINE",
        callback=filled("HF805", "baseline"),
        help="Up to half of the samples are those that run held most narrowly; they go first and count in no rate.",
    ),
]
Evade = Annotated[
    str,
    typer.Option(
        "--evade",
        metavar="SOURCE:INTO",
        callback=filled("HF805", "fraud:ok"),
        help="Samples of these classes alone, to pass for others: fraud:ok, dos,probe:ok.",
    ),
]
Threshold = Annotated[
    str,
    typer.Option(
        "--threshold",
        metavar="[CLASS:]P",
        callback=filled("HF282", "0.2"),
        help="Class 1, or CLASS, is decided where its probability is at least P: 0.2, fraud:0.2.",
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME",
        callback=filled("HF805", "malware"),
        help="What an attacker of a table can do: holdfast list profiles.",
    ),
]
Cap = Annotated[
    int,
    typer.Option(
        "--cap",
        metavar="N",
        min=0,
        show_default=False,
        help="Rows that an endpoint may be asked in this call; the same command goes on where it ended.",
    ),
]
Remember = Annotated[
    bool | None,
    typer.Option(
        "--remember/--no-remember",
        show_default=False,
        help="Whether equal rows are asked about once; endpoints found deterministic are, unless told otherwise.",
    ),
]
Trust = Annotated[
    str,
    typer.Option("--trust", metavar="FILE", help="Run this file's code to get at the model. Its digest is recorded."),
]
Batch = Annotated[
    int, typer.Option("--batch", metavar="N", min=1, help="Samples in memory at once. Changes no result.")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="Where the model runs.")]
New = Annotated[bool, typer.Option("--new", help="Begin a folder beside one that exists.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")]
MaxErrors = Annotated[
    str, typer.Option("--max-errors", metavar="SHARE", help="More samples without an answer: exit code 4.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
JsonLines = Annotated[bool, typer.Option("--jsonl", help="Print one JSON object for each sample and threat.")]
Quiet = Annotated[
    int,
    typer.Option(
        "-q", "--quiet", count=True, show_default=False, help="The result only; -qq nothing but the exit code."
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, show_default=False, help="Decisions too; -vv every batch, -vvv library logs."
    ),
]
Log = Annotated[str, typer.Option("--log", metavar="FILE", help="Write every event to this file, whatever -q says.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


def bounds_of(text: str) -> tuple[float, float] | None:
    """`0,1` -> (0.0, 1.0); nothing -> None.

    Raises:
        UsageError: HF805 where it is no pair of numbers in ascending order.
    """
    if not text:
        return None
    try:
        low, high = (float(fractions.Fraction(part.strip())) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise _no_bounds(text) from None
    if not low < high:
        raise _no_bounds(text)
    return low, high


def share_of(text: str) -> float:
    """`1%` or `0.01` -> 0.01.

    Raises:
        UsageError: HF805 where it is no share between 0 and 1.
    """
    number, percent, rest = text.strip().partition("%")
    with contextlib.suppress(ValueError):
        share = float(number) / (100 if percent else 1)
        if not rest and 0 <= share <= 1:
            return share
    raise UsageError(
        "HF805", "--max-errors must be a share", seen=repr(text), expected="1% or 0.01", fix="--max-errors 1%"
    )


def device_of(name: str) -> str:
    """The device, where it is one that audits run on.

    Raises:
        UsageError: HF806 for every other.
    """
    if name != "cpu":
        raise UsageError(
            "HF806", f"Runs on the device {name!r} are not possible yet", expected="cpu", fix="--device cpu"
        )
    return name


@contextlib.contextmanager
def log_file(path: str) -> Iterator[TextIO | None]:
    """The file of `--log`, appended to; None without one."""
    if not path:
        yield None
        return
    with contextlib.ExitStack() as stack:
        with writing(path):
            file = stack.enter_context(pathlib.Path(path).open("a", encoding="utf-8"))
        yield file


def library_logs(verbose: int) -> None:
    """With `-vvv`, what the libraries log goes to stderr."""
    if verbose >= 3:
        logging.basicConfig(level=logging.DEBUG)


def _no_bounds(text: str) -> UsageError:
    return UsageError(
        "HF805",
        "--bounds must be two numbers, the lower one first",
        seen=repr(text),
        expected="LOW,HIGH",
        fix="--bounds 0,1",
    )
