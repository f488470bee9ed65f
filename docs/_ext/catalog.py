"""Pages written from the code at every build: attacks, Python names, command line, error codes."""

import contextlib
import dataclasses
import importlib
import inspect
import io
import math
import os
import pathlib
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

NORMS = {math.inf: "Linf", 2.0: "L2", 1.0: "L1", 0.0: "L0"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for them."""
    app.connect("config-inited", lambda app, config: write(pathlib.Path(app.confdir) / "generated"))
    return {"parallel_read_safe": True}


def write(folder: pathlib.Path) -> None:
    """Write every generated page; an unchanged page keeps its time, so that a second build is quick."""
    folder.mkdir(exist_ok=True)
    for name, page in {
        "attacks": attacks,
        "defenses": defenses,
        "python": python,
        "command-line": command_line,
        "codes": error_codes,
    }.items():
        text, path = page(), folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def attacks() -> str:
    """A table of all attacks, then each with its parameters."""
    import holdfast.attacks
    from holdfast.attacks.attack import Attack
    from holdfast.attacks.evidence import EVIDENCE, OTHERS

    found = {name: getattr(holdfast.attacks, name) for name in holdfast.attacks.__all__}
    kinds = {name: kind for name, kind in found.items() if inspect.isclass(kind) and issubclass(kind, Attack)}
    rows = []
    for name, kind in kinds.items():
        paper = (inspect.getmodule(kind).__doc__ or "").splitlines()[0]
        whole = isinstance(kind.norms, tuple)  # a wrapper has those of the attack inside
        norms = ", ".join(NORMS[p] for p in kind.norms) if whole else "as the attack inside"
        needs = ", ".join(sorted(kind.needs)) if isinstance(kind.needs, frozenset) else "as the attack inside"
        what = ("minimal" if kind.minimal else "bounded") if isinstance(kind.minimal, bool) else "as the attack inside"
        checked = EVIDENCE[name]
        evidence = f"{checked.kind}: {checked.text} (`{checked.command}`)"
        rows.append((f"[{name}](#{name.lower()})", what, needs, norms, evidence, cost(kind), paper))
    head = (
        "# Attacks\n\nA *bounded* attack fills the ball of the threat; a *minimal* one looks for the nearest success.\n"
        "*Needs* says what of the model it asks for: `module` gradients, `scores`, or `labels` alone.\n"
        "Cost is per sample. *Evidence* is what speaks for an attack beyond the laws that all keep: a second\n"
        "implementation that asks for the same points, another library run beside it (ours is the first number), or\n"
        "closed forms alone.\n\n"
    )
    others = [(f"`hf.{name}`", f"{e.kind}: {e.text} (`{e.command}`)") for name, e in OTHERS.items()]
    more = "\n## What is made once, asks two models, or follows nothing\n\n" + grid(("attack", "evidence"), others)
    table = grid(("attack", "kind", "needs", "norms", "evidence", "cost", "paper"), rows)
    return head + table + more + "\n" + "\n".join(configuration(name, kind) for name, kind in kinds.items())


def defenses() -> str:
    """A table of all defenses, then each with its parameters."""
    from holdfast.cli.catalog import defenses as listed
    from holdfast.defenses.evidence import EVIDENCE
    from holdfast.evaluation.defending.chain import catalog

    rows, kinds = listed(), catalog()
    for row in rows:
        name = kinds[row["name"]].__name__
        checked = EVIDENCE[name]
        row["evidence"] = f"{checked.kind}: {checked.text} (`{checked.command}`)"
        row["name"] = f"[{row['name']}](#{name.lower()})"
    head = (
        "# Defenses\n\nNamed as in a protocol of `holdfast compare-defenses`. A *stage* stands in front of a model, a\n"
        "*fitted* defense learns from clean data first, a *learner* trains a model. *Gradient* is what autograd\n"
        "through a stage is worth, and whether it draws random numbers. *Evidence* is what says that it is computed\n"
        "as published: a finding of its paper or its critics seen again (reproduced), another library run beside it\n"
        "(cross-checked), its formula or loop written out a second time, or closed forms only. What it is *worth* is\n"
        "another question, which `holdfast compare-defenses` asks.\n\n"
    )
    table = grid(tuple(rows[0]), [tuple(row.values()) for row in rows])
    return head + table + "\n" + "\n".join(configuration(kind.__name__, kind) for _, kind in sorted(kinds.items()))


def configuration(name: str, kind: type) -> str:
    """A section on one class: what it does, and its parameters as declared."""
    from holdfast.core.params import parameters

    meaning = inspect.getdoc(kind).partition("\nArgs:\n")[0].strip()
    rows = [(f"`{p.name}`", typed(p), default(p.default), p.meaning) for p in parameters(kind)]
    table = grid(("parameter", "value", "default", "meaning"), rows) if rows else "No parameters.\n"
    return f"## {name}\n\n{meaning}\n\n{table}"


def default(value: Any) -> str:
    """A default as code: a threat as its literal, another configuration without its own defaults."""
    if value is dataclasses.MISSING:
        return ""
    if dataclasses.is_dataclass(value) and not hasattr(value, "literal") and value == type(value)():
        return f"`{type(value).__name__}()`"
    return f"`{getattr(value, 'literal', value)!r}`"


def typed(parameter: Any) -> str:
    """`int in [1, inf]`, `bool`, `'ce' or 'dlr'`."""
    choices = " or ".join(map(repr, getattr(parameter.kind, "__args__", ())))
    kind = choices or getattr(parameter.kind, "__name__", str(parameter.kind))
    return f"{kind} in {parameter.range}" if parameter.range else kind


def cost(kind: type) -> str:
    """The line of a class docstring that begins with `Cost:`."""
    paragraphs = inspect.getdoc(kind).split("\n\n")
    found = [" ".join(p.removeprefix("Cost:").split()) for p in paragraphs if p.startswith("Cost:")]
    return found[0] if found else ""


def python() -> str:
    """Every public name of `holdfast`, with its signature and documentation."""
    import holdfast

    parts = ["# Python\n\n`import holdfast as hf` loads nothing heavy; each name is imported when it is first used.\n"]
    for name in holdfast.__all__:
        value = getattr(holdfast, name)
        text = inspect.getdoc(value) or ""
        if inspect.ismodule(value):
            inside = ", ".join(f"`{public}`" for public in getattr(value, "__all__", ()))
            parts.append(f"## {name}\n\n```text\n{text}\n```\n\n{inside}\n")
            continue
        signature = name
        with contextlib.suppress(ValueError, TypeError):
            signature = f"{name}{inspect.signature(value)}"
        parts.append(f"## {name}\n\n```text\n{signature}\n\n{text}\n```\n")
    return "\n".join(parts)


def command_line() -> str:
    """The help of every verb, as the program prints it."""
    main = importlib.import_module("holdfast.cli.main")
    parts = [f"# Command line\n\n```text\n{printed(main, ['--help'])}```\n"]
    parts += [f"## holdfast {verb}\n\n```text\n{printed(main, [verb, '--help'])}```\n" for verb in main.VERBS]
    return "\n".join(parts)


def printed(main: Any, words: list[str]) -> str:
    """What a command prints at 100 columns without color."""
    old = dict(os.environ)
    os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb")
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = main.main(words)
    finally:
        os.environ.clear()
        os.environ.update(old)
    if code:
        raise ExtensionError(f"holdfast {' '.join(words)} ends with exit code {code}")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def error_codes() -> str:
    """All pages of the error codes, one heading each."""
    from holdfast.core.pages import codes, page

    head = "# Error codes\n\nThe same pages as `holdfast explain CODE` prints.\n\n"
    return head + "\n".join(f"({code.lower()})=\n#{page(code).text.rstrip()}\n" for code in codes())


def grid(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)
