"""A run folder: who may write into it (`opened`), and what anyone can read from it (`Folder`)."""

import contextlib
import dataclasses
import datetime
import functools
import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.core.errors import IntegrityError
from holdfast.core.files import Lock, writing
from holdfast.evaluation import journal, manifest, summary
from holdfast.evaluation.before import PLACE
from holdfast.evaluation.journal import Remark
from holdfast.evaluation.manifest import Manifest
from holdfast.evaluation.parts import Parts
from holdfast.evaluation.summary import Summary


class Store:
    """A folder this process may write into: its manifest and its parts."""

    def __init__(self, folder: pathlib.Path, found: Manifest, parts: Parts):
        self.folder, self.manifest, self.parts = folder, found, parts

    def outdated(self) -> None:
        """Take the summary away before something is added: a run that is killed now must not look finished."""
        with writing(self.folder):
            (self.folder / "summary.json").unlink(missing_ok=True)

    def remark(self, text: str) -> bool:
        """Write down once what happened; whether it is new."""
        if any(text == known.text for known in self.parts.remarks):
            return False
        entry = Remark(text=text, at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
        journal.append(self.folder / "journal.jsonl", entry)
        self.parts.remarks.append(entry)
        return True

    def grow(self, **fields: Any) -> None:
        """Replace fields of the manifest; written only when something changes."""
        grown = dataclasses.replace(self.manifest, **fields)
        if grown != self.manifest:
            manifest.write(self.folder / "manifest.json", grown)
            self.manifest = grown


@contextlib.contextmanager
def opened(folder: pathlib.Path, wanted: Manifest, new: bool, note: Callable[[str], None]) -> Iterator[Store]:
    """Lock the folder, make it or check that it belongs to the same model, and read its journal.

    Args:
        folder: Where; with `new` a sibling `folder-2`, `folder-3`, ... where it is taken.
        wanted: The manifest this run would start with.
        new: Begin a folder of its own.
        note: Told about damaged parts.

    Raises:
        IntegrityError: HF401 another process writes, HF402 another model, HF405 no manifest, HF406 not a run folder.
        ResourceError: The folder cannot be made or written.
    """
    folder = sibling(folder) if new else folder
    _refuse_foreign(folder)
    with writing(folder):
        (folder / "parts").mkdir(parents=True, exist_ok=True)
    with Lock(folder / "lock"):
        _sweep(folder)
        path = folder / "manifest.json"
        if path.exists():
            found = manifest.read(path)
            manifest.refuse_other(found, wanted, folder)
        else:
            found = wanted
            manifest.write(path, found)
        parts = Parts(folder, note)
        parts.mend()
        yield Store(folder, found, parts)


def sibling(folder: pathlib.Path) -> pathlib.Path:
    """The folder itself while it is free, else the first free one of `folder-2`, `folder-3`, ..."""
    found, number = folder, 2
    while found.exists() and any(found.iterdir()):
        found, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return found


def _refuse_foreign(folder: pathlib.Path) -> None:
    """Refuse to write among files that are no run's."""
    if folder.is_dir() and not (folder / "manifest.json").exists():
        foreign = [
            p.name for p in folder.iterdir() if p.name not in ("parts", "lock", PLACE) and not p.name.startswith(".")
        ]
        if foreign:
            raise IntegrityError(
                "HF406",
                f"'{folder}' holds other files and is no run folder",
                seen=foreign[0],
                fix="give a folder that is empty or does not exist",
            )
    elif folder.exists() and not folder.is_dir():
        raise IntegrityError("HF406", f"'{folder}' is a file, not a run folder", fix="give a folder with --out")


def _sweep(folder: pathlib.Path) -> None:
    """Remove what a killed process left half written; only files of our own naming, `.NAME.XXXXXXXX.tmp`."""
    for place in (folder, folder / "parts"):
        for left in place.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                left.unlink()


@dataclasses.dataclass(frozen=True)
class Examples:
    """Chosen inputs, a row each; `kind` is the status; `adversarial` the strongest point where nothing broke it."""

    sample: npt.NDArray[np.int64]
    threat: npt.NDArray[np.str_]
    kind: npt.NDArray[np.str_]
    clean: npt.NDArray[Any]
    adversarial: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.sample)


def encoded(samples: pa.Table) -> bytes:
    """The content of `samples.parquet`; the same table and version of pyarrow give the same bytes."""
    out = io.BytesIO()
    pq.write_table(samples, out, compression="zstd")
    return out.getvalue()


class Folder:
    """A run folder to read; no model is needed.

    Args:
        path: The folder.

    Raises:
        IntegrityError: HF407 where there is no run in it.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        if not (self.path / "manifest.json").is_file():
            several = (self.path / "seed-0" / "manifest.json").is_file()
            raise IntegrityError(
                "HF407",
                f"There is no run in '{self.path}'" + (", but one for each of several seeds" if several else ""),
                expected="a folder with a manifest.json",
                fix=f"give one of them: {self.path / 'seed-0'}"
                if several
                else "holdfast audit MODEL DATA --out FOLDER makes one",
            )

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    @functools.cached_property
    def manifest(self) -> Manifest:
        """Identity, samples and stages."""
        return manifest.read(self.path / "manifest.json")

    @functools.cached_property
    def summary(self) -> Summary:
        """The document; HF408 where the run was killed before it wrote one."""
        if not (self.path / "summary.json").is_file():
            raise IntegrityError(
                "HF408",
                f"The run in '{self.path}' has not ended",
                seen=f"{len(self.parts.commits)} committed part(s)",
                fix="run the same command again; it continues where it stopped",
            )
        return summary.read_file(self.path / "summary.json")

    @functools.cached_property
    def samples(self) -> pa.Table:
        """One row for each threat and sample."""
        with pq.ParquetFile(self.path / "samples.parquet") as file:  # read_table would load pandas
            return file.read()

    @functools.cached_property
    def examples(self) -> Examples | None:
        """Inputs to look at; None where the run keeps none (tables)."""
        path = self.path / "examples.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as file:
            return Examples(**{field.name: file[field.name] for field in dataclasses.fields(Examples)})

    @functools.cached_property
    def parts(self) -> Parts:
        """What was committed."""
        return Parts(self.path)

    @property
    def complete(self) -> bool:
        """Whether a summary stands here and everything asked for was done."""
        return (self.path / "summary.json").is_file() and self.summary.complete
