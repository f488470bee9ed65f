"""The parts of a run: what was computed for some samples, as Parquet rows and npz arrays."""

import dataclasses
import hashlib
import io
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.core.files import sha256, write_atomic
from holdfast.core.records import canonical, digest
from holdfast.evaluation import journal, rows
from holdfast.evaluation.journal import Commit
from holdfast.evaluation.rows import AnswerRow, CleanRow, ControlRow, DirectionRow, R, SearchRow, SlopeRow, TrialRow

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Question:
    """What a part answers, apart from its samples.

    Args:
        kind: clean, search, control, transfer, or one of the masking battery: answers, slopes, directions, trial.
        threat: Literal, empty for clean predictions.
        attack: Name and parameters of the attack, or what else the answer depends on.
        seed: Of the random draws.
    """

    kind: str
    threat: str
    attack: str
    seed: int

    @property
    def digest(self) -> str:
        """Short name: 32 hexadecimal characters."""
        return digest(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Took:
    """What a part took: seconds, rows sent through the model; and of a model with a memory, what it was asked."""

    seconds: float
    forwards: int
    asked: int = 0
    remembered: int = 0


KINDS: dict[str, Any] = {
    "clean": CleanRow,
    "search": SearchRow,
    "control": ControlRow,
    "transfer": ControlRow,
    "answers": AnswerRow,
    "slopes": SlopeRow,
    "directions": DirectionRow,
    "trial": TrialRow,
}


class Parts:
    """The committed parts of one folder, read when they are first asked for, each checked against its digest.

    Args:
        folder: The run folder.
        note: Called with a line of text when something committed is damaged and will be computed again.
    """

    def __init__(self, folder: pathlib.Path, note: Callable[[str], None] = lambda text: None):
        self.folder, self.note = folder, note
        self._journal = folder / "journal.jsonl"
        found = journal.load(self._journal)
        self.sessions, self.commits, self.remarks = list(found.sessions), list(found.commits), list(found.remarks)
        self._rows: dict[str, dict[str, Any]] = {}
        self._arrays: dict[str, dict[str, dict[str, Array]]] = {}
        self._good: dict[str, list[tuple[Commit, tuple[str, ...]]]] = {}
        self._failed: dict[str, set[str]] = {}
        self.damaged = found.damaged
        if found.damaged:
            note(f"{found.damaged} journal line(s) were damaged; what they named is computed again")

    def damage(self) -> tuple[str, ...]:
        """What is not as it was committed, a line each: the journal, and every file that it names; none is parsed."""
        told = [f"{self.damaged} line(s) of journal.jsonl are damaged"] if self.damaged else []
        if not self.commits:
            told.append("journal.jsonl names no part" if self._journal.is_file() else "journal.jsonl is missing")
        stated: dict[str, set[str]] = {}  # a part that was computed again is named twice, and the later file stands
        for commit in self.commits:
            for file, mark in commit.files.items():
                stated.setdefault(file, set()).add(mark)
        for file, marks in stated.items():
            path = self.folder / "parts" / file
            if not path.is_file():
                told.append(f"parts/{file} is missing")
            elif sha256(path) not in marks:
                told.append(f"parts/{file} was changed")
        return tuple(told)

    def mend(self) -> None:
        """Take out of the journal what does not hold, so that the folder is sound once it is computed again."""
        lost = [c for c in self.commits if any(self._sound(file, mark) is None for file, mark in c.files.items())]
        for commit in lost:
            self.note(f"part {commit.part} is missing or was changed; it is computed again")
        if lost or self.damaged:
            journal.keep(self._journal, lambda entry: entry not in lost)
            self.commits, self.damaged = [c for c in self.commits if c not in lost], 0

    def rows(self, question: Question, kind: type[R]) -> dict[str, R]:
        """Sample key -> its row; the first committed answer counts, one that is no error before one that is."""
        self._read(question, kind)
        return self._rows[question.digest]

    def failed(self, question: Question, kind: type[R]) -> set[str]:
        """Samples on which the model had failed when the folder was opened; told once, so that they are tried once."""
        self._read(question, kind)
        return self._failed.pop(question.digest, set())

    def arrays(self, question: Question, name: str) -> dict[str, Array]:
        """Sample key -> array of that name (`adversarial`, `strongest`), for the samples that have one."""
        self._read(question, None)
        return self._arrays[question.digest].get(name, {})

    def commits_of(self, question: Question) -> list[Commit]:
        """The sound commits that answer a question."""
        self._read(question, None)
        return [commit for commit, _ in self._good.get(question.digest, [])]

    def members(self, question: Question) -> list[tuple[str, ...]]:
        """The samples of each sound part that answers a question, in the part's order."""
        self._read(question, None)
        return [keys for _, keys in self._good[question.digest]]

    def questions(self) -> list[Question]:
        """Everything that was ever answered, each once."""
        return list(dict.fromkeys(Question(**commit.question) for commit in self.commits))

    def add(
        self,
        question: Question,
        kind: type[R],
        answers: Sequence[R],
        arrays: Mapping[str, Mapping[str, Array]],
        took: Took,
        now: str,
    ) -> Commit:
        """Write a part and commit it: files first, each in one step, then its line in the journal.

        Raises:
            ResourceError: Disk full or folder not writable; nothing that was committed is touched.
        """
        self._read(question, kind)
        again: bool = any(a.key in self._rows[question.digest] for a in answers)  # the part of before keeps its name
        keys = [a.key for a in answers]
        name = f"{question.kind}-{digest([question.digest, keys, *([now] if again else [])])}"
        files = {f"{name}.npz": _npz(arrays)} if any(arrays.values()) else {}
        files[f"{name}.parquet"] = _parquet(rows.table(kind, answers), question)
        for file, content in files.items():
            write_atomic(self.folder / "parts" / file, content)
        commit = Commit(
            part=name,
            question=dataclasses.asdict(question),
            rows=len(answers),
            seconds=took.seconds,
            forwards=took.forwards,
            asked=took.asked,
            remembered=took.remembered,
            finished=now,
            files={file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        )
        journal.append(self._journal, commit)
        self.commits.append(commit)
        self._keep(question, commit, answers, {n: dict(a) for n, a in arrays.items()})
        return commit

    def _read(self, question: Question, kind: type[Any] | None) -> None:
        """Read every part that answers the question, once."""
        if question.digest in self._rows:
            return
        kind = kind or KINDS[question.kind]
        self._rows[question.digest], self._arrays[question.digest], self._good[question.digest] = {}, {}, []
        for commit in [c for c in self.commits if c.question == dataclasses.asdict(question)]:
            contents = {file: self._sound(file, stated) for file, stated in commit.files.items()}
            if any(content is None for content in contents.values()):
                self.note(f"part {commit.part} is missing or was changed; it is computed again")
                continue
            answers = rows.records(kind, pq.read_table(io.BytesIO(contents[f"{commit.part}.parquet"] or b"")))
            self._keep(question, commit, answers, _unpack(contents.get(f"{commit.part}.npz")))
        known = self._rows[question.digest]
        self._failed[question.digest] = {key for key, row in known.items() if row.status == "error"}

    def _sound(self, file: str, stated: str) -> bytes | None:
        """The content of a file if it is what was committed."""
        path = self.folder / "parts" / file
        content = path.read_bytes() if path.is_file() else b""
        return content if hashlib.sha256(content).hexdigest() == stated else None

    def _keep(
        self, question: Question, commit: Commit, answers: Sequence[Any], arrays: Mapping[str, Mapping[str, Array]]
    ) -> None:
        """Remember an answer; a sample that has one already, other than an error, keeps it.

        A row of a batch would hold it all: arrays are copied.
        """
        known, store = self._rows[question.digest], self._arrays[question.digest]
        new = {a.key: a for a in answers if a.key not in known or _mends(a.status, known[a.key].status)}
        known.update(new)
        self._good[question.digest].append((commit, tuple(a.key for a in answers)))
        for name, values in arrays.items():
            store.setdefault(name, {}).update({key: value.copy() for key, value in values.items() if key in new})


def _mends(new: str, old: str) -> bool:
    """Whether an answer takes the place of another: an error is no claim about the model."""
    return old == "error" and new != "error"


def _parquet(found: pa.Table, question: Question) -> bytes:
    out = io.BytesIO()
    pq.write_table(
        found.replace_schema_metadata({"holdfast": canonical(dataclasses.asdict(question))}), out, compression="zstd"
    )
    return out.getvalue()


def _npz(arrays: Mapping[str, Mapping[str, Array]]) -> bytes:
    """For each name, the keys and the stacked arrays."""
    flat: dict[str, Array] = {}
    for name, values in arrays.items():
        if values:
            flat[f"{name}_keys"], flat[name] = np.array(list(values)), np.stack(list(values.values()))
    out = io.BytesIO()
    np.savez_compressed(out, **flat)  # type: ignore[arg-type]
    return out.getvalue()


def _unpack(content: bytes | None) -> dict[str, dict[str, Array]]:
    if content is None:
        return {}
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        names = [name for name in file.files if not name.endswith("_keys")]
        return {name: dict(zip(file[f"{name}_keys"].tolist(), file[name], strict=True)) for name in names}
