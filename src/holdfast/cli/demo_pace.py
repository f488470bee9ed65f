"""Progress of a demonstration: one line a step, and what is left of the whole by the share of the work that is done."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

from holdfast.cli.interrupt import announced
from holdfast.cli.progress import ASIDE, Lines, Plain, clock, live
from holdfast.core.progress import BatchDone, Event, Listener, Note, RunDone, RunStarted, StageDone


class Pace:
    """Turns the events of trainings and audits into those of one piece of work.

    Args:
        view: Where they are shown; None for nowhere.
        now: The clock, for tests.
    """

    def __init__(self, view: Lines | Plain | None, now: Callable[[], float] = time.monotonic):
        self.view, self.now = view, now
        self.spent, self.work, self.done = 0.0, {"": 1.0}, 0.0

    def plan(self, folder: str, samples: int, work: dict[str, float]) -> None:
        """What there is to do: each step with its share of the work, in any unit."""
        self.spent, self.work = 0.0, work
        self._show(RunStarted("demo", folder, samples, tuple(work)))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Listener]:
        """The listener of one step. While it lasts, the first Ctrl-C is answered by a line where it is caught."""
        step = _Step(self, name)
        yield announced(step, quiet=self.view is None)
        self.done, self.spent = self.done + self.work.get(name, 0.0), self.spent + self.now() - step.began
        if isinstance(self.view, Plain):
            words = [f"{name}: done in {clock(self.now() - step.began)}", live(step.last) if step.last else ""]
            self._show(Note("  ".join(w for w in words if w)))
        elif step.last is not None:
            self._show(dataclasses.replace(step.last, done=step.last.total, seconds=None))

    def left(self, name: str, share: float, inside: float) -> float | None:
        """Seconds left of the whole, once a twentieth of it is done.

        Only time inside steps counts: pictures that are drawn between them are drawn once.

        Args:
            name: Of the step.
            share: Of the step that is done.
            inside: Seconds of it so far.
        """
        whole, done = sum(self.work.values()), self.done + share * self.work.get(name, 0.0)
        if done < whole / 20:
            return None
        return (self.spent + inside) * (whole - done) / done

    def close(self) -> None:
        """Give the terminal back."""
        if self.view is not None:
            self.view.close()

    def _show(self, event: Event) -> None:
        if self.view is not None:
            self.view(event)


class _Step:
    """One step's listener: its stages are parts of one line."""

    def __init__(self, pace: Pace, name: str):
        self.pace, self.name, self.began = pace, name, pace.now()
        self.stages, self.finished = 1, 0
        self.last: BatchDone | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.stages = max(1, len(event.stages))
        elif isinstance(event, StageDone):
            self.finished += not event.stage.startswith(ASIDE)
        elif isinstance(event, BatchDone) and not event.stage.startswith(ASIDE):
            share, inside = self._share(event), self.pace.now() - self.began
            seconds = self.pace.left(self.name, share, inside)
            self.last = BatchDone(self.name, round(100 * share), 100, event.held, event.judged, seconds)
            self.pace._show(self.last)
        elif not isinstance(event, RunDone | BatchDone):
            self.pace._show(event)

    def _share(self, event: BatchDone) -> float:
        """Of the step that is done, by the time that it says is left; else by its stages, as if each took as long."""
        inside = self.pace.now() - self.began
        if event.seconds is not None and inside + event.seconds > 0:
            return inside / (inside + event.seconds)
        return min(1.0, (self.finished + event.done / max(1, event.total)) / self.stages)
