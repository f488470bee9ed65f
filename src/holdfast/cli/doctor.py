"""`holdfast doctor [MODEL DATA]`: is this machine, this model, this data ready? To be pasted into an issue."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.subject import load_data, load_model, scalar, space_of
from holdfast.cli.terminal import clean, emit, home
from holdfast.core.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.data.dataset import Dataset
    from holdfast.models.model import Model

CORE = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "pyarrow",
    "safetensors",
    "pydantic",
    "typer",
    "rich",
    "jinja2",
    "pillow",
)
HIDDEN = ("dev", "docs")
FEW = 64


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        state: `ok`, `note` (fine, but know it) or `warn` (mend it; `--strict` exits with 3).
        fix: What to do.
    """

    name: str
    state: Literal["ok", "note", "warn"]
    seen: str
    fix: str = ""


def command(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="A model to try, as for audit.")] = "",
    data: Annotated[str, typer.Argument(metavar="[DATA]", help="Its data, as for audit.")] = "",
    bounds: options.Bounds = "",
    schema: options.Schema = "",
    label: options.Label = "",
    threshold: options.Threshold = "",
    split: options.Split = "test",
    trust: options.Trust = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 where something should be mended.")] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Look at versions, extras, memory, disk; with MODEL and DATA also at range and clean accuracy."""
    found = [*versions(), *extras(), *machine()]
    if model:
        found += subject(model, data, bounds, split, trust, schema, label, threshold)
    if as_json:
        emit(json.dumps([dataclasses.asdict(check) for check in found], indent=1))
    else:
        emit(text(found))
    return ExitCode.INCOMPLETE if strict and any(check.state == "warn" for check in found) else ExitCode.PASSED


def text(found: list[Check]) -> str:
    """A line a check, what to mend below it."""
    width = max(len(check.name) for check in found)
    mark = {"ok": "ok  ", "note": "note", "warn": "WARN"}
    lines = [
        line
        for check in found
        for line in (
            f"{mark[check.state]}  {check.name.ljust(width)}  {check.seen}",
            check.fix and f"{' ' * (8 + width)}{check.fix}",
        )
        if line
    ]
    bad = sum(check.state == "warn" for check in found)
    return clean("\n".join([*lines, "", f"{bad} thing{'s' if bad != 1 else ''} to mend" if bad else "ready"]))


def versions() -> list[Check]:
    """holdfast, Python and what it cannot do without; versions are read, nothing is imported."""
    from holdfast import __version__

    place = home(pathlib.Path(__file__).parents[1])
    found = [
        Check("holdfast", "ok", f"{__version__} in {place}"),
        Check("Python", "ok", f"{platform.python_version()}, {platform.platform()}"),
    ]
    missing = [name for name in CORE if not _version(name)]
    there = ", ".join(f"{name} {_version(name)}" for name in CORE if _version(name))
    found.append(Check("packages", "ok", there))
    if missing:
        found.append(
            Check(
                "packages",
                "warn",
                f"missing: {', '.join(missing)}",
                f"{sys.executable} -m pip install {' '.join(missing)}",
            )
        )
    return found


def extras() -> list[Check]:
    """Each optional extra: there, or the line that installs it."""
    wanted: dict[str, list[str]] = {}
    try:
        requirements = importlib.metadata.requires("holdfast") or []
    except importlib.metadata.PackageNotFoundError:
        return [
            Check(
                "extras", "note", "unknown: holdfast runs from its source folder", "pip install -e . makes them known"
            )
        ]
    for line in requirements:
        if mark := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
            wanted.setdefault(mark[1], []).append(re.split(r"[^\w.-]", line)[0])
    found = []
    for extra, packages in wanted.items():
        missing = [name for name in packages if not _version(name)]
        if extra not in HIDDEN:
            there = ", ".join(f"{name} {_version(name)}" for name in packages)
            found.append(
                Check(f"extra {extra}", "note", f'missing {", ".join(missing)}: pip install "holdfast[{extra}]"')
                if missing
                else Check(f"extra {extra}", "ok", there)
            )
    return found


def machine() -> list[Check]:
    """Processor, memory, disk, permission to write, data folder, clock."""
    return [_processor(), _memory(), _disk(), _data_folder(), _clock()]


def _processor() -> Check:
    import torch

    devices = ["cpu"] + [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check(
        "device", "ok", f"{', '.join(devices)}; {cores} cores, {torch.get_num_threads()} threads; audits run on cpu"
    )


def _memory() -> Check:
    lines = pathlib.Path("/proc/meminfo").read_text() if os.path.exists("/proc/meminfo") else ""
    free = re.search(r"MemAvailable:\s+(\d+)", lines)
    if not free:
        return Check("memory", "note", "unknown on this system")
    size = int(free[1]) / 2**20
    return Check("memory", "ok" if size >= 1 else "warn", f"{size:.1f} GiB free", "" if size >= 1 else "use --batch 32")


def _disk() -> Check:
    here = pathlib.Path.cwd()
    try:
        with tempfile.TemporaryFile(dir=here):
            pass
    except OSError as error:
        return Check(
            "disk", "warn", f"{home(here)} is not writable ({error.strerror})", "give a folder of yours with -o"
        )
    free = shutil.disk_usage(here).free / 2**30
    return Check(
        "disk",
        "ok" if free >= 1 else "warn",
        f"{home(here)} is writable, {free:.1f} GiB free",
        "" if free >= 1 else "free some space",
    )


def _data_folder() -> Check:
    folder = os.environ.get("HOLDFAST_DATA", "")
    if not folder:
        return Check("HOLDFAST_DATA", "note", "not set: built-in data only", "export HOLDFAST_DATA=/folder/of/data")
    if not pathlib.Path(folder).is_dir():
        return Check("HOLDFAST_DATA", "warn", f"{home(folder)} is no folder", "export HOLDFAST_DATA=/folder/of/data")
    from holdfast.data import names

    return Check("HOLDFAST_DATA", "ok", f"{home(folder)}: {', '.join(names())}")


def _clock() -> Check:
    year = time.gmtime().tm_year
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return Check(
        "clock", "ok" if year >= 2025 else "warn", now, "" if year >= 2025 else "set the clock: reports carry the date"
    )


def subject(
    model: str,
    data: str,
    bounds: str,
    split: str,
    trust: str,
    schema: str = "",
    label: str = "",
    threshold: str = "",
) -> list[Check]:
    """The model and the data: can they be read, does the range fit, does the model know its task."""
    if not data:
        return [Check("data", "warn", "not given", "holdfast doctor MODEL DATA")]
    try:
        dataset = load_data(data, split, bounds, schema=schema, label=label)
    except HoldfastError as error:
        return [Check("data", "warn", error.line(), f"holdfast explain {error.code}")]
    low, high = float(dataset.x.min()), float(dataset.x.max())
    declared = scalar(dataset.bounds) or "a range for each feature"
    seen = f"{dataset!r}, values in [{low:.4g}, {high:.4g}], declared {declared}"
    found = [Check("data", "ok", seen), *_range(low, high, scalar(dataset.bounds))]
    try:
        space = options.bounds_of(bounds) or space_of(dataset)
        asked = load_model(model, trust, space, threshold, dataset.classes)
        return found + _accuracy(asked, dataset)
    except HoldfastError as error:
        return [*found, Check("model", "warn", error.line(), f"holdfast explain {error.code}")]


def _range(low: float, high: float, limits: tuple[float, float] | None) -> list[Check]:
    """Whether the values look like what they are declared to be."""
    if limits is None:
        return []
    if high - low < 0.1 * (limits[1] - limits[0]):
        return [
            Check(
                "range",
                "warn",
                f"they fill {100 * (high - low) / (limits[1] - limits[0]):.2g} % of the declared range",
                "was the data divided by 255 twice? --bounds says another range",
            )
        ]
    if low < 0 and high <= 10 and limits[0] < 0:
        return [
            Check(
                "range",
                "warn",
                "negative values: the data look mean/std-normalized",
                "pass raw values and let the model normalize: mean and std in its card, or in wrap(net, ...)",
            )
        ]
    return [Check("range", "ok", "the values fill the declared range")]


def _accuracy(model: "Model", data: "Dataset") -> list[Check]:
    """Clean accuracy on a few samples, and what was noticed about the model on the way."""
    from holdfast.evaluation.statistics import rate
    from holdfast.models.settle import settle
    from holdfast.models.suspects import likely_causes

    part = data.sample(FEW, 0)
    settled = settle(model, part.x, part.n_classes)
    right = int((settled.predict(part.x) == part.y).sum())
    seen = rate(right, len(part), "samples")
    chance = 1 / max(settled.classes or 2, 2)
    verdict: Literal["ok", "warn"] = "warn" if seen.high < 0.5 or seen.low <= chance else "ok"
    notes = [Check("model", "note", note) for note in settled.notes]
    causes = likely_causes(settled, part.x, part.y)[:1] if verdict == "warn" else ()
    mend = causes or ("compare range, normalization, channel order and label numbers with your own code",)
    return [
        Check("model", "ok", f"{settled.name}, {settled.classes} classes, through {settled.adapter}"),
        *notes,
        Check(
            "clean accuracy",
            verdict,
            f"{seen} on {len(part)} samples",
            mend[0] if verdict == "warn" else "",
        ),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
