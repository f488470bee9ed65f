"""Where a verb's result goes: a file in the form of its ending, and the terminal as JSON, a sentence or a page."""

import pathlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from holdfast.cli.errors import nearest
from holdfast.cli.terminal import clean, emit, strong
from holdfast.core.errors import UsageError
from holdfast.core.files import write_atomic, writing

if TYPE_CHECKING:
    from holdfast.report.sheet import Sheet


def tell(found: Any, page: "Callable[[Any], Sheet]", as_json: bool, quiet: int) -> None:
    """Print a result: one JSON document, its sentence for `-q`, nothing for `-qq`, else its page."""
    if as_json:
        from holdfast.evaluation.document import to_json

        emit(to_json(found), end="")
    elif quiet < 2:
        from holdfast.report.sheet import text

        emit(clean(str(found)) if quiet else text(page(found)).rstrip())


def following(commands: Iterable[tuple[str, str]]) -> list[str]:
    """Lines under `Next`: commands, each with its reason."""
    return [strong("Next"), *(f"  {clean(words, '')}\n      {clean(why, '')}" for words, why in commands)]


def form_of(out: str, known: tuple[str, ...]) -> str:
    """The ending of a file that is to be written, empty where none is.

    Raises:
        UsageError: HF820 for an ending that is no form of page.
    """
    endings = [ending.lower() for ending in pathlib.Path(out).suffixes]
    double, form = "".join(endings[-2:]), endings[-1] if endings else ""
    form = double if double in known else form
    if out and form not in known:
        raise UsageError(
            "HF820",
            "This is no form of report",
            seen=pathlib.Path(out).name,
            expected="a file ending in " + ", ".join(known),
            fix=nearest(form, known) or f"-o page{known[0]}",
        )
    return form


def write(out: str, text: str) -> None:
    """Write a page, its folder too."""
    with writing(out):
        pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, text.encode("utf-8", "backslashreplace"))
