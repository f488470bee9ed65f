"""`holdfast audit MODEL DATA`: attack a model within a threat and measure what it withstands."""

import dataclasses
import hashlib
import json
import pathlib
import re
import shlex
import time
from typing import TYPE_CHECKING, Any

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.progress import Show
from holdfast.cli.terminal import clean, emit, say
from holdfast.core.errors import UsageError

if TYPE_CHECKING:
    from holdfast.data.dataset import Dataset
    from holdfast.models.model import Model

FORMATS = (".html", ".md", ".json", ".csv")
GIVEN = ("threat", "suite", "seed", "batch", "expect_accuracy", "subset_seed", "replay", "hardest_of", "new")
MAYBE = (
    "decide",
    "budget",
    "deadline",
    "limit",
)  # of the fields of a request that an audit takes, those empty for none


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

    model: str
    data: str
    threat: tuple[str, ...] = ()
    suite: str = "standard"
    seed: int = 0
    out: str = ""
    split: str = "test"
    limit: int = 0
    bounds: str = ""
    schema: str = ""
    label: str = ""
    show_rows: bool = False
    budget: str = ""
    decide: str = ""
    expect_accuracy: float | None = None
    transfer_to: tuple[str, ...] = ()
    trust: str = ""
    batch: int = 256
    new: bool = False
    dry_run: bool = False
    as_json: bool = False
    jsonl: bool = False
    max_errors: float = 0.01
    quiet: int = 0
    verbose: int = 0
    log: str = ""
    subset_seed: int | None = None
    seeds: int = 1
    replay: str | None = None
    hardest_of: str | None = None
    evade: str = ""
    profile: str = ""
    threshold: str = ""
    deadline: str = ""
    cap: int = 0
    remember: bool | None = None
    part: bool = False  # one of several audits: the result is not shown


def command(
    model: options.Model,
    data: options.Data,
    threat: options.Threat = None,
    suite: options.Suite = "standard",
    seed: options.Seed = 0,
    seeds: options.Seeds = 1,
    out: options.Out = "",
    limit: options.Limit = 0,
    subset_seed: options.SubsetSeed = None,
    split: options.Split = "test",
    bounds: options.Bounds = "",
    schema: options.Schema = "",
    label: options.Label = "",
    show_rows: options.ShowRows = False,
    budget: options.Budget = "",
    deadline: options.Deadline = "",
    decide: options.Decide = "",
    expect_accuracy: options.Expected = None,
    transfer_to: options.TransferTo = None,
    replay: options.Replay = None,
    hardest_of: options.HardestOf = None,
    evade: options.Evade = "",
    threshold: options.Threshold = "",
    profile: options.Profile = "",
    trust: options.Trust = "",
    cap: options.Cap = 0,
    remember: options.Remember = None,
    batch: options.Batch = 256,
    device: options.Device = "cpu",
    new: options.New = False,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
    jsonl: options.JsonLines = False,
    max_errors: options.MaxErrors = "1%",
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
    log: options.Log = "",
    debug: options.Debug = False,
) -> int:
    """Attack MODEL on DATA and measure what it withstands. The same command continues what was interrupted."""
    given = {name: value for name, value in locals().items() if name not in ("device", "debug")}
    options.device_of(device)
    options.library_logs(verbose)
    several = {"threat": tuple(threat or ()), "transfer_to": tuple(transfer_to or ())}
    return run(Request(**{**given, **several, "max_errors": options.share_of(max_errors)}))


def run(request: Request) -> int:
    """Carry a request out and print what came of it."""
    if request.seeds > 1:
        from holdfast.cli.seeds import repeated

        return repeated(request, run)
    began = time.monotonic()
    folder, limits = folder_of(request), options.bounds_of(request.bounds)

    from holdfast.cli import result
    from holdfast.cli.interrupt import announced
    from holdfast.cli.subject import default_threat, load_data, load_model, space_of
    from holdfast.evaluation.budget import deadline_of
    from holdfast.evaluation.decide import decided
    from holdfast.evaluation.evading import in_direction, of_source
    from holdfast.report.run import Run

    deadline_of(request.deadline or None, began)
    table = (request.profile, request.schema, request.label, request.show_rows)
    whole = load_data(request.data, request.split, request.bounds, *table)
    dataset = of_source(whole, request.evade)
    asked = (request.trust, limits or space_of(whole), request.threshold, whole.classes)
    own = load_model(request.model, *asked, cap=request.cap, remember=request.remember)
    model, *others = (
        in_direction(one, whole, request.evade) for one in (own, *(load_model(n, *asked) for n in request.transfer_to))
    )
    threat = request.threat or (default_threat(dataset, request.profile),)
    request = dataclasses.replace(request, threat=threat, out=str(folder))
    if request.dry_run:
        return show_plan(request, model, dataset)
    words = reproducing(request)
    given: dict[str, Any] = {name: getattr(request, name) for name in GIVEN}
    given |= {name: getattr(request, name) or None for name in MAYBE}
    with options.log_file(request.log) as log, Show(-1 if request.quiet else request.verbose, log) as show:
        ended = decided(
            model,
            dataset,
            began=began,
            out=folder,
            transfer_to=others or None,
            on_event=announced(show, quiet=request.quiet > 0),
            command=words,
            **given,
        )
    page = Run(ended).report(ended.path / "report.html")
    if not request.part:
        result.show(ended, request.as_json, request.jsonl, request.quiet, words, (str(page),))
    code = result.exit_code(ended.summary, request.max_errors)
    if (code == ExitCode.INTERRUPTED or not ended.summary.complete) and request.quiet < 2:
        say("resume: same command")
    return code


def show_plan(request: Request, model: "Model", dataset: "Dataset") -> int:
    """Print what the audit would do and cost; nothing is written."""
    from holdfast.evaluation.audit import plan
    from holdfast.evaluation.budget import affordable

    asked = {"threat": request.threat, "suite": request.suite, "batch": request.batch}
    limit = request.limit or None
    if request.budget:
        limit, fits = affordable(
            model, dataset, budget=request.budget, out=pathlib.Path(request.out), limit=limit, **asked
        )
        say(fits)
    if request.hardest_of:
        say(f"up to half of them are those that {request.hardest_of} held most narrowly; fewer than all go first")
    found = plan(model, dataset, limit=limit, replay=request.replay, **asked)  # type: ignore[arg-type]
    words = reproducing(request)
    if request.as_json or request.jsonl:
        stages = [
            {"stage": s.name, "samples": s.samples, "forwards": s.forwards, "seconds": s.seconds} for s in found.stages
        ]
        emit(
            json.dumps(
                {
                    "schema": "urn:holdfast:plan:1",
                    "command": words,
                    "folder": request.out,
                    "suite": found.suite,
                    "samples": found.samples,
                    "stages": stages,
                    "forwards": found.forwards,
                    "seconds": found.seconds,
                    "disk": found.disk,
                }
            )
        )
    elif request.quiet < 2:
        emit(clean("\n".join([*found.lines(), f"run folder {request.out} (not made: this is a dry run)", "", words])))
    return ExitCode.PASSED


def folder_of(request: Request) -> pathlib.Path:
    """The run folder: as given, or one that the same model and data always get.

    Raises:
        UsageError: HF805 for a name that looks like a report's.
    """
    if pathlib.Path(request.out).suffix in FORMATS:
        raise UsageError(
            "HF805",
            "-o of an audit is a folder",
            seen=request.out,
            expected="a folder",
            fix=f"-o runs/a, then: holdfast report runs/a -o {shlex.quote(request.out)}",
        )
    if request.out:
        return pathlib.Path(request.out)
    facts = [
        content_of(request.model),
        content_of(request.data),
        request.split,
        request.bounds,
        request.trust and content_of(request.trust),
        *table_of(request),
        *([request.threshold] if request.threshold else []),
    ]
    mark = hashlib.blake2b("\0".join(facts).encode(), digest_size=4).hexdigest()
    stem = "-".join(
        re.sub(r"[^A-Za-z0-9_]+", "-", pathlib.Path(name).stem).strip("-")[:32] or "x"
        for name in (request.model, request.data)
    )
    return pathlib.Path("runs") / f"{stem}-{mark}"


def table_of(request: Request) -> list[str]:
    """What is said of a table beside its rows, where something is."""
    return [content_of(request.schema), request.label] if request.schema or request.label else []


def content_of(name: str) -> str:
    """A file by its content, so that a retrained model gets a folder of its own; anything else by its name."""
    from holdfast.core.files import sha256

    path = pathlib.Path(name)
    if not path.is_file():
        return str(path.resolve()) if path.exists() else name
    card = path.with_suffix(".card.json")
    return sha256(path) + (sha256(card) if card.is_file() else "")


def reproducing(request: Request) -> str:
    """The command with its defaults filled in, to be pasted into a shell."""
    words = ["holdfast", "audit", request.model, request.data]
    for name in (
        "threat",
        "suite",
        "seed",
        "split",
        "bounds",
        "schema",
        "label",
        "limit",
        "subset_seed",
        "budget",
        "deadline",
        "decide",
        "expect_accuracy",
        "transfer_to",
        "replay",
        "hardest_of",
        "evade",
        "threshold",
        "profile",
        "trust",
        "cap",
        "out",
    ):
        value = getattr(request, name)
        for each in value if isinstance(value, tuple) else (value,):
            if each not in ("", None) and (name, each) not in (("limit", 0), ("cap", 0)):
                words += [f"--{name.replace('_', '-')}", str(each)]
    words += ["--show-rows"] if request.show_rows else []
    words += [] if request.remember is None else ["--remember" if request.remember else "--no-remember"]
    return shlex.join(words)
