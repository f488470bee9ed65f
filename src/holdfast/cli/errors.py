"""How a failure is told: one line, the right exit code, JSON under `--json`, a traceback only on demand."""

import contextlib
import io
import json
import os
import platform
import re
import tempfile
import time
import tokenize
import traceback
from collections.abc import Sequence
from typing import Any

from holdfast.cli.codes import ExitCode
from holdfast.cli.terminal import clean, emit, home, say
from holdfast.core.errors import UNSET, HoldfastError, MissingExtra, ParameterError, ThreatError, UsageError

SCHEMA = "urn:holdfast:error:1"
USAGE = (UsageError, ParameterError, ThreatError, MissingExtra)


class Interrupted(Exception):
    """Ctrl-C, carried past the parser, which would make a bare exit code of it."""


def exit_code(error: BaseException) -> ExitCode:
    """2 where the command or the set-up must change, 3 where the work could not be done, 130 after Ctrl-C."""
    if isinstance(error, KeyboardInterrupt | Interrupted):
        return ExitCode.INTERRUPTED
    return ExitCode.USAGE if isinstance(error, USAGE) else ExitCode.INCOMPLETE


def report(error: BaseException, words: Sequence[str]) -> ExitCode:
    """Tell about the error on stderr, and on stdout as JSON where the command asked for JSON."""
    code = exit_code(error)
    document = {"schema": SCHEMA, "exit": int(code)}
    if isinstance(error, HoldfastError):
        line = error.line()
        document |= {
            "error": line,
            "code": error.code,
            "kind": type(error).__name__,
            "what": error.what,
            "seen": _plain(error.seen),
            "expected": _plain(error.expected),
            "fix": error.fix,
        }
        line += (
            ""
            if "holdfast explain" in line
            else f"{'' if line[-1] in '.?!' else '.'} More: holdfast explain {error.code}"
        )
    elif isinstance(error, KeyboardInterrupt | Interrupted):
        line = f"Interrupted. {error}" if str(error) else "Interrupted. resume: same command"
        document |= {"error": line, "code": "HF890", "kind": "KeyboardInterrupt", "fix": "run the same command again"}
    else:
        line, document = _crash(error, words, document)
    if "--debug" in words:
        traceback.print_exception(error)
    if not silenced(words):
        say(line)
    if asks_json(words):
        emit(json.dumps(document, ensure_ascii=True))
    return code


def asks_json(words: Sequence[str]) -> bool:
    """Whether the command line wants JSON; read from the words, because the options may be what is wrong."""
    return any(word in ("--json", "--jsonl") for word in _options(words))


def silenced(words: Sequence[str]) -> bool:
    """Whether the command line says `-qq`: nothing but the exit code."""
    return sum(len(word) - 1 if re.fullmatch("-q+", word) else word == "--quiet" for word in _options(words)) >= 2


def nearest(word: str, known: Sequence[str]) -> str:
    """`did you mean audit?` or an empty string."""
    import difflib

    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, n=2, cutoff=0.55)
    return f"did you mean {' or '.join(lower[f] for f in found)}?" if found else ""


def _options(words: Sequence[str]) -> Sequence[str]:
    return words[: list(words).index("--")] if "--" in words else words


def _plain(value: Any) -> Any:
    return None if value is UNSET else value if isinstance(value, str | int | float | bool | None) else str(value)


def _crash(error: BaseException, words: Sequence[str], document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Our own bug: a file with the traceback, values left out, that can be pasted into an issue."""
    name = type(error).__name__
    where = _write(crash_text(error, words[0] if words else ""))
    fix = f"send {home(where)} to the project" if where else "run the command again with --debug"
    line = f"HF899 holdfast made a mistake ({name}). Fix: {fix} (values and arguments are left out). --debug shows all."
    return line, document | {"error": line, "code": "HF899", "kind": name, "fix": fix}


def crash_text(error: BaseException, verb: str) -> str:
    """The traceback with every literal replaced, versions, and the verb without its arguments."""
    from holdfast import __version__

    lines = [
        f"holdfast {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"verb: {verb if re.fullmatch('[a-z-]+', verb) else '?'}",
        "",
    ]
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for each in reversed(chain):
        for frame in traceback.extract_tb(each.__traceback__):
            place = re.sub(r"^.*(?=site-packages|/holdfast/)", "", home(frame.filename))
            lines += [f"  {place}:{frame.lineno} {frame.name}", f"    {_without_literals(frame.line or '')}"]
        lines += [f"{type(each).__name__}: {_without_values(str(each))}", ""]
    return clean("\n".join(lines))


def _without_literals(line: str) -> str:
    """A source line with strings and numbers replaced."""
    out: list[str] = []
    end = 0
    with contextlib.suppress(tokenize.TokenError, IndentationError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(line).readline):
            if token.type in (tokenize.STRING, tokenize.NUMBER) or token.type == getattr(
                tokenize, "FSTRING_MIDDLE", -1
            ):
                out.append(line[end : token.start[1]] + "...")
                end = token.end[1]
        return "".join(out) + line[end:]
    return _without_values(line)


def _without_values(text: str) -> str:
    """A message with quoted text, paths and numbers replaced."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "'...'", text)
    text = re.sub(r"(?:[\w.~-]*/)+[\w.~-]+", "PATH", text)
    return re.sub(r"\b\d[\d.e+-]*", "N", text)[:500]


def _write(text: str) -> str:
    with contextlib.suppress(OSError):
        handle, path = tempfile.mkstemp(prefix=time.strftime("holdfast-crash-%Y%m%d-%H%M%S-"), suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        return path
    return ""
