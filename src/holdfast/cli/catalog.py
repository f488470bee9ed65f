"""`holdfast list WHAT`: what there is, read from the classes and functions themselves."""

import dataclasses
import functools
import importlib
import inspect
import json
import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from holdfast.cli import codes as exit_codes
from holdfast.cli.errors import nearest
from holdfast.cli.options import Json
from holdfast.cli.terminal import emit, table
from holdfast.core.errors import HoldfastError, UsageError

Row = dict[str, Any]


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="attacks, others, defenses, threats, profiles, data, models, suites, networks, codes.",
        ),
    ] = "",
    as_json: Json = False,
) -> int:
    """List what there is: attacks, others, defenses, threats, profiles, data, models, suites, networks, codes."""
    if what not in LISTS:
        raise UsageError(
            "HF807",
            f"There is no list {what!r}" if what else "The name of a list is missing",
            expected=", ".join(LISTS),
            fix=nearest(what, list(LISTS)) or "holdfast list attacks",
        )
    rows = LISTS[what]()
    if as_json:
        emit(json.dumps(rows, indent=1))
    elif rows:
        emit(table([tuple(_cell(value) for value in row.values()) for row in rows], tuple(rows[0])))
    return exit_codes.ExitCode.PASSED


def attacks() -> list[Row]:
    """One row an attack, from its class: kind, what it needs of the model, norms, cost, paper."""
    import holdfast.attacks
    from holdfast.attacks.attack import Attack

    found = [(name, getattr(holdfast.attacks, name)) for name in sorted(holdfast.attacks.__all__)]
    return [
        _attack(name, kind)
        for name, kind in found
        if isinstance(kind, type) and issubclass(kind, Attack) and not inspect.isabstract(kind)
    ]


def others() -> list[Row]:
    """One row for each thing that breaks models and is no stage of a suite: made once, or without a search."""
    from holdfast.attacks.evidence import OTHERS

    return [
        {
            "name": name,
            "evidence": found.kind,
            "cost": cost(called(name)),
            "paper": published(called(name)),
        }
        for name, found in OTHERS.items()
    ]


def called(name: str) -> Any:
    """What `hf.name` is, a form of it in brackets left out."""
    import holdfast

    return functools.reduce(getattr, name.partition("(")[0].split("."), holdfast)


def published(kind: Any) -> str:
    """The paper that a module's first line names; of a function that only passes on, the module that does the work."""
    where = kind.__module__
    module = importlib.import_module(f"holdfast.evaluation.{kind.__name__}" if where == "holdfast.api" else where)
    return _paper(module.__doc__)


def defenses() -> list[Row]:
    """One row a defense, as it is named in text: family, kind, what its gradient is worth, evidence, paper."""
    from holdfast.defenses.evidence import EVIDENCE
    from holdfast.evaluation.defending.chain import catalog, kind_of

    return [
        {
            "name": name,
            "family": kind.__module__.split(".")[2],
            "kind": kind_of(kind),
            "gradient": gradient_of(kind),
            "evidence": EVIDENCE[kind.__name__].kind if kind.__name__ in EVIDENCE else "",
            "cost": cost(kind),
            "paper": _paper(importlib.import_module(kind.__module__).__doc__),
        }
        for name, kind in sorted(catalog().items())
    ]


def gradient_of(defense: Any) -> str:
    """`straight-through`, `exact random`: what a stage with its defaults declares; empty for other kinds."""
    from holdfast.models.stage import Stage

    if not issubclass(defense, Stage):
        return ""
    try:
        made = defense()
    except (TypeError, HoldfastError):  # it has a parameter without a default
        return "as configured"
    return f"{made.gradient} random" if made.random else str(made.gradient)


def threats() -> list[Row]:
    """One row a kind of threat: its literal, what it allows, its place in the taxonomies."""
    from holdfast.threats.literals import KINDS
    from holdfast.threats.tables.threat import Table
    from holdfast.threats.threats import Threat

    radius = {"linf": 8 / 255, "l2": 0.5, "l1": 12, "l0": 10}
    found: list[tuple[str, Threat]] = [(name, kind(radius.get(name, 1))) for name, kind in KINDS.items()]
    found.append((Table.norm, Table(features=3)))
    return [
        {
            "name": name,
            "example": threat.literal,
            "means": threat.words(),
            "nist": threat.taxonomy.nist,
            "atlas": list(threat.taxonomy.atlas),
        }
        for name, threat in found
    ]


def profiles() -> list[Row]:
    """One row a profile: whose assumptions, the threat to begin with, the tables it knows, a column for each role."""
    from holdfast.threats.profiles.named import PROFILES

    return [
        {
            "name": found.name,
            "attacker": found.attacker,
            "threat": found.threat,
            "tables": [table.name for table in found.tables],
            "roles": [f"{role.name}:{role.moves}" for role in found.roles],
        }
        for found in PROFILES.values()
    ]


def data() -> list[Row]:
    """One row a data set that can be loaded by name here; those of HOLDFAST_DATA come with the folder."""
    from holdfast.data.sources import BUILTIN, names

    return [
        {
            "name": name,
            "where": "built in" if name in BUILTIN else "HOLDFAST_DATA",
            "what": _sentence(BUILTIN[name]) if name in BUILTIN else "",
        }
        for name in names()
    ]


def models() -> list[Row]:
    """One row a model that ships with holdfast."""
    from holdfast.models.files import bundled, load_model

    found = [(name, load_model(name)) for name in bundled()]
    return [
        {"name": name, "bounds": [f"{end:g}" for end in model.space.bounds], "notes": list(model.notes)}
        for name, model in found
    ]


def suites() -> list[Row]:
    """One row a suite: what it runs; another row for a norm under which it runs something else."""
    from holdfast.evaluation.suites import describe, resolve

    found = [resolve(name) for name in ("quick", "frugal", "standard")]
    rows = [{"name": s.name, "under": "", "attacks": [describe(a) for a in s.attacks]} for s in found]
    for suite in found:
        for p, plan in suite.plans:
            rows.append({"name": suite.name, "under": f"l{p:g}", "attacks": [describe(a) for a in plan]})
        rows.append({"name": suite.name, "under": "table", "attacks": [describe(a) for a in suite.tables]})
    return rows


def networks() -> list[Row]:
    """One row a network that a model card can name."""
    from holdfast.models.networks import NAMES, build

    kinds = [(name, type(build(name, shape=(3, 32, 32), classes=2, width=1))) for name in NAMES]
    return [
        {"name": name, "what": _sentence(kind), "paper": _paper(importlib.import_module(kind.__module__).__doc__)}
        for name, kind in kinds
    ]


def codes() -> list[Row]:
    """Exit codes, then error codes with the titles of their pages."""
    from holdfast.core import pages

    rows: list[Row] = [{"code": str(int(code)), "what": text} for code, text in exit_codes.MEANING.items()]
    return rows + [{"code": code, "what": pages.page(code).title} for code in pages.codes()]


LISTS: dict[str, Callable[[], list[Row]]] = {
    "attacks": attacks,
    "others": others,
    "defenses": defenses,
    "threats": threats,
    "profiles": profiles,
    "data": data,
    "models": models,
    "suites": suites,
    "networks": networks,
    "codes": codes,
}


def norm_name(p: float) -> str:
    """2.0 -> `l2`, infinity -> `linf`."""
    return "linf" if p == float("inf") else f"l{p:g}"


def cost(kind: Any) -> str:
    """The line or sentence of a docstring that begins with `Cost:`, up to the end of its paragraph."""
    found = re.search(r"(?:^|\. )Cost: (.*?)(?:\n\s*\n|\Z)", inspect.getdoc(kind) or "", re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()).rstrip(".") if found else ""


def _attack(name: str, kind: Any) -> Row:
    from holdfast.attacks.evidence import EVIDENCE

    wraps = any(f.name == "attack" or f.name == "attacks" for f in dataclasses.fields(kind))
    return {
        "name": name,
        "kind": "wrapper" if wraps else "minimal" if kind.minimal else "bounded",
        "needs": sorted(kind.needs),
        "norms": [*(norm_name(p) for p in kind.norms), *["table"] * bool(kind.tables)],
        "evidence": EVIDENCE[name].kind if name in EVIDENCE else "",
        "cost": cost(kind),
        "paper": _paper(importlib.import_module(kind.__module__).__doc__),
    }


def _paper(text: str | None) -> str:
    return (text or "").strip().split("\n")[0].rstrip(".")


def _sentence(thing: object) -> str:
    return _paper(inspect.getdoc(thing))


def _cell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
