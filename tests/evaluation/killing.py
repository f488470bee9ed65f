"""A child that audits and dies at a chosen moment. It is forked, so that it need not import torch again."""

import contextlib
import functools
import json
import os
import pathlib
import random
import signal
import threading
import warnings
from collections.abc import Callable

import torch

from evaluation.world import data, model
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.evaluation import manifest
from holdfast.evaluation.audit import audit
from holdfast.evaluation.store import Folder

SAMPLES, GROUP = 18, 6
SUITE = (Pgd(steps=2), Pgd(steps=3))


def work(out: pathlib.Path, delay: float = 0.0, threat: tuple[str, ...] = ("linf:0.2", "l2:1")) -> Folder:
    """The audit of which every test here is a variation."""
    manifest.GROUP = GROUP
    return audit(model(delay)[0], data(SAMPLES), threat=threat, suite=SUITE, out=out)


def essence(folder: Folder) -> str:
    """What equal runs agree on, as text."""
    document = json.loads((folder.path / "summary.json").read_text())
    document["cost"].pop("seconds")
    document["masking"].pop("seconds")
    document.pop("provenance")
    for attack in (a for threat in document["threats"] for a in threat["attacks"]):
        attack.pop("seconds")
    shown = folder.examples
    arrays = [getattr(shown, n).tobytes().hex() for n in ("sample", "kind", "clean", "adversarial")] if shown else None
    return json.dumps([document, folder.samples.to_pylist(), arrays])


def in_child(body: Callable[[], None], meanwhile: Callable[[int, threading.Event], None] | None = None) -> int:
    """Run `body` in a forked child; how it ended: minus the signal, or the exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads at a fork; the child needs none
        child = os.fork()
    if child == 0:
        code = 70
        try:
            torch.set_num_threads(1)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            body()
            code = 0
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    ended = threading.Event()
    other = threading.Thread(target=meanwhile or (lambda pid, event: None), args=(child, ended))
    other.start()
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its number stays taken until nobody sends signals any more
    ended.set()
    other.join()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying_at(name: str, count: int) -> Callable[[], None]:
    """Before the `count`-th call of a function of `os` the process kills itself; a write is torn first."""

    def install() -> None:
        real, left = getattr(os, name), [count]

        def counted(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                if name == "write":
                    with contextlib.suppress(TypeError):
                        real(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(os, name, counted)

    return install


CALLS = ("write", "fsync", "replace")


def calls(body: Callable[[], None], tmp: pathlib.Path) -> dict[str, int]:
    """How often each of the calls happens in an audit that nobody kills."""
    tally = tmp / "tally"

    def counting() -> None:
        counts = dict.fromkeys(CALLS, 0)

        def counted(name, real, *args, **kwargs):
            counts[name] += 1
            return real(*args, **kwargs)

        for name in CALLS:
            setattr(os, name, functools.partial(counted, name, getattr(os, name)))
        body()
        tally.write_text(json.dumps(counts))

    if in_child(counting) != 0:
        raise AssertionError("the audit that was to be counted failed")
    return json.loads(tally.read_text())


def later(number: int, seconds: float, again: float | None = None) -> Callable[[int, threading.Event], None]:
    """Send a signal after some time, and once more after some more."""

    def send(pid: int, ended: threading.Event) -> None:
        for wait in (seconds, again):
            if wait is not None and not ended.wait(wait):
                os.kill(pid, number)

    return send


def points(seed: int, count: int, counts: dict[str, int]) -> list[tuple[str, int]]:
    """Seeded moments: inside a write, before a sync, between write and rename."""
    draw = random.Random(seed)
    return [(name, draw.randint(1, counts[name])) for name in (CALLS[i % len(CALLS)] for i in range(count))]
