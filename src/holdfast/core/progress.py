"""What a long piece of work tells whoever listens: typed events through one callback, `on_event(event)`.

A callback that raises `holdfast.Stop` ends the work resumably after the running batch.
"""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class RunStarted:
    """The plan is fixed.

    Args:
        what: `audit`, `train`, ...
        folder: The run folder, empty if there is none.
        samples: Samples (or epochs) in the plan.
        stages: Names of the stages, in order.
        seconds: Estimate of the whole work in seconds, None where nothing was measured.
    """

    what: str
    folder: str
    samples: int
    stages: tuple[str, ...]
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class BatchDone:
    """A batch of a stage is committed.

    Args:
        stage: Name of the stage.
        done, total: Samples the stage has finished, and all it has to do.
        held, judged: Of the samples judged so far in the whole run, how many still stand.
        seconds: Estimate of what is left of the whole work in seconds, None where nothing was measured.
    """

    stage: str
    done: int
    total: int
    held: int
    judged: int
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class StageDone:
    """A stage has ended; `reused` samples came from an earlier run in the same folder."""

    stage: str
    total: int
    broken: int
    seconds: float
    reused: int = 0


@dataclasses.dataclass(frozen=True)
class Note:
    """Something a person should know: `text` is one line, `code` its stable code or empty."""

    text: str
    code: str = ""


@dataclasses.dataclass(frozen=True)
class RunDone:
    """The work has ended; `complete` is false after an interruption."""

    folder: str
    complete: bool
    seconds: float


Event = RunStarted | BatchDone | StageDone | Note | RunDone
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """A listener that does nothing."""
