"""Ctrl-C, told: the evaluation finishes and commits what runs; a second one stops now. Here a person hears about it."""

import os
import signal
import threading
from types import FrameType

from holdfast.core.progress import Event, Listener, RunStarted

TEXT = "\nStopping as soon as the running batch is committed; nothing is lost. Ctrl-C again stops now.\n"


def announced(listener: Listener, quiet: bool = False) -> Listener:
    """A listener that, once the work has begun and taken over its signals, adds a line to the first of them.

    The work gives the signals back by itself when it ends.
    """

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted) and threading.current_thread() is threading.main_thread() and not quiet:
            for number in (signal.SIGINT, signal.SIGTERM):
                _chain(number)
        listener(event)

    return listen


def _chain(number: signal.Signals) -> None:
    before, told = signal.getsignal(number), [False]
    if not callable(before):
        return

    def handler(signum: int, frame: FrameType | None) -> None:
        if not told[0]:
            told[0] = True
            os.write(2, TEXT.encode())  # a handler may not touch buffered streams
        before(signum, frame)

    signal.signal(number, handler)
