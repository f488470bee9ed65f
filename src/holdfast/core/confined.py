"""The child of `core.trial`, run as a script by an isolated interpreter: take limits, open files, say what is in them.

The request comes as JSON on standard input, the answer goes as one line of JSON to standard output, and is one of
`facts` (name, shape, dtype, bytes of each), `refused` (an error of holdfast), `ended` (memory, or an error that nobody
expected) and `broken` (it could not even begin).
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

FILES = 64
"""Files that may be open at once."""


def main() -> None:
    """Answer one request, and end without any farewell of the libraries."""
    request = json.loads(sys.stdin.buffer.read())
    channel = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what a library prints is no answer
    if hasattr(signal, "alarm"):
        signal.alarm(4 * request["seconds"] + 150)  # should the parent be gone
    line = json.dumps(_answer(request)).encode()
    while line:
        line = line[os.write(channel, line) :]
    os._exit(0)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        _search(request["folders"])
        function: Callable[[str], Iterable[tuple[Any, ...]]] = getattr(
            importlib.import_module(request["module"]), request["function"]
        )
        confine(request["memory"], request["seconds"])
    except Exception as error:
        return {"broken": f"{type(error).__name__}: {error}"[:200]}
    try:
        return {"facts": [fact for path in request["paths"] for fact in function(path)]}
    except MemoryError:
        return {"ended": "memory"}
    except Exception as error:
        code = getattr(error, "code", None)
        if isinstance(code, str):
            words = {key: _text(getattr(error, key, None)) for key in ("code", "what", "seen", "expected", "fix")}
            return {"refused": words}
        return {"ended": f"{type(error).__name__}: {error}"[:200]}


def _search(folders: list[str]) -> None:
    """Find packages where the parent does: after the standard library, before what is installed."""
    first = next((k for k, entry in enumerate(sys.path) if entry.endswith("-packages")), len(sys.path))
    sys.path[first:first] = [folder for folder in dict.fromkeys(folders) if folder not in sys.path[:first]]


def confine(memory: int, seconds: int) -> None:
    """Take limits that cannot be given back.

    Args:
        memory: Bytes beyond what the process has now, where the system tells how many that are (Linux).
        seconds: Processor time beyond what was used.
    """
    sys.dont_write_bytecode = True
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is all there is
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _lower(resource, resource.RLIMIT_CORE, 0)
    _lower(resource, resource.RLIMIT_FSIZE, 0)
    _lower(resource, resource.RLIMIT_NOFILE, FILES)
    _lower(resource, resource.RLIMIT_CPU, used + seconds, used + seconds + 2)
    if hasattr(resource, "RLIMIT_NPROC"):
        _lower(resource, resource.RLIMIT_NPROC, 0)
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        _lower(resource, resource.RLIMIT_AS, size + memory)
    elif hasattr(resource, "RLIMIT_AS"):
        with contextlib.suppress(ValueError, OSError):  # macOS has the name and no such limit
            _lower(resource, resource.RLIMIT_AS, (1 << 36) + memory)


def _lower(resource: types.ModuleType, kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, which somebody may have set lower already."""
    wanted = soft, soft if hard is None else hard
    now = resource.getrlimit(kind)
    resource.setrlimit(
        kind,
        tuple(want if old == resource.RLIM_INFINITY else min(want, old) for want, old in zip(wanted, now, strict=True)),
    )


def _text(value: Any) -> str | None:
    return None if value is None or type(value) is object else str(value)[:300]  # UNSET is a bare object


if __name__ == "__main__":
    main()
