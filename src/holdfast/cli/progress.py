"""Progress for people: a live line a stage on a terminal, a plain line every 30 seconds elsewhere, a log file.

The interval that narrows is the progress; it is a fixed-sample interval shown for information, and nothing stops by it.
"""

import dataclasses
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from holdfast.cli.terminal import clean, interactive, say
from holdfast.core.progress import BatchDone, Event, Note, RunDone, RunStarted, StageDone
from holdfast.evaluation.statistics import interval

if TYPE_CHECKING:
    from rich.progress import TaskID

# Work whose shares are not the rate of the run.
ASIDE = ("opening", "clean", "curve ", "noise control ", "transfer ", "masking ")
EVERY = 30.0
LINES = 200


def live(event: BatchDone) -> str:
    """`broken 41/124 → not broken 66.9 % [57.9, 75.1]`; nothing where no sample is judged yet."""
    if not event.judged or event.stage.startswith(ASIDE):
        return ""
    low, high = interval(event.held, event.judged)
    point = event.held / event.judged
    return (
        f"broken {event.judged - event.held}/{event.judged} → "
        f"not broken {100 * point:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    )


def left(seconds: float | None, share: float) -> str:
    """`2:10 left`; a range while less than a tenth is done, because a few batches tell little."""
    if seconds is None:
        return ""
    return f"{clock(seconds / 2)}–{clock(seconds * 2)} left" if share < 0.1 else f"{clock(seconds)} left"


def clock(seconds: float) -> str:
    """`0:07`, `2:10`, `1:02:10`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class Show:
    """The listener of a command: what it hears goes to stderr as the verbosity says, and to a log file in full.

    Args:
        verbosity: -2 and -1 nothing, 0 stages, 1 decisions too, 2 every batch.
        log: A file that receives every event, whatever the verbosity.
        now: The clock, for tests.
    """

    def __init__(self, verbosity: int = 0, log: TextIO | None = None, now: Callable[[], float] = time.monotonic):
        self.verbosity, self.log, self.now, self.start = verbosity, log, now, now()
        self.view: Plain | Lines | None = None
        if verbosity >= 0:
            self.view = Lines() if interactive() and verbosity < 2 else Plain(now, every_batch=verbosity >= 2)

    def __enter__(self) -> "Show":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.view is not None:
            self.view.close()

    def __call__(self, event: Event) -> None:
        if self.log is not None:
            self.log.write(f"{self.now() - self.start:10.3f}  {clean(describe(event))}\n")
            self.log.flush()
        if self.view is not None and not (isinstance(event, Note) and not event.code and self.verbosity < 1):
            self.view(event)


def describe(event: Event) -> str:
    """An event as one line of a log."""
    if isinstance(event, Note):
        return f"note {event.code} {event.text}"
    facts = ", ".join(f"{f.name}={getattr(event, f.name)!r}" for f in dataclasses.fields(event))
    return f"{type(event).__name__}({facts})"


def begun(event: RunStarted) -> str:
    """The first line of a run: what, how much, where, how long."""
    plural = "s" if len(event.stages) != 1 else ""
    where = f" → {event.folder}" if event.folder else ""
    known = event.seconds is not None and event.seconds >= 10  # below that, overhead is larger than the estimate
    time_left = f", up to {clock(event.seconds or 0)}" if known else ""
    return f"{event.what}: {event.samples} samples, {len(event.stages)} stage{plural}{where}{time_left}"


def ended(event: StageDone) -> str:
    """The last line of a stage."""
    reused = f", {event.reused} from an earlier run" if event.reused else ""
    return f"{event.stage}: broke {event.broken} of {event.total} in {clock(event.seconds)}{reused}"


class Plain:
    """Plain lines: at the end of each stage and every 30 seconds between, at most 200 in a run.

    The time between lines doubles after every 40 of them, so that a run of days stays readable too.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, every_batch: bool = False, write: Callable[[str], None] = say
    ):
        self.now, self.every_batch, self.write = now, every_batch, write
        self.last, self.count, self.timed = now(), 0, 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchDone):
            if self.every_batch:
                self.write(_batch(event))
            elif self.now() - self.last >= EVERY * 2 ** (self.timed // 40):
                self.timed += 1
                self._line(_batch(event))
        elif isinstance(event, RunStarted):
            self._line(begun(event))
        elif isinstance(event, StageDone):
            self._line(ended(event))
        elif isinstance(event, Note):
            self._line(f"{event.code} {event.text}".strip())

    def close(self) -> None:
        """Nothing is open."""

    def _line(self, text: str) -> None:
        self.last = self.now()
        self.count += 1
        if self.count < LINES - 10:  # the other ten are for what the command itself says
            self.write(text)
        elif self.count == LINES - 10:
            self.write("(no more progress lines; --log FILE receives all)")


def _batch(event: BatchDone) -> str:
    share = event.done / event.total if event.total else 1.0
    parts = (
        f"{event.stage}: {event.done}/{event.total} ({100 * share:.0f} %)",
        live(event),
        left(event.seconds, share),
    )
    return "  ".join(part for part in parts if part)


class Lines:
    """One live line a stage, on a terminal: name, bar, share, the rate with its interval, time left."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.console = console or Console(stderr=True, markup=False, highlight=False)
        plain: dict[str, Any] = {"markup": False, "highlighter": None}
        self.progress: Progress = Progress(
            TextColumn("{task.description}", **plain),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %", **plain),
            TextColumn("{task.fields[live]}", **plain),
            TextColumn("{task.fields[left]}", style="dim", **plain),
            console=self.console,
            refresh_per_second=5,
        )
        self.tasks: dict[str, TaskID] = {}
        self.width = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.console.print(clean(begun(event), ""), style="bold", soft_wrap=True)
            self.width = max(map(len, event.stages), default=0)
        elif isinstance(event, BatchDone):
            share = event.done / event.total if event.total else 1.0
            self.progress.update(
                self._task(event.stage, event.total),
                completed=event.done,
                total=event.total,
                live=live(event),
                left=left(event.seconds, share),
            )
        elif isinstance(event, StageDone):
            task = self._task(event.stage, event.total)
            self.progress.update(
                task, completed=event.total or 1, total=event.total or 1, live=ended(event).partition(": ")[2], left=""
            )
            self.progress.stop_task(task)
        elif isinstance(event, Note):
            self.progress.console.print(clean(f"{event.code} {event.text}".strip(), ""), style="yellow", soft_wrap=True)
        elif isinstance(event, RunDone):
            self.close()

    def close(self) -> None:
        """Give the terminal back: the cursor is shown again, the lines of the stages stay."""
        for name in [name for name in self.tasks if name.startswith(ASIDE)]:
            self.progress.remove_task(self.tasks.pop(name))
        self.progress.stop()

    def _task(self, stage: str, total: int) -> "TaskID":
        """The line of a stage. Work aside leaves no line behind."""
        for other in [name for name in self.tasks if name.startswith(ASIDE) and name != stage]:
            self.progress.remove_task(self.tasks.pop(other))
        if stage not in self.tasks:
            self.progress.start()
            name = clean(stage, "").ljust(self.width)
            self.tasks[stage] = self.progress.add_task(name, total=total or 1, live="", left="")
        return self.tasks[stage]
