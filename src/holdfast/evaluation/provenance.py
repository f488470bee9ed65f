"""Where and how a run was made: versions, machine, times, and why a model may not be what it should be."""

import datetime
import platform

import numpy
import torch

from holdfast.data.dataset import Dataset
from holdfast.evaluation import journal
from holdfast.evaluation.finals import View
from holdfast.evaluation.journal import Session
from holdfast.evaluation.store import Store
from holdfast.evaluation.summary import Provenance
from holdfast.evaluation.work import Bench
from holdfast.models.model import Model
from holdfast.models.suspects import likely_causes, likely_labels


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def version() -> str:
    """Of holdfast."""
    import holdfast

    return holdfast.__version__


def begin(store: Store, command: str, batch: int, device: str) -> None:
    """Write into the journal that a process works on the folder."""
    session = Session(
        started=now(),
        command=command,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        platform=platform.platform(),
        threads=torch.get_num_threads(),
        device=device,
        batch=batch,
    )
    journal.append(store.folder / "journal.jsonl", session)
    store.parts.sessions.append(session)


def provenance(store: Store, seed: int, suite: str, precision: str) -> Provenance:
    """The document's section; what differs between the sessions of a run is told as a circumstance."""
    first, *more = store.parts.sessions
    changed = [
        f"{name} changed from {getattr(first, name)} to {getattr(s, name)}"
        for s in more
        for name in ("python", "torch", "numpy", "platform", "threads", "device", "batch")
        if getattr(s, name) != getattr(first, name)
    ]
    told = [f"batch {first.batch}", *([f"{len(more) + 1} sessions"] if more else []), *dict.fromkeys(changed)]
    told += dict.fromkeys(remark.text for remark in store.parts.remarks)
    return Provenance(
        command=store.parts.sessions[-1].command,
        seed=seed,
        suite=suite,
        started=first.started,
        finished=now(),
        python=first.python,
        torch=first.torch,
        numpy=first.numpy,
        platform=first.platform,
        threads=first.threads,
        device=first.device,
        precision=precision,
        circumstances=tuple(told),
    )


def causes(model: Model, data: Dataset) -> str:
    """Likely causes of a surprising accuracy, as the tail of a sentence."""
    found = likely_causes(model, data.x, data.y)
    return f"; likely causes: {'; '.join(found)}" if found else ""


def guessing(view: View, bench: Bench, high: float) -> str:
    """What labels are likely to be mixed up where a model is worse than guessing among all of its classes; else empty.

    Args:
        view: The clean answers.
        bench: The labels, by key.
        high: Clean accuracy at most.
    """
    rows, classes = view.clean(), bench.model.classes or 0
    answered = [key for key in view.keys if rows[key].status in ("right", "wrong")]
    y = bench.take(answered)[1]
    if not classes or high >= 1 / classes or len(set(y.tolist())) < classes:
        return ""
    found = likely_labels(torch.tensor([rows[key].predicted for key in answered]), y, classes)
    return f"The model is worse than guessing: {found[0]}" if found else ""
