"""Stopping without losing: the first Ctrl-C, SIGTERM, Stop or a deadline lets the running part finish.

A second signal does not. An evaluation around another one hears of a signal together with it: the part that runs may be
the last of the inner one, after which the outer one would go on.
"""

import dataclasses
import signal
import threading
import types
from time import monotonic
from typing import Any

from holdfast.core.errors import Stop
from holdfast.core.progress import Event, Listener


@dataclasses.dataclass(frozen=True)
class Deadline:
    """When the clock stops a run.

    Args:
        moment: Of the monotonic clock.
        text: As it was given, `10m`.
    """

    moment: float
    text: str


class Interrupt:
    """While it is entered, remembers that somebody wants to stop; the handlers of before come back afterwards.

    Args:
        listener: Who is told of progress; a `Stop` it raises counts like Ctrl-C.
        deadline: When the clock stops the work; None for never.
    """

    def __init__(self, listener: Listener, deadline: Deadline | None = None):
        self.listener, self.deadline, self.reason, self.signaled = listener, deadline, "", False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            ENTERED.append(self)
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        ENTERED[:] = [one for one in ENTERED if one is not self]
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def tell(self, event: Event) -> None:
        """Pass an event on."""
        try:
            self.listener(event)
        except Stop:
            self.reason = self.reason or "stopped by the listener"

    def stops(self, begun: bool) -> bool:
        """Whether no further part may begin; the clock stops only what was `begun`, so every call comes further."""
        if begun and self.deadline is not None and monotonic() >= self.deadline.moment:
            self.reason = self.reason or f"stopped by clock after {self.deadline.text}"
        return bool(self.reason)

    def _caught(self, number: int, frame: types.FrameType | None) -> None:
        if self.signaled:
            raise KeyboardInterrupt
        for one in ENTERED:
            one.signaled = True
            one.reason = one.reason or ("interrupted" if number == signal.SIGINT else "terminated")


ENTERED: list[Interrupt] = []
"""Those that wait for signals now, the outermost first."""
