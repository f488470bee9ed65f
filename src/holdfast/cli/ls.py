"""`holdfast ls`: the runs in a folder and how far they are. It only reads, so any second shell may ask."""

import dataclasses
import json
import pathlib
import time
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.options import Json
from holdfast.cli.terminal import emit, say, table
from holdfast.core.errors import IntegrityError
from holdfast.core.files import held

if TYPE_CHECKING:
    from holdfast.evaluation.summary import Summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A run folder.

    Args:
        state: `done`, `running` (its process is alive), `stopped` (a partial result) or `unfinished` (none yet).
        committed: Parts that count.
        last: Seconds since the last commit, None where there is none.
        verdict: The rate with its interval, or why there is none; empty while nothing stands.
    """

    run: str
    state: str
    samples: int
    threats: tuple[str, ...]
    committed: int
    last: float | None
    verdict: str


def command(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where the run folders are.")] = "runs",
    as_json: Json = False,
) -> int:
    """List the runs in FOLDER: state, samples, threats, last commit, verdict."""
    found = entries(pathlib.Path(folder))
    if as_json:
        emit(json.dumps([dataclasses.asdict(entry) for entry in found], indent=1))
        return ExitCode.PASSED
    if not found:
        say(f"There are no runs in {folder!r}. holdfast demo makes one.")
        return ExitCode.PASSED
    rows = [(e.run, e.state, str(e.samples), " ".join(e.threats), _ago(e.last), e.verdict) for e in found]
    emit(table(rows, ("run", "state", "samples", "threats", "last commit", "verdict")))
    return ExitCode.PASSED


def entries(folder: pathlib.Path) -> list[Entry]:
    """The folder itself where it is a run, else the runs right inside it, newest first."""
    places = [folder] if (folder / "manifest.json").is_file() else sorted(folder.glob("*/manifest.json"), key=_age)
    return [_entry(place if place.is_dir() else place.parent) for place in places]


def _entry(place: pathlib.Path) -> Entry:
    from holdfast.evaluation.store import Folder

    found = Folder(place)
    try:
        manifest = found.manifest
        commits = len(found.parts.commits)
        done = (place / "summary.json").is_file()
        summary = found.summary if done else None
    except IntegrityError as error:
        return Entry(
            run=str(place), state="damaged", samples=0, threats=(), committed=0, last=None, verdict=error.line()
        )
    journal = place / "journal.jsonl"
    last = time.time() - journal.stat().st_mtime if journal.is_file() else None
    state = (
        "running"
        if held(place / "lock")
        else "killed"
        if summary is None
        else "done"
        if summary.complete
        else "stopped"
    )
    return Entry(
        run=str(place),
        state=state,
        samples=len(manifest.samples.keys),
        threats=manifest.threats,
        committed=commits,
        last=last,
        verdict=_rate(summary) if summary is not None and state != "running" else "",
    )


def _rate(summary: "Summary") -> str:
    robust = summary.rates.empirical_robust_accuracy
    return summary.verdict.text if robust is None else f"not broken {robust}"


def _age(path: pathlib.Path) -> float:
    return -path.stat().st_mtime


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
