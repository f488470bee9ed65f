"""The HTML report: one offline file under a content security policy, readable without its script."""

import dataclasses
import functools
import hashlib
from typing import Any

import jinja2
import pyarrow as pa
from markupsafe import Markup

from holdfast.evaluation.document import to_json
from holdfast.evaluation.store import Examples
from holdfast.evaluation.summary import Confusion, Summary, ThreatFacts
from holdfast.report import svg, words
from holdfast.report.gallery import gallery
from holdfast.report.pages import asset, policy, template
from holdfast.report.visible import cleaned, visible
from holdfast.threats.written import measure_of, radius

FINDINGS = 5
CONFUSIONS = 10
BROKEN = 100  # samples in the table of several threats
FOLD = 12  # classes and samples shown before the fold


def render(summary: Summary, samples: pa.Table, examples: Examples | None, run: str) -> str:
    """The whole page as text.

    Args:
        summary: The document of the run.
        samples: One row for each threat and sample.
        examples: Inputs to show, None for none.
        run: The run folder as a person would type it in a command.
    """
    digest = hashlib.sha256(to_json(summary).encode("utf-8", "backslashreplace")).hexdigest()
    summary = cleaned(summary)
    style, script = asset("report.css"), asset("report.js")
    cards = gallery(summary, samples, examples, run)
    return (
        _template().render(
            summary=summary,
            words=words,
            svg=svg,
            FOLD=FOLD,
            run=visible(run),
            digest=digest,
            style=Markup(style),
            script=Markup(script),
            policy=policy(script),
            gallery=cards,
            changed=any(card.change for card in cards.cards),
            attributed=attributed(summary, samples),
            findings=summary.findings[:FINDINGS],
            headline=(summary.rates.empirical_robust_accuracy, summary.rates.clean_accuracy),
        )
        + "\n"
    )


@functools.cache
def _template() -> jinja2.Template:
    return template(
        "report.html",
        weakest=words.weakest,
        parameters=parameters,
        standing=standing,
        confusions=confusions,
        curved=curved,
    )


@dataclasses.dataclass(frozen=True)
class Broken:
    """A sample that some threat broke, with what each threat did to it: a status and words, in the order of threats."""

    sample: int
    label: str
    cells: tuple[tuple[str, str], ...]


def attributed(summary: Summary, samples: pa.Table) -> tuple[list[Broken], int]:
    """Of a run under several threats the broken samples, most threats and then fewest queries first, and their number.

    At most 100; each with the attack that broke it under each threat, its cost and the size of the change.
    """
    if len(summary.threats) < 2:
        return [], 0
    by_sample: dict[int, dict[str, dict[str, Any]]] = {}
    for row in samples.to_pylist():
        by_sample.setdefault(row["sample"], {})[row["threat"]] = row
    hit = [rows for rows in by_sample.values() if any(row["status"] == "broken" for row in rows.values())]
    hit.sort(key=_ease)
    literals = [threat.literal for threat in summary.threats]
    found = []
    for rows in hit[:BROKEN]:
        first = next(iter(rows.values()))
        cells = tuple(_cell(literal, rows.get(literal)) for literal in literals)
        found.append(Broken(first["sample"], words.class_name(summary, first["label"]), cells))
    return found, len(hit)


def _ease(rows: dict[str, dict[str, Any]]) -> tuple[int, int, int]:
    broken = [row for row in rows.values() if row["status"] == "broken"]
    return -len(broken), min(row["queries"] for row in broken), broken[0]["sample"]


def _cell(literal: str, row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None:
        return "undecided", ""
    if row["status"] != "broken":
        return row["status"], "not broken" if row["status"] == "unbroken" else row["status"]
    size = row.get(measure_of(literal))
    told = f"{row['broken_by']}, {words.counted(row['queries'], 'query')}"
    return "broken", told + (f", {words.size(size)}" if size is not None else "")


def parameters(config: dict[str, Any]) -> str:
    """`steps=40, restarts=1`: an attack's configuration on one line."""
    return ", ".join(f"{key}={value}" for key, value in config.items() if key != "name")


def standing(threat: ThreatFacts) -> list[int]:
    """For each attack, how many samples stood before it: those it was tried on, at least those it broke."""
    rest = threat.empirical_robust_accuracy.k if threat.empirical_robust_accuracy else 0
    found = []
    for attack in reversed(threat.attacks):
        rest += attack.broken
        found.append(rest)
    return found[::-1]


def confusions(found: tuple[Confusion, ...]) -> list[Confusion]:
    """The most frequent ones."""
    return sorted(found, key=lambda c: (-c.count, c.source, c.into))[:CONFUSIONS]


def curved(threat: ThreatFacts) -> Markup:
    """The accuracy-against-radius curve of a threat."""
    title = f"Empirical robust accuracy under {threat.literal}"
    return svg.curve(threat.curve, radius(threat.literal), title)
