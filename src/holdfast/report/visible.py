"""Foreign text made harmless to look at: nothing invisible, nothing that reorders a line, nothing endless.

Class, feature and file names come from strangers. Here control characters, direction overrides and zero-width
characters become visible escapes; each view then quotes for its own language (HTML, Markdown, CSV, terminal).
"""

import dataclasses
import pathlib
import re
import unicodedata
from typing import Any, TypeVar

from markupsafe import Markup

T = TypeVar("T")

LONGEST = 2_000
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_MARKS = 3


def visible(text: str, limit: int = LONGEST) -> str:
    r"""The text on one line, everything hidden written out: null becomes `\x00`, a right-to-left override `\u202e`.

    Args:
        text: Any string.
        limit: Longest result in characters; what is cut off is said.
    """
    found: list[str] = []
    marks = 0
    for sign in text[: limit + 1]:
        kind = unicodedata.category(sign)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if kind in _HIDDEN:
            found.append(sign.encode("unicode_escape").decode("ascii"))
        elif marks <= _MARKS:
            found.append(sign)
    return short("".join(found), limit) if len(text) <= limit else short("".join(found), limit - 1) + "…"


def short(text: str, limit: int) -> str:
    """The text itself, or its beginning with an ellipsis so that it has at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def homeless(text: str) -> str:
    """The text with the path of the home folder written as `~`, so that reports do not carry a user's name."""
    home = str(pathlib.Path.home())
    return re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text


def cleaned(value: T) -> T:
    """The same record with every text in it visible and without home folders; numbers stay as they are."""
    return _walk(value)  # type: ignore[no-any-return]


def _walk(value: Any) -> Any:
    if isinstance(value, Markup):  # a picture of our own, whose texts were cleaned before it was drawn
        return value
    if isinstance(value, str):
        return visible(homeless(value))
    if isinstance(value, tuple | list):
        return type(value)(_walk(part) for part in value)
    if isinstance(value, dict):
        return {_walk(key): _walk(part) for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{f.name: _walk(getattr(value, f.name)) for f in dataclasses.fields(value)})
    return value
