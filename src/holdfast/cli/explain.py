"""`holdfast explain WHAT`: the page of an error code, an attack, or a word of the report; nothing is fetched."""

import inspect
import pathlib
import re
from typing import Annotated, Any

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import nearest
from holdfast.cli.terminal import clean, emit, table
from holdfast.core.errors import UsageError


def command(what: Annotated[str, typer.Argument(metavar="WHAT", help="HF104, Pgd, broken, psnr, ...")]) -> int:
    """Print the page of an error code (HF104), an attack (Pgd) or a word of the report (broken)."""
    emit(clean(page(what)))
    return ExitCode.PASSED


def page(what: str) -> str:
    """The text for a code, an attack's name or a word.

    Raises:
        UsageError: HF801 for a code that does not exist, HF807 for anything else unknown.
    """
    from holdfast.core import pages

    wanted = what.strip()
    if re.fullmatch(r"(?i)hf\d*", wanted):
        return pages.page(wanted).text.rstrip()
    key, known = _key(wanted), words()
    if key in known:
        return "\n\n".join(text for text in (known[key], other(key)) if text)
    names = attack_names()
    if key in names:
        return attack(names[key])
    found = other(key)
    if found:
        return found
    shown = sorted({*(text.partition("\n")[0].removeprefix("# ") for text in known.values()), *names.values()})
    raise UsageError(
        "HF807",
        f"There is no page about {what!r}",
        expected="an error code, an attack or a word of the report",
        fix=nearest(wanted, shown) or "holdfast list attacks, holdfast list codes",
    )


def words() -> dict[str, str]:
    """Every word of the report with its page, from `words.md`; a heading may name several, separated by commas."""
    text = pathlib.Path(__file__).with_name("words.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        for name in head.split(","):
            found[_key(name)] = f"# {name.strip()}\n\n{body.strip()}"
    return found


def attack_names() -> dict[str, str]:
    """Attack names without case and underscores -> the class name. Nothing is imported but the list of names."""
    import holdfast.attacks

    return {_key(name): name for name in holdfast.attacks.__all__ if name[0].isupper()}


def attack(name: str) -> str:
    """The page of an attack: paper, docstring, parameters with ranges and defaults."""
    import holdfast.attacks
    from holdfast.cli.catalog import norm_name
    from holdfast.core.params import parameters

    kind: Any = getattr(holdfast.attacks, name)
    paper = (inspect.getdoc(inspect.getmodule(kind)) or "").split("\n")[0]
    text = (inspect.getdoc(kind) or "").partition("\nArgs:")[0].rstrip()
    if not hasattr(kind, "norms"):
        return f"# {name}\n\n{paper}\n\n{text}"
    written = [*(norm_name(p) for p in kind.norms), *["tables"] * bool(kind.tables)]
    facts = f"needs {', '.join(sorted(kind.needs))}; norms {', '.join(written) or 'any'}"
    rows = [
        (p.name, str(getattr(p.kind, "__name__", p.kind)), str(p.range or ""), _default(p.default), p.meaning)
        for p in parameters(kind)
    ]
    return "\n".join(
        [
            f"# {name}",
            "",
            paper,
            "",
            text,
            "",
            facts,
            "",
            table(rows, ("parameter", "type", "range", "default", "meaning")),
        ]
    )


def other(key: str) -> str:
    """The page of what attacks and is no stage of a suite: its docstring, and what speaks for it; empty for none."""
    from holdfast.attacks.evidence import OTHERS
    from holdfast.cli.catalog import called, published

    plain = {name: name.partition("(")[0] for name in OTHERS}
    forms = {n: OTHERS[n] for n, short in plain.items() if key in (_key(short), _key(short.split(".")[-1]))}
    if not forms:
        return ""
    name = next(iter(forms))
    kind = called(name)
    text = (inspect.getdoc(kind) or "").partition("\nArgs:")[0].rstrip()
    told = [f"{found.kind}: {found.text} ({found.command})" for found in forms.values()]
    return "\n\n".join([f"# hf.{name.partition('(')[0]}", published(kind), text, *told])


def _default(value: object) -> str:
    return "" if "MISSING" in repr(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.strip().lower())
