"""The pages behind the error codes, one Markdown file each: `holdfast explain HF501` prints one."""

import dataclasses
import difflib
import importlib.resources

from holdfast.core.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Page:
    """What an error means, why it matters and how to fix it.

    Args:
        code: `HFnnn`.
        title: The heading without the code.
        text: The whole page, Markdown, heading included.
    """

    code: str
    title: str
    text: str


def codes() -> tuple[str, ...]:
    """Every code that has a page, ascending."""
    folder = importlib.resources.files("holdfast.core").joinpath("pages")
    return tuple(sorted(file.name[:-3] for file in folder.iterdir() if file.name.endswith(".md")))


def page(code: str) -> Page:
    """The page of a code, upper or lower case.

    Raises:
        UsageError: HF801 where there is no such code.
    """
    wanted, known = code.strip().upper(), codes()
    if wanted not in known:
        near = [code for code in known if code.startswith(wanted)][:3] or difflib.get_close_matches(wanted, known, n=3)
        raise UsageError(
            "HF801", f"There is no error code {code!r}", expected=", ".join(near) or f"{known[0]} to {known[-1]}"
        )
    text = importlib.resources.files("holdfast.core").joinpath("pages", f"{wanted}.md").read_text(encoding="utf-8")
    return Page(wanted, text.partition("\n")[0].removeprefix(f"# {wanted}").strip(), text)
