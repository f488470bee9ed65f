"""`holdfast replay RUN SAMPLE`: repeat the search that broke a sample and ask the model about the stored input."""

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.subject import load_both, remembered
from holdfast.cli.terminal import clean, emit, table

if TYPE_CHECKING:
    from holdfast.evaluation.replay import Replayed

GIVEN = "The model, where it is not the one the run remembers."


def command(
    run: options.Run,
    sample: Annotated[int, typer.Argument(metavar="SAMPLE", help="A broken sample's number: holdfast show RUN.")],
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help=GIVEN)] = "",
    data: Annotated[str, typer.Argument(metavar="[DATA]", help="Its data, likewise.")] = "",
    threat: Annotated[str, typer.Option("--threat", metavar="THREAT", help="Under which threat.")] = "",
    split: options.Split = "",
    bounds: options.Bounds = "",
    schema: options.Schema = "",
    label: options.Label = "",
    threshold: options.Threshold = "",
    trust: options.Trust = "",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    debug: options.Debug = False,
) -> int:
    """Attack one SAMPLE of RUN again. Exit code 4 where the stored input does not break the model any more."""
    from holdfast.evaluation.replay import replay
    from holdfast.evaluation.store import Folder
    from holdfast.threats.literals import parse

    folder = Folder(run)
    words = remembered(folder, model, data, split, bounds, schema, label, threshold)
    subject, dataset = load_both(words, trust)
    found = replay(folder, sample, subject, dataset, parse(threat).literal if threat else None)
    if as_json:
        emit(json.dumps({"schema": "urn:holdfast:replay:1", **dataclasses.asdict(found)}))
    elif quiet < 2:
        emit(text(found, folder.summary.model.class_names))
    return ExitCode.PASSED if found.verified else ExitCode.UNTRUSTWORTHY


def text(found: "Replayed", names: tuple[str, ...]) -> str:
    """What was repeated and what came of it."""

    def name(label: int) -> str:
        return names[label] if 0 <= label < len(names) else str(label) if label >= 0 else "that it is suspicious"

    if found.identical:
        again = "found the stored input again, to the last bit"
    elif found.reproduced:
        again = f"broke the sample again, with an input that differs by at most {found.difference:.3g}"
    else:
        again = "did not break the sample again"
    config = json.loads(found.attack)
    alone = "alone" if found.company == 1 else f"in its batch of {found.company} samples"
    rows = [
        ("sample", f"{found.sample}, which is {name(found.label)}"),
        ("threat", found.threat),
        ("attack", ", ".join([config.pop("name"), *(f"{key}={value}" for key, value in config.items())])),
        (
            "stored input",
            f"{'breaks' if found.verified else 'DOES NOT BREAK'} the model, which says {name(found.decided)}",
        ),
        ("search", f"{again} ({alone})"),
    ]
    return clean(table(rows))
