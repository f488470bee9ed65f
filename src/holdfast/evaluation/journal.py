"""The journal of a run folder, `journal.jsonl`: one durable line a commit; what it does not name does not count.

Every line carries a digest of itself. A line that is torn or has another digest is ignored: its work is done again.
"""

import dataclasses
import json
import pathlib
import shlex
from collections.abc import Callable
from typing import Any

from holdfast.core.files import append_line, write_atomic
from holdfast.core.records import canonical, digest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """A process began to work on the folder: its circumstances, free to differ."""

    started: str
    command: str
    python: str
    torch: str
    numpy: str
    platform: str
    threads: int
    device: str
    batch: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Commit:
    """A part is complete on disk.

    Args:
        part: Name of its files without extension.
        question: What it answers: kind, threat, attack configuration, seed.
        files: File name -> SHA-256.
        rows: Samples in it.
        seconds: Time of the computation.
        forwards: Rows sent through the model.
        finished: When, UTC.
        asked, remembered: Rows that a model with a memory was really asked, and rows that its memory answered.
    """

    part: str
    question: dict[str, Any]
    files: dict[str, str]
    rows: int
    seconds: float
    forwards: int
    finished: str
    asked: int = 0
    remembered: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Remark:
    """Something that happened and changes no result: memory ran out, a part was damaged."""

    text: str
    at: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Journal:
    """The readable lines in order; `damaged` counts the others."""

    sessions: tuple[Session, ...]
    commits: tuple[Commit, ...]
    remarks: tuple[Remark, ...]
    damaged: int


KINDS: dict[str, type[Any]] = {"session": Session, "commit": Commit, "remark": Remark}


def append(path: pathlib.Path, entry: Session | Commit | Remark) -> None:
    """Write one line and wait until it is on the disk.

    Raises:
        ResourceError: Disk full or folder not writable.
    """
    values = {"event": type(entry).__name__.lower(), **dataclasses.asdict(entry)}
    append_line(path, canonical({**values, "line": digest(values)}))


def load(path: pathlib.Path) -> Journal:
    """Read what was committed; a missing file is an empty journal."""
    content = path.read_bytes() if path.exists() else b""
    *lines, torn = content.split(b"\n")
    entries = [_parse(line) for line in lines if line.strip()]
    return Journal(
        sessions=tuple(e for e in entries if isinstance(e, Session)),
        commits=tuple(e for e in entries if isinstance(e, Commit)),
        remarks=tuple(e for e in entries if isinstance(e, Remark)),
        damaged=sum(e is None for e in entries) + bool(torn),
    )


def keep(path: pathlib.Path, wanted: Callable[[Session | Commit | Remark], bool]) -> None:
    """Write the file anew, in one step, with the readable lines that are wanted.

    Raises:
        ResourceError: Disk full or folder not writable; the old content is then still there.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    kept = [line for line in lines if (entry := _parse(line)) is not None and wanted(entry)]
    write_atomic(path, b"".join(line + b"\n" for line in kept))


def _parse(line: bytes) -> Session | Commit | Remark | None:
    """One line, or None where it is not what was written."""
    try:
        values: dict[str, Any] = json.loads(line)
        stated = values.pop("line")
        if stated != digest(values):
            return None
        entry: Session | Commit | Remark = KINDS[values.pop("event")](**values)
        return entry
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def words_of(command: str) -> list[str]:
    """The words of a run's command; none where a shell could not read it."""
    try:
        return shlex.split(command)
    except ValueError:
        return []
