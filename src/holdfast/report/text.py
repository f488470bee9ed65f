"""The result on one screen of a terminal: plain text, or the same with color and bold through rich."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import Summary, ThreatFacts
from holdfast.report import words
from holdfast.report.visible import cleaned, short

if TYPE_CHECKING:
    from rich.text import Text

WIDTH = 80
BAR = 44
CLASSES = 3


def text(summary: Summary) -> str:
    """Plain text of at most 80 columns, without color and control characters; commands alone may be longer."""
    return "\n".join(line for line, _ in _lines(cleaned(summary))) + "\n"


def rich(summary: Summary) -> "Text":
    """The same lines as a rich Text. Foreign text is never read as markup."""
    from rich.text import Text

    found = Text()
    for line, style in _lines(cleaned(summary)):
        found.append(line + "\n", style=style or None)
    return found


def _lines(summary: Summary) -> list[tuple[str, str]]:
    """Each line with its style."""
    subject = f"{short(summary.model.name, 36)} on {short(summary.data.name, 30)}"
    lines = [(f"{subject} - {words.scale(summary)}"[:WIDTH], "dim")]
    if summary.data.split not in ("", "train", "val", "test"):  # a profile, or one direction alone: what the rates mean
        lines += _wrapped(summary.data.split, "dim")
    lines += _wrapped(words.decided(summary), "dim")
    lines.append(("", ""))
    if not summary.complete:
        lines += _wrapped(f"Partial run. {words.stopped(summary)}", "bold yellow")
    lines += [*_wrapped(summary.verdict.text, "bold"), ("", "")]
    rates = summary.rates
    if rates.clean_accuracy is not None and rates.empirical_robust_accuracy is not None:
        told = [(_bar(name, rate), rate) for name, rate in words.headline(summary) if rate is not None]
        lines += [
            *((line, "blue" if rate is rates.empirical_robust_accuracy else "") for line, rate in told),
            ("certified, at least   no certificate was computed", "dim"),
            ("", ""),
        ]
    for threat in summary.threats:
        lines += [(line, "") for line in _threat(summary, threat)]
    lines += [(line, "") for line in _together(summary)]
    replayed = words.replayed(summary)
    lines += [*_wrapped(replayed, ""), ("", "")] if replayed else []
    hardest = words.hardest(summary)
    lines += [*_wrapped(hardest, ""), ("", "")] if hardest else []
    shown = summary.findings[:5]
    if shown:
        lines += [("Findings", "bold")]
    for finding in shown:
        lines += _wrapped(f"- {finding.title}: {finding.text}", "", "  ")
    lines += [*([("", "")] if shown else []), ("Not tested", "bold")]
    for line in summary.coverage.not_tested or (words.UNLISTED,):
        lines += _wrapped(f"- {line}", "", "  ")
    suspect = summary.masking is not None and summary.masking.state == "suspect"
    lines += [("", ""), *_wrapped(f"{words.masking(summary)}.", "bold yellow" if suspect else "")]
    return [*lines, *_wrapped(words.cost(summary), "dim")]


def _bar(name: str, rate: Rate) -> str:
    """`clean accuracy        94.5 % [90.4, 97.2] (189/200)`."""
    return f"{name:<21} {words.rate(rate)}".replace("\u00a0", " ")


def _together(summary: Summary) -> list[str]:
    """All threats at once: which combinations break samples, and what broke them at what cost."""
    told, found = words.together(summary), summary.together
    if not told or found is None:
        return []
    rows = [
        (
            f"{short(one.attack, 24)} {short(one.threat, 30)}",
            *(words.number(count) for count in (one.broken, one.only, one.cheapest, one.queries_median)),
        )
        for one in found.attributions
    ]
    lines = [line for line, _ in _wrapped(f"All threats together: {told}", "")]
    return [*lines, *(_table([UNION, *rows]) if rows else []), ""]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def _threat(summary: Summary, threat: ThreatFacts) -> list[str]:
    rate = words.rate(threat.empirical_robust_accuracy)
    rows: list[Sequence[str]] = [
        (
            short(name, 40),
            words.number(a.attempted),
            words.number(a.broken),
            words.seconds(a.seconds),
            words.number(a.queries_median),
        )
        for name, a in zip(words.stages(threat), threat.attacks, strict=True)
    ]
    lines = [
        *(line for line, _ in _wrapped(f"{threat.literal} ({threat.words}): not broken <= {rate}", "")),
        *_table([HEADS, *rows]),
    ]
    weakest = words.weakest(threat)[:CLASSES]
    if len(threat.per_class) > 1:
        told = "; ".join(f"{short(c.name, 24)} {words.rate(c.robust)}" for c in weakest)
        lines += [line for line, _ in _wrapped(f"weakest classes: {told}", "", "  ", "  ")]
    lines += [line for line, _ in _wrapped(words.possible(threat), "", "  ", "  ")]
    if summary.data.direction:
        by_class = "; ".join(f"{short(c.name, 24)} {words.rate(c.evasion)}" for c in weakest)
        told = f"evasion rate: {words.rate(threat.success_rate)}" + f"; {by_class}" * (len(threat.per_class) > 1)
        lines += [line for line, _ in _wrapped(told, "", "  ", "  ")]
    return [line.replace("\u00a0", " ").replace("\u202f", " ") for line in lines] + [""]


UNION = ("broken by", "samples", "only so", "cheapest", "median queries")
HEADS = ("attack", "tried", "broke", "time", "median queries")


def _wrapped(line: str, style: str, later: str = "", first: str = "") -> list[tuple[str, str]]:
    plain = line.replace("\u00a0", " ").replace("\u202f", " ")
    found = textwrap.wrap(plain, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
    return [(part, style) for part in found]
