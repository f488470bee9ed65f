"""A baseline: the three files of a run that a later run is compared with. They hold no inputs and can be committed."""

import contextlib
import dataclasses
import json
import pathlib
from typing import Literal

from holdfast.core.errors import HoldfastError, IntegrityError
from holdfast.core.files import sync_folder, write_atomic, writing
from holdfast.evaluation import comparable, manifest
from holdfast.evaluation.comparison import compare
from holdfast.evaluation.store import Folder

FILES = ("manifest.json", "samples.parquet", "summary.json")  # the summary last: without it nobody takes it for a run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Updated:
    """A baseline that was written.

    Args:
        folder, run: Where to, and from which run.
        model, fingerprint: What was attacked.
        size: Bytes.
        replaced: Whether a baseline stood there before.
        doubt: Why the run is not fit to be one, empty where it is.
        change: What changed against the baseline before, in one line.
    """

    schema: Literal["urn:holdfast:baseline:1"] = "urn:holdfast:baseline:1"
    folder: str
    run: str
    model: str
    fingerprint: str
    size: int
    replaced: bool
    doubt: str
    change: str

    def __str__(self) -> str:
        doubt = f" Written in spite of it: {self.doubt}." if self.doubt else ""
        return f"{self.folder}: baseline of {self.model} from {self.run}, {self.size:,} bytes.{doubt}\n{self.change}"


def update(run: Folder, out: pathlib.Path, force: bool = False) -> Updated:
    """Write the files of a run that later runs are held against.

    Everything is on the disk before the old files are touched; where the machine stops between them, the folder has no
    summary, every reader refuses it (HF408), and the same call mends it.

    Args:
        run: A run folder.
        out: The baseline's folder; a baseline that is there is replaced.
        force: Take a run that is incomplete, doubtful or without a sample too.

    Raises:
        IntegrityError: HF415 where the run is not fit to be a baseline; HF406 where `out` holds something else; HF408,
            HF414 where the files of the run are missing or do not belong together.
        ResourceError: HF5xx disk, permissions; the old baseline is then still there.
    """
    unfit = doubt(run)
    if unfit and not force:
        raise IntegrityError(
            "HF415",
            f"The run in '{run.path}' is not fit to be a baseline",
            seen=unfit,
            fix="run its command again, or --force",
        )
    _refuse_foreign(run, out)
    comparable.read(run)
    replaced, change = (out / "summary.json").is_file(), _change(run, out)
    contents = {name: (run.path / name).read_bytes() for name in FILES}
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    _replace(out, contents)
    summary = run.summary
    return Updated(
        folder=str(out),
        run=str(run.path),
        model=summary.model.name,
        fingerprint=summary.model.fingerprint,
        size=sum(map(len, contents.values())),
        replaced=replaced,
        doubt=unfit,
        change=change,
    )


def _replace(out: pathlib.Path, contents: dict[str, bytes]) -> None:
    """New files beside the old ones first, then the old summary away, then the new names, the summary's last."""
    staged = {name: out / f".{name}.new.tmp" for name in contents}
    try:
        for name, place in staged.items():
            write_atomic(place, contents[name])
        with writing(out):
            (out / "summary.json").unlink(missing_ok=True)
            for name, place in staged.items():
                place.replace(out / name)
            sync_folder(out)
    finally:
        for place in staged.values():
            with contextlib.suppress(OSError):
                place.unlink(missing_ok=True)


def doubt(run: Folder) -> str:
    """Why a run should not be what others are held against; empty where nothing speaks against it."""
    summary = run.summary
    if not summary.complete:
        return f"it is not complete: {summary.stopped}"
    if summary.data.chosen:
        return f"its samples are {summary.data.chosen}"
    if summary.verdict.state == "doubtful":
        return f"its verdict is doubtful:{summary.verdict.text.partition(' Doubtful:')[2].rstrip('.')}"
    return "no sample could be judged" if summary.verdict.state == "empty" else ""


def _refuse_foreign(run: Folder, out: pathlib.Path) -> None:
    """Refuse to write over a run or among files that are no baseline's."""
    seen = ""
    if out.resolve() == run.path.resolve():
        seen = "it is the run itself"
    elif (out / "journal.jsonl").exists() or (out / "parts").exists():
        seen = "it is a whole run, whose inputs would be lost"
    elif out.is_dir() and _others(out) and not _is_ours(out):
        seen = f"it holds {min(_others(out))}"
    elif out.exists() and not out.is_dir():
        seen = "it is a file"
    if seen:
        raise IntegrityError("HF406", f"'{out}' is not the folder of a baseline", seen=seen, fix="-o baseline")


def _others(out: pathlib.Path) -> list[str]:
    """What lies in the folder, without what an update that was killed has left."""
    return [p.name for p in out.iterdir() if not (p.name.startswith(".") and p.name.endswith(".tmp"))]


def _is_ours(out: pathlib.Path) -> bool:
    """Whether its manifest is that of a run; another program's file may have the same name."""
    try:
        found = json.loads((out / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == manifest.FORMAT


def _change(run: Folder, out: pathlib.Path) -> str:
    """The paired comparison with the baseline that is there, in one line."""
    if not (out / "summary.json").is_file():
        return "There was no baseline before."
    try:
        return f"Against the baseline before: {compare([Folder(out), run]).pairs[0].text}"
    except HoldfastError as error:
        return f"The baseline before cannot be compared with it: {error.line()}"
