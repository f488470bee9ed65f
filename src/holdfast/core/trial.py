"""Foreign files are opened on trial first: by a child process with limits, which says in one line what it found.

A file can be made so that its parser crashes, never ends or takes all memory. That happens to the child then, and one
line says so; only what a child has opened whole is read here. It is a fuse and no sandbox: the child runs as the
same user, may read files, and its answer is believed only as far as the checks that follow.

What goes through a child, and what it costs (one core; a file is tried once in a process, until it changes):

    .pt state dicts, checkpoints     torch is imported again, 2 s; the file is read twice
    .keras numbers                   h5py is imported, 0.5 s; the file is read twice
    .npz, idx files                  0.05 s; the file is unpacked twice (47 MB: 0.7 s)
    CIFAR-10 batches                 0.15 s for each part; the batches are read twice (60,000 images: 3 s)
    .onnx, .skops, .json, .ubj,      their library is imported again, 1 to 3 s, and asked about a row; the file is read
    .txt, .cbm                       twice, and trees are walked
    folders of images, GTSRB         0.2 s for each part; the images are decoded twice (2,000 PNG of 64 x 64: 0.4 s)

Not tried: safetensors, whose parser is memory-safe, unpacks nothing and whose declared shapes are compared with the
card before a tensor is made; what this process wrote itself (`own`); what the user trusts as code, which does as it
likes anyway.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from holdfast.core.errors import UNSET, DataError, HoldfastError, ModelError, ResourceError

PROGRAM = pathlib.Path(__file__).with_name("confined.py")
START = 120.0
"""Seconds on the clock for the child to start and import; to them comes four times the processor time of opening."""

SPEED = 20 << 20
"""Bytes a second that any file is expected to be opened at: what sets the processor time."""

LONGEST = 32 << 20
"""Bytes of an answer; a longer one is none."""

REMEMBERED = 1024
KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")
"""All that the child sees of the environment."""

Mark = tuple[int, ...]
_seen: dict[tuple[str, tuple[Mark, ...]], tuple["Fact", ...]] = {}
_own: dict[Mark, None] = {}


@dataclasses.dataclass(frozen=True)
class Fact:
    """What the child saw of one array or image.

    Args:
        name: As the file calls it.
        shape: Its sizes.
        dtype: Its type, in the words of the library that reads it.
        size: Bytes when unpacked.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int


def look(
    opener: str, paths: Sequence[pathlib.Path], memory: int, seconds: int = 30, needs: Sequence[str] = ()
) -> tuple[Fact, ...]:
    """What is in files, as a child process with limits finds it; nothing of them is read here.

    On Linux the child may take `memory` more than it has after its imports; wherever `resource` is (not on Windows)
    it may use `seconds` and a second for each 20 MiB, write no file, open few and (unless it is root) start no process
    and no thread. The clock ends it everywhere. Cost: see the module.

    Args:
        opener: `module:function` of holdfast; the child imports the module, takes the limits, calls the function with
            each path. It returns facts, and refuses a file with a DataError or ModelError.
        paths: What one child opens, in this order.
        memory: Bytes.
        seconds: Processor time to open them, beside what their sizes add.
        needs: Packages that the module imports; the child finds them where this process does.

    Raises:
        DataError, ModelError: What the function raised in the child.
        ResourceError: HF505 the child ended without an answer (limit, crash), the files are not plain or changed
            meanwhile; HF506 no child can be started.
    """
    marks = [mark for path in paths if (mark := _mark(path)) is not None]
    known = (opener, tuple(marks))
    if len(marks) == len(paths):
        if known in _seen:
            return _seen[known]
        if all(mark in _own for mark in marks):
            return ()
    seconds += sum(mark[2] for mark in marks) // SPEED
    module, _, function = opener.partition(":")
    request = {
        "folders": [str(PROGRAM.parents[2]), *(folder for name in needs if (folder := _folder(name)))],
        "module": module,
        "function": function,
        "paths": [os.path.abspath(path) for path in paths],
        "memory": memory,
        "seconds": seconds,
    }
    what = f"'{paths[0].name}'" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    found = _understood(_answer(json.dumps(request).encode(), START + 4 * seconds, what, memory, seconds), what, memory)
    if marks != [mark for path in paths if (mark := _mark(path)) is not None]:
        raise _failed(what, "a file that changed while it was opened", "a file at rest", "try again")
    if len(marks) == len(paths):
        _remember(_seen, known, found)
    return found


def own(path: str | os.PathLike[str]) -> None:
    """Remember that this process wrote a file, so that reading it back needs no trial until it changes."""
    mark = _mark(pathlib.Path(path))
    if mark is not None:
        _remember(_own, mark, None)


def _remember(where: dict[Any, Any], key: Any, value: Any) -> None:
    where[key] = value
    while len(where) > REMEMBERED:
        del where[next(iter(where))]


def _mark(path: pathlib.Path) -> Mark | None:
    """What changes when a file does; None where there is no file."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(about.st_mode):
        raise _failed(f"'{path.name}'", "a pipe, a device or a folder", "a plain file", "copy its content to a file")
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


@functools.cache
def _folder(package: str) -> str:
    """Where this process finds a package, which may be a folder that an isolated interpreter does not search."""
    found = importlib.util.find_spec(package)
    return str(pathlib.Path(found.origin).parents[1]) if found is not None and found.origin else ""


def _answer(request: bytes, wait: float, what: str, memory: int, seconds: int) -> bytes:
    """The child's line. The child is gone when this returns or raises."""
    child, said = _started(), list[bytes]()
    thread = threading.Thread(target=_talk, args=(child, request, said), daemon=True)
    try:
        thread.start()
        thread.join(wait)
        late = thread.is_alive()
        if not late and len(said[0]) <= LONGEST:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
    except RuntimeError as error:  # no more threads
        raise _unstarted(str(error)) from error
    finally:
        _end(child)
        if thread.ident is not None:
            thread.join(5)
        if not thread.is_alive():
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
    if late:
        raise _failed(what, f"no end after {wait:g} s", "an answer within that time")
    if len(said[0]) > LONGEST:
        raise _failed(what, "an answer without end", f"at most {LONGEST} bytes")
    if child.returncode:
        raise _failed(what, _ending(child.returncode, seconds), f"an answer within {memory >> 20} MiB")
    return said[0]


def _started() -> subprocess.Popen[bytes]:
    if not sys.executable or getattr(sys, "frozen", False):
        raise _unstarted("this program brings no Python interpreter of its own")
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", str(PROGRAM)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.path.abspath(os.sep),
            env={**environment, **one_thread, "CUDA_VISIBLE_DEVICES": ""},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _unstarted(str(error)) from error


def _talk(child: subprocess.Popen[bytes], request: bytes, said: list[bytes]) -> None:
    """Hand over the request, take the answer up to its longest length: in a thread, so that nothing waits on it."""
    blocks, length = list[bytes](), 0
    if child.stdin is not None:
        with contextlib.suppress(OSError, ValueError):  # a child that does not listen may still have something to say
            rest = memoryview(request)
            while rest:
                rest = rest[child.stdin.write(rest) :]
            child.stdin.close()
    if child.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            while length <= LONGEST and (block := child.stdout.read(1 << 16)):
                blocks.append(block)
                length += len(block)
    said.append(b"".join(blocks))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child, and what it started, if it still runs."""
    if child.poll() is None:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
        child.wait()


def _ending(code: int, seconds: int) -> str:
    """How a child ended that did not end well."""
    if code > 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"more than {seconds} s of processor time" if name == "SIGXCPU" else f"killed by {name}"


def _understood(line: bytes, what: str, memory: int) -> tuple[Fact, ...]:
    """The facts of an answer, or the error it tells of."""
    try:
        told = json.loads(line)
        if "facts" in told:
            return tuple(Fact(_plain(n), tuple(map(int, s)), _plain(d), int(b)) for n, s, d, b in told["facts"])
        refused, broken, ended = (told.get(key) for key in ("refused", "broken", "ended"))
        error = None if refused is None else _again(refused)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as wrong:
        raise _failed(what, f"{len(line)} bytes that are no answer", "one line that says what it holds") from wrong
    if error is not None:
        raise error
    if broken is not None:
        raise _unstarted(_plain(broken))
    reason = f"more than {memory >> 20} MiB of memory" if ended == "memory" else _plain(ended)
    raise _failed(what, reason, f"an answer within {memory >> 20} MiB")


def _again(told: dict[str, Any]) -> HoldfastError:
    """The error that the child raised, in its own words made plain."""
    words = {key: _plain(told[key]) if told.get(key) is not None else UNSET for key in ("seen", "expected")}
    fix = _plain(told["fix"]) if told.get("fix") else None
    kind = {"HF1": DataError, "HF2": ModelError}[told["code"][:3]]
    return kind(_plain(told["code"]), _plain(told["what"]), seen=words["seen"], expected=words["expected"], fix=fix)


def _plain(value: Any) -> str:
    """Text of bounded length without control characters: it comes from a file that nobody trusts."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(value)[:300])


def _failed(what: str, seen: str, expected: str, fix: str = "") -> ResourceError:
    return ResourceError(
        "HF505",
        f"The trial of {what} failed, and nothing of it was read",
        seen=seen,
        expected=expected,
        fix=fix or "get a sound copy; weights are best kept as safetensors, which needs no trial",
    )


def _unstarted(why: str) -> ResourceError:
    return ResourceError(
        "HF506",
        "The process that tries foreign files first cannot be started",
        seen=why,
        expected="a Python interpreter beside this one",
        fix="allow one more process; or save the weights as safetensors, which needs none",
    )
