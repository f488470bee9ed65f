"""Stopping without losing: the first Ctrl-C, SIGTERM or Stop lets the running part finish, the second does not."""

import signal
import threading
import types
from typing import Any

from holdfast.core.errors import Stop
from holdfast.core.progress import Event, Listener


class Interrupt:
    """While it is entered, remembers that somebody wants to stop; the handlers of before come back afterwards.

    Args:
        listener: Who is told of progress; a `Stop` it raises counts like Ctrl-C.
    """

    def __init__(self, listener: Listener):
        self.listener, self.reason = listener, ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def tell(self, event: Event) -> None:
        """Pass an event on."""
        try:
            self.listener(event)
        except Stop:
            self.reason = self.reason or "stopped by the listener"

    def _caught(self, number: int, frame: types.FrameType | None) -> None:
        if self.reason:
            raise KeyboardInterrupt
        self.reason = "interrupted" if number == signal.SIGINT else "terminated"
