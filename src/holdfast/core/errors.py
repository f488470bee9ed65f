"""Everything holdfast raises on purpose.

HoldfastError
├── ParameterError   (ValueError)       HF0xx  a number or option outside its declared range
├── DataError        (ValueError)       HF1xx  arrays, labels, files of data
├── ModelError       (ValueError)       HF2xx  models, adapters, model files
├── ThreatError      (ValueError)       HF3xx  threats, goals, what an attack can serve
├── IntegrityError   (ValueError)       HF4xx  run folders: identity, digests, locks
├── ResourceError    (OSError)          HF5xx  disk, memory, permissions
├── OfflineError     (ConnectionError)  HF6xx  network use that was forbidden
├── MissingExtra     (ImportError)      HF7xx  an optional package that is not installed
└── UsageError       (ValueError)       HF8xx  the command line and configuration files

`Stop` is no error: raised from an `on_event` callback it ends a run resumably.
Every code has a page in `core/pages/HFnnn.md`, printed by `holdfast explain HFnnn`; codes are never used again.
"""

from collections.abc import Iterable
from typing import Any

UNSET: Any = object()
LONGEST = 4_000
"""Characters of a part of a message: it may quote a file."""
NAMED = 16
"""Names that a message lists."""


class HoldfastError(Exception):
    """One clear line: what happened, what was seen, what was expected, what to do.

    Args:
        code: Stable code, `HFnnn`.
        what: What happened, a sentence.
        seen: The value that came.
        expected: The value that was wanted.
        fix: A command or a line of code that helps.
    """

    def __init__(self, code: str, what: str, *, seen: Any = UNSET, expected: Any = UNSET, fix: str | None = None):
        self.code, self.what, self.seen, self.expected, self.fix = code, what, seen, expected, fix
        super().__init__(self.line())

    def line(self) -> str:
        """The message without a line break."""
        facts = [
            f"{word} {value}"
            for word, value in (("Seen", self.seen), ("expected", self.expected))
            if value is not UNSET
        ]
        text = ", ".join(facts)
        parts = [
            f"{self.code} {self.what.rstrip('.')}.",
            text and f"{text[:1].upper()}{text[1:]}.",
            self.fix and f"Fix: {self.fix}",
        ]
        return " ".join(_plain(" ".join(part.split())) for part in parts if part)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (
            type(self),
            self.code,
            self.what,
            self.seen is UNSET,
            self.seen is not UNSET and self.seen,
            self.expected is UNSET,
            self.expected is not UNSET and self.expected,
            self.fix,
        )


def some(names: Iterable[object]) -> str:
    """Names for a message, `a, b and 40 more`: the first of a long list."""
    every = [str(name) for name in names]
    if len(every) <= NAMED:
        return ", ".join(every)
    return f"{', '.join(every[:NAMED])} and {len(every) - NAMED} more"


def _plain(text: str) -> str:
    """Text that a terminal only shows: what it might act on, and what has no encoding, in escapes; never endless."""
    if text.isprintable() and len(text) <= LONGEST:
        return text
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown)


def _rebuild(
    kind: type[HoldfastError],
    code: str,
    what: str,
    no_seen: bool,
    seen: Any,
    no_expected: bool,
    expected: Any,
    fix: str | None,
) -> HoldfastError:
    return kind(code, what, seen=UNSET if no_seen else seen, expected=UNSET if no_expected else expected, fix=fix)


class ParameterError(HoldfastError, ValueError):
    """A parameter outside its declared range."""


class DataError(HoldfastError, ValueError):
    """Arrays, labels or data files that cannot be used as they are."""


class ModelError(HoldfastError, ValueError):
    """A model or model file that cannot be used as it is."""


class ThreatError(HoldfastError, ValueError):
    """A threat or goal that does not exist, or that an attack cannot serve."""


class IntegrityError(HoldfastError, ValueError):
    """A run folder that belongs to something else, or that was changed."""


class ResourceError(HoldfastError, OSError):
    """The machine refused: disk full, folder not writable, memory."""


class OfflineError(HoldfastError, ConnectionError):
    """Something wanted the network though it was forbidden."""


class MissingExtra(HoldfastError, ImportError):
    """An optional package is not installed."""


class UsageError(HoldfastError, ValueError):
    """The command line or a configuration file cannot be understood."""


class Stop(BaseException):
    """Raised from an `on_event` callback: finish the batch that runs, commit, stop resumably."""
