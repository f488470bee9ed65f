"""The folder of one defense: its facts, its trained model, its runs; whatever is there is not computed again.

facts.json                          what was measured
model.safetensors, .card.json       the trained network, or the members of the trained ensemble
training.json                       what training it cost
checkpoints/, begun.json            trainings that were interrupted, and what they cost so far
refused.txt                         why it could not be made
run/, other-threats/                audits
"""

import dataclasses
import pathlib
import re
import shutil
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pydantic
import torch

from holdfast.core.errors import IntegrityError, ModelError
from holdfast.core.files import write_atomic, writing
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.evaluation.defending.protocol import Base
from holdfast.evaluation.defending.records import Facts, Spent
from holdfast.evaluation.document import adapter, to_json
from holdfast.evaluation.store import Folder
from holdfast.models.card import Card
from holdfast.models.files import load_model, save_model
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint, settle

T = TypeVar("T")
LONGEST = 80  # letters of a folder's name


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one defense is kept.

    Args:
        path: The folder.
    """

    path: pathlib.Path

    @property
    def run(self) -> pathlib.Path:
        """Of the audit under the protocol's threat."""
        return self.path / "run"

    @property
    def others(self) -> pathlib.Path:
        """Of the audit under the other threats."""
        return self.path / "other-threats"

    @property
    def facts(self) -> Facts | None:
        """What was measured; None where nothing was yet.

        Raises:
            IntegrityError: HF418 where the file was changed so that it cannot be read.
        """
        return _read(self.path / "facts.json", Facts)

    @property
    def trained(self) -> Spent | None:
        """What the training of the kept model cost; None where none is kept."""
        return _read(self.path / "training.json", Spent) if self._weights.is_file() else None

    @property
    def checkpoints(self) -> pathlib.Path:
        """Of the trainings inside the learner."""
        return self.path / "checkpoints"

    @property
    def _begun(self) -> pathlib.Path:
        return self.path / "begun.json"

    @property
    def _weights(self) -> pathlib.Path:
        return self.path / "model.safetensors"

    def done(self, others: bool) -> bool:
        """Whether nothing is missing."""
        runs = (self.run, self.others) if others else (self.run,)
        return self.facts is not None and all(finished(run) for run in runs)

    @property
    def reason(self) -> str:
        """Why it could not be made; empty where nothing is known."""
        path = self.path / "refused.txt"
        return path.read_text(encoding="utf-8").strip() if path.is_file() else ""

    def refuse(self, reason: str) -> None:
        """Write down why it cannot be made."""
        self.make()
        write_atomic(self.path / "refused.txt", f"{reason}\n".encode())

    def allow(self) -> None:
        """Forget why it could not be made: it is tried again."""
        with writing(self.path):
            (self.path / "refused.txt").unlink(missing_ok=True)

    def write(self, facts: Facts) -> None:
        """Keep what was measured."""
        self.make()
        write_atomic(self.path / "facts.json", to_json(facts).encode())

    def make(self) -> None:
        """The folder, if it is not there."""
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def training(self, work: Callable[[], T]) -> tuple[T, Spent]:
        """What a training returns, and what it cost with the calls before that were interrupted.

        What a killed process spent is not known and not counted.
        """
        with writing(self.checkpoints):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        before = _read(self._begun, Spent) or Spent(seconds=0.0, processor_seconds=0.0)
        began, busy = time.perf_counter(), time.process_time()

        def spent() -> Spent:
            return Spent(
                seconds=before.seconds + time.perf_counter() - began,
                processor_seconds=before.processor_seconds + time.process_time() - busy,
            )

        try:
            found = work()
        except BaseException:
            write_atomic(self._begun, to_json(spent()).encode())
            raise
        return found, spent()

    def keep(self, model: Model, base: Base, train: Dataset, spent: Spent) -> Model | None:
        """Write a trained model, and return what reads back; the checkpoints of its trainings then go.

        None where it is neither a network nor an ensemble of networks that a card can name; the checkpoints stay.
        """
        self.make()
        card = Card(
            network=base.network,
            width=base.width or None,
            depth=base.depth or None,
            classes=train.n_classes,
            shape=tuple(train.x.shape[1:]),
            bounds=train.bounds if all(isinstance(end, int | float) for end in train.bounds) else None,
            class_names=train.classes,
            output="logits",
        )
        try:
            save_model(model, self._weights, card)
            found = self.model(train)
            shape, dtype = tuple(train.x.shape[1:]), train.x.dtype
            same = found is not None and fingerprint(found, shape, dtype) == fingerprint(model, shape, dtype)
        except ModelError:
            same, found = False, None
        if not same:
            with writing(self._weights):
                self._weights.unlink(missing_ok=True)
            return None
        write_atomic(self.path / "training.json", to_json(spent).encode())
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        self._begun.unlink(missing_ok=True)
        return found

    def model(self, data: Dataset) -> Model | None:
        """The kept model, settled; None where none is kept."""
        if not self._weights.is_file():
            return None
        space: Any = data.space if data.schema else data.bounds
        return settle(load_model(self._weights, bounds=space), data.x)


def name_of(text: str) -> str:
    """A defense as the name of a folder: `bit_depth(bits=4)` -> `bit_depth-bits-4`; two texts never share one."""
    found = text.replace("(", "-").replace(")", "").replace("=", "-").replace(", ", "-").replace("'", "")
    plain = re.sub(r"[^\w.+-]", "_", found, flags=re.ASCII)
    strange = plain != found or len(plain) > LONGEST or plain.startswith(".")
    return f"{plain.strip('.')[:LONGEST]}-{digest(text)[:8]}" if strange else plain


def finished(run: pathlib.Path) -> bool:
    """Whether a run is there and complete."""
    return (run / "manifest.json").is_file() and Folder(run).complete


def timed(work: Callable[[], T]) -> tuple[T, Spent]:
    """What it returns and what it cost."""
    began, busy = time.perf_counter(), time.process_time()
    found = work()
    return found, Spent(seconds=time.perf_counter() - began, processor_seconds=time.process_time() - busy)


def refused(model: Model, data: Dataset) -> int | None:
    """How many clean samples a model rejects; None where it rejects nothing ever."""
    if model.suspicion is None:
        return None
    with model.borrowed(), torch.no_grad():
        asked = [model.answer(x).suspicion for x in torch.split(data.x, 256)]
    return sum(int((found > 0).sum()) for found in asked if found is not None)


def _read(path: pathlib.Path, kind: Callable[..., T]) -> T | None:
    if not path.is_file():
        return None
    try:
        found: T = adapter(kind).validate_json(path.read_bytes())
    except (pydantic.ValidationError, OSError) as error:
        raise IntegrityError(
            "HF418", f"'{path}' cannot be read", seen=type(error).__name__, fix="delete it; it is measured again"
        ) from error
    return found
