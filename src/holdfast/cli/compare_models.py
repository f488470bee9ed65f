"""`holdfast compare-models MODEL MODEL ... DATA`: models of any library on the same rows, in one report."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options
from holdfast.cli.audit import Request, content_of, reproducing, table_of
from holdfast.cli.codes import ExitCode
from holdfast.cli.output import following, tell
from holdfast.cli.terminal import emit, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.data.dataset import Dataset
    from holdfast.evaluation.comparing.places import Subject
    from holdfast.evaluation.comparing.records import ModelComparison

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...", help="Model files of any library, folders, module:attribute, addresses of endpoints."
    ),
]
Out = Annotated[
    str, typer.Option("-o", "--out", metavar="FOLDER", help="Where all of it is kept; the same folder continues.")
]
Trusts = Annotated[
    list[str] | None,
    typer.Option(
        "--trust", metavar="FILE", help="Run this file's code to get at its model; may be given several times."
    ),
]


def command(
    models: Models,
    data: options.Data,
    threat: options.Threat = None,
    suite: options.Suite = "standard",
    seed: options.Seed = 0,
    out: Out = "",
    limit: options.Limit = 0,
    subset_seed: options.SubsetSeed = None,
    split: options.Split = "test",
    bounds: options.Bounds = "",
    schema: options.Schema = "",
    label: options.Label = "",
    show_rows: options.ShowRows = False,
    evade: options.Evade = "",
    threshold: options.Threshold = "",
    profile: options.Profile = "",
    trust: Trusts = None,
    batch: options.Batch = 256,
    device: options.Device = "cpu",
    max_errors: options.MaxErrors = "1%",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
    log: options.Log = "",
    debug: options.Debug = False,
) -> int:
    """Audit every MODEL on DATA and compare them row by row. The same command continues; finished models stay."""
    given = {name: value for name, value in locals().items() if name not in ("models", "device", "debug", "trust")}
    options.device_of(device)
    options.library_logs(verbose)
    asked = {**given, "threat": tuple(threat or ()), "max_errors": options.share_of(max_errors)}
    return run(Request(model="", **asked), dict(zip(names_of(models), models, strict=True)), tuple(trust or ()))


def run(request: Request, models: dict[str, str], trusted: tuple[str, ...]) -> int:
    """Carry a request out for every model, by its name, and print what came of it."""
    from holdfast.cli.interrupt import announced
    from holdfast.cli.progress import Show
    from holdfast.cli.subject import default_threat, load_data
    from holdfast.core.progress import Event, RunStarted
    from holdfast.evaluation.comparing.work import compare_models
    from holdfast.evaluation.evading import of_source
    from holdfast.report.models import screen, written

    table = (request.profile, request.schema, request.label, request.show_rows)
    whole = load_data(request.data, request.split, request.bounds, *table)
    dataset = of_source(whole, request.evade)
    threat = request.threat or (default_threat(dataset, request.profile),)
    request = dataclasses.replace(request, threat=threat, out=request.out or folder_of(request))

    def alone(name: str, run: str) -> str:
        """The audit of one model."""
        model = models[name]
        return reproducing(dataclasses.replace(request, model=model, out=run, trust=trust_of(model, trusted)))

    with options.log_file(request.log) as file, Show(-1 if request.quiet else request.verbose, file) as show:
        shown = announced(show, bool(request.quiet))

        def listen(event: Event) -> None:
            inner = isinstance(event, RunStarted) and event.what == "audit"
            (announced(lambda _: None, bool(request.quiet)) if inner else shown)(event)

        found = compare_models(
            [subject(name, model, trust_of(model, trusted), request, whole) for name, model in models.items()],
            dataset,
            threat=threat,
            out=request.out,
            suite=request.suite,
            seed=request.seed,
            batch=request.batch,
            limit=request.limit or None,
            subset_seed=request.subset_seed,
            on_event=listen,
            command=alone,
        )
    path = written(found)
    tell(found, screen, request.as_json, request.quiet)
    if not request.quiet:
        say(f"Page: {path}")
    if found.left and request.quiet < 2:
        say("resume: same command")
    elif not (request.quiet or request.as_json):
        emit("\n".join(["", *following(ahead(found, request, models, trusted))]))
    return code_of(found, request.max_errors)


def ahead(
    found: "ModelComparison", request: Request, models: dict[str, str], trusted: tuple[str, ...]
) -> "Iterator[tuple[str, str]]":
    """Commands to go on with, each with its reason."""
    table = {"schema": request.schema, "label": request.label, "threshold": request.threshold}
    for each in found.left_out[:1]:
        words = [word for name, value in table.items() if value for word in (f"--{name}", value)]
        yield shlex.join(["holdfast", "doctor", models[each.name], request.data, *words]), f"what {each.name} lacks"
    if not found.rows:
        return
    best = found.rows[0]
    yield f"holdfast show {shlex.quote(str(pathlib.Path(found.folder) / best.run))}", f"each sample of {best.name}"
    model = models.get(best.name, "")
    if len(found.threats) == 1 and model:
        more = {"threat": found.threats[0], "evade": request.evade, "profile": request.profile}
        more |= {**table, "bounds": request.bounds, "trust": trust_of(model, trusted)}
        words = [word for name, value in more.items() if value for word in (f"--{name}", value)]
        words += ["--show-rows"] if request.show_rows else []
        yield shlex.join(["holdfast", "harden", model, request.data, *words]), "make the best one withstand more"


def subject(name: str, model: str, trust: str, request: Request, whole: "Dataset") -> "Subject":
    """A model by its words on the command line, as it is asked about the whole data or in one direction."""
    from holdfast.cli.subject import load_model, space_of
    from holdfast.evaluation.comparing.places import Subject, content
    from holdfast.evaluation.evading import in_direction

    space = options.bounds_of(request.bounds) or space_of(whole)
    file = content(pathlib.Path(model))
    file = f"{file} {request.threshold}" if file and request.threshold else file

    cut = (request.threshold, whole.classes)
    return Subject(name, file, lambda: in_direction(load_model(model, trust, space, *cut), whole, request.evade))


def names_of(models: list[str]) -> list[str]:
    """What each model is called: the last part of its path or address, more of it where two would be called alike."""
    parts = [[part for part in re.split(r"[/\\]+", model) if part] or [model] for model in models]
    names = [each[-1] for each in parts]
    return [
        name if names.count(name) == 1 else "/".join(each[-2:]) if models.count(model) == 1 else model
        for name, each, model in zip(names, parts, models, strict=True)
    ]


def trust_of(model: str, trusted: tuple[str, ...]) -> str:
    """The file that is trusted for this model: itself, or any other one for `module:attribute`."""
    from holdfast.models.trust import is_name

    for each in trusted:
        with contextlib.suppress(OSError):
            if each == model or os.path.realpath(each) == os.path.realpath(model):
                return each
    stem = model.partition(":")[0].replace(".", "/")
    return next((each for each in trusted if is_name(model) and each.removesuffix(".py").endswith(stem)), "")


def folder_of(request: Request) -> str:
    """Where a comparison on these data lies unless it is said."""
    facts = (
        content_of(request.data),
        request.split,
        request.bounds,
        request.profile,
        request.evade,
        *table_of(request),
        *([request.threshold] if request.threshold else []),
    )
    mark = hashlib.blake2b("\0".join(facts).encode(), digest_size=4).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", pathlib.Path(request.data).stem).strip("-")[:32] or "data"
    return str(pathlib.Path("runs") / f"models-{stem}-{mark}")


def code_of(found: "ModelComparison", max_errors: float) -> ExitCode:
    """130 where work is left, 3 where a model was left out, 4 where the numbers of one are in doubt, else 0."""
    from holdfast.cli.result import exit_code
    from holdfast.evaluation.store import Folder

    if found.left:
        return ExitCode.INTERRUPTED
    if found.left_out:
        return ExitCode.INCOMPLETE
    folder = pathlib.Path(found.folder)
    return max((exit_code(Folder(folder / row.run).summary, max_errors) for row in found.rows), default=ExitCode.EMPTY)
