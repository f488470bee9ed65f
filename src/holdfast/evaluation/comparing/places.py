"""Which folder belongs to which model: `models.json` beside the runs, so that the same call finds what is finished."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import pydantic

from holdfast.core.errors import IntegrityError
from holdfast.core.files import sha256, write_atomic, writing
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.evaluation.comparing.records import Access, ModelComparison
from holdfast.evaluation.document import adapter
from holdfast.evaluation.manifest import keys_of
from holdfast.evaluation.store import Folder
from holdfast.models.endpoint import endpoint, is_address
from holdfast.models.files import load_model
from holdfast.models.model import Model

FILE, COMPARISON, MANIFEST, LONGEST = "models.json", "comparison.json", "manifest.json", 60
ELSEWHERE = b"\x0a\x08location"  # how an .onnx file says in which other file numbers of it lie


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A model that is to be compared.

    Args:
        name: What the comparison calls it.
        content: A digest of the files it is opened from, empty where only opening it tells what it is.
        opened: Makes the Model.
    """

    name: str
    content: str
    opened: Callable[[], Model]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """A run folder of the comparison.

    Args:
        folder: Its name.
        content: Digest of the files that the model was opened from.
        fingerprint: Of the model.
        shows: The most that the model shows of itself.
        question: Digest of what its finished run was asked; empty where none is finished.
        summary: Digest of what that run wrote. Whoever asks it something else in its folder writes another one.
    """

    folder: str
    content: str
    fingerprint: str
    shows: Access
    question: str = ""
    summary: str = ""


class Places:
    """The run folders of a comparison.

    Args:
        path: Where they lie; made if it is not there.

    Raises:
        IntegrityError: HF417 for a folder with other files, HF418 where `models.json` cannot be read.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        self.kept = {each.folder: each for each in _read(path)}
        self._write()

    def finished(self, content: str, question: str) -> Kept | None:
        """The folder in which the model of these files has answered the question."""
        for each in self.kept.values():
            if content and each.content == content and self.answers(each, question):
                return each
        return None

    def answers(self, kept: Kept, question: str) -> bool:
        """Whether what lies in a folder is the finished answer to the question."""
        run = self.path / kept.folder
        return kept.question == question and done(run) and kept.summary == _written(run)

    def claimed(self, subject: Subject, fingerprint: str, shows: Access) -> Kept:
        """The folder of this model; a new one where it has none."""
        known = next((each for each in self.kept.values() if each.fingerprint == fingerprint), None)
        if known is not None:
            return self._keep(dataclasses.replace(known, content=subject.content, shows=shows))
        folder = self._free(subject.name)
        return self._keep(Kept(folder=folder, content=subject.content, fingerprint=fingerprint, shows=shows))

    def answered(self, kept: Kept, question: str) -> None:
        """Write down that the run of a folder is finished."""
        self._keep(
            dataclasses.replace(kept, question=question, summary=sha256(self.path / kept.folder / "summary.json"))
        )

    def earlier(self) -> ModelComparison | None:
        """What the last call wrote; None where there was none, or one of another version of holdfast."""
        with contextlib.suppress(OSError, pydantic.ValidationError):
            found: ModelComparison = adapter(ModelComparison).validate_json((self.path / COMPARISON).read_bytes())
            return found
        return None

    def refuse_other(self, data: Dataset) -> None:
        """Refuse data whose samples have the numbers of others that were judged here.

        Raises:
            IntegrityError: HF417.
        """
        ids = range(len(data)) if data.ids is None else data.ids.tolist()
        own = dict(zip(ids, keys_of(data.digests), strict=True))
        for each in self.kept.values():
            if not (self.path / each.folder / MANIFEST).is_file():
                continue
            known = Folder(self.path / each.folder).manifest.samples
            other = next((i for i, key in zip(known.ids, known.keys, strict=True) if own.get(i, key) != key), None)
            if other is not None:
                raise IntegrityError(
                    "HF417",
                    f"'{self.path}' holds a comparison on other data",
                    seen=f"another sample {other}",
                    fix="give a folder that is empty or does not exist",
                )

    def _free(self, name: str) -> str:
        stem = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:LONGEST] or "model"
        number, found = 1, stem
        while found in self.kept or (self.path / found).exists():
            number += 1
            found = f"{stem}-{number}"
        return found

    def _keep(self, kept: Kept) -> Kept:
        self.kept[kept.folder] = kept
        self._write()
        return kept

    def _write(self) -> None:
        values = adapter(tuple[Kept, ...]).dump_json(tuple(self.kept.values()), indent=1)
        write_atomic(self.path / FILE, values + b"\n")


def subjects(
    models: Sequence[Model | str | os.PathLike[str]],
    data: Dataset,
    seen: Callable[[Model], Model] = lambda model: model,
) -> list[Subject]:
    """Models, and files or addresses of models for these data, each with a name of its own.

    Args:
        models: What is given.
        data: Whose bounds or schema a file's inputs have.
        seen: What becomes of a model once it is open.
    """
    space = data.bounds if data.schema is None else data.space
    found: list[Subject] = []
    for model in models:
        text = model.name if isinstance(model, Model) else os.fspath(model)
        name, number = re.split(r"[/\\]+", text.rstrip("/\\"))[-1] or text, 1
        while any(each.name == name for each in found):
            number += 1
            name = f"{name.partition(' #')[0]} #{number}"
        file = "" if isinstance(model, Model) else content(pathlib.Path(text))
        found.append(Subject(name, file, functools.partial(_opened, model, text, space, seen)))
    return found


def _opened(model: Any, text: str, space: Any, seen: Callable[[Model], Model]) -> Model:
    if isinstance(model, Model):
        return seen(model)
    return seen(endpoint(text, space) if is_address(text) else load_model(text, bounds=space))


def content(path: pathlib.Path) -> str:
    """A digest of a model's files and the card beside them; empty for what is no file, or names others by itself."""
    if path.is_dir():
        return digest([[file.name, sha256(file)] for file in sorted(path.iterdir()) if file.is_file()])
    if not path.is_file() or (path.suffix == ".onnx" and ELSEWHERE in path.read_bytes()):
        return ""
    card = path.with_suffix(".card.json")
    return digest([sha256(path), sha256(card) if card.is_file() else ""])


def done(run: pathlib.Path) -> bool:
    """Whether a run is there and complete."""
    return (run / MANIFEST).is_file() and Folder(run).complete


def _written(run: pathlib.Path) -> str:
    return sha256(run / "summary.json")


def _read(path: pathlib.Path) -> tuple[Kept, ...]:
    file = path / FILE
    if not file.is_file():
        strange = sorted(p.name for p in path.iterdir() if p.name != "lock" and not p.name.startswith("."))
        if strange:
            raise IntegrityError(
                "HF417",
                f"'{path}' holds other files and is no comparison of models",
                seen=strange[0],
                fix="give a folder that is empty or does not exist",
            )
        return ()
    try:
        found: tuple[Kept, ...] = adapter(tuple[Kept, ...]).validate_json(file.read_bytes())
    except (pydantic.ValidationError, OSError) as error:
        raise _unread(file, type(error).__name__) from error
    outside = next((each.folder for each in found if not re.fullmatch(r"[A-Za-z0-9_-]+", each.folder)), None)
    if outside is not None:
        raise _unread(file, repr(outside))
    return found


def _unread(file: pathlib.Path, seen: str) -> IntegrityError:
    return IntegrityError("HF418", f"'{file}' cannot be read", seen=seen, fix="delete it, and give another folder")
