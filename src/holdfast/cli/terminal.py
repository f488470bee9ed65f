"""What reaches the terminal: the result on stdout, everything else on stderr, control characters nowhere."""

import os
import pathlib
import sys
import unicodedata
from collections.abc import Sequence

WIDEST = 60  # a longer cell runs over and pushes what follows in its own line alone
UNSAFE = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def clean(text: object, keep: str = "\n") -> str:
    r"""Text that can move no cursor, set no title and hide no letter: control and format characters become `\x1b`.

    Class names, feature names and file names come from strangers.
    """
    return "".join(c if c in keep or unicodedata.category(c) not in UNSAFE else _escaped(c) for c in str(text))


def emit(text: str, end: str = "\n") -> None:
    """Write a result to stdout. A reader that closed the pipe (`| head`) is no error and changes no exit code."""
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Write a line to stderr, where everything goes that is not the result."""
    print(clean(text), file=sys.stderr, flush=True)


def interactive() -> bool:
    """Whether stderr can redraw a line: a terminal, and nobody said that it is not one."""
    calm = os.environ.get("TERM") == "dumb" or os.environ.get("CI", "").lower() not in ("", "0", "false")
    return sys.stderr.isatty() and not calm


def colored() -> bool:
    """Whether stdout may carry color: NO_COLOR beats FORCE_COLOR beats a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


def strong(text: str) -> str:
    """Bold where stdout may carry it."""
    return f"\x1b[1m{text}\x1b[0m" if colored() else text


def home(path: object) -> str:
    """A path with the home folder written as `~`, so that output can be pasted into an issue."""
    text, own = str(path), str(pathlib.Path.home())
    return "~" + text[len(own) :] if own != "/" and (text == own or text.startswith(own + os.sep)) else text


def table(rows: Sequence[tuple[str, ...]], heads: tuple[str, ...] = ()) -> str:
    """Columns of equal width, two spaces apart; the last one is never filled up, none further than `WIDEST`."""
    lines = [tuple(clean(cell, "") for cell in row) for row in ([heads, *rows] if heads else rows)]
    if not lines:
        return ""
    widths = [min(max(len(line[i]) for line in lines), WIDEST) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _escaped(c: str) -> str:
    n = ord(c)
    return f"\\x{n:02x}" if n < 256 else f"\\u{n:04x}" if n < 65536 else f"\\U{n:08x}"
