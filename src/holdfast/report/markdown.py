"""The report as Markdown (GitHub's dialect) for job summaries and comments; no name becomes a link or markup."""

import re
from collections.abc import Iterable, Sequence

from holdfast.evaluation.summary import Summary, ThreatFacts
from holdfast.report import words
from holdfast.report.visible import cleaned, short

LONGEST = 60_000  # characters; a job summary or a comment takes no more
CLASSES = 20
_BACKSLASH = re.compile(r"([\\`*_{}\[\]|~$#^])")
_FIRST = re.compile(r"^(\s*\d*)([-+=.)>])")
_LINK = re.compile(r"(?i)(?<=www)\.|:(?=//)|(?<=mailto):|(?<=xmpp):")


def render(summary: Summary) -> str:
    """The page as text, at most 60,000 characters."""
    summary = cleaned(summary)
    title = f"# {quoted(summary.model.name, 60)} on {quoted(summary.data.name, 60)}"
    return trimmed([title, "", *told(summary)])


def trimmed(lines: Sequence[str]) -> str:
    """The lines as a page of at most 60,000 characters."""
    page = "\n".join(lines).rstrip() + "\n"
    if len(page) <= LONGEST:
        return page
    cut = page.rfind("\n", 0, LONGEST - 100)
    return page[:cut] + "\n\n*Cut here; the whole result is in summary.json and report.html.*\n"


def told(summary: Summary) -> list[str]:
    """What the page says below its title, of a summary that is cleaned; sections begin with `##`."""
    lines = [] if summary.complete else [f"> **Partial run.** {quoted(words.stopped(summary))}", ""]
    lines += [f"**{quoted(summary.verdict.text)}**", "", *_headline(summary)]
    decided = words.decided(summary)
    lines += [quoted(decided), ""] if decided else []
    replayed = words.replayed(summary)
    lines += [line for told in (replayed, words.hardest(summary)) if told for line in (quoted(told), "")]
    lines += [*_findings(summary), *_untested(summary)]
    lines += _together(summary)
    for threat in summary.threats:
        lines += _threat(summary, threat)
    return lines + _transfer(summary) + _masking(summary) + _provenance(summary)


def quoted(text: str, limit: int = 2_000) -> str:
    """Foreign text as plain Markdown text: no markup, HTML, link, mention, list or heading comes of it."""
    plain = _BACKSLASH.sub(r"\\\1", short(text, limit)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = plain.replace("@", "&#64;\u2060")  # a word joiner ends a mention before it begins
    plain = _LINK.sub(lambda found: f"&#{ord(found[0])};", plain)
    return _FIRST.sub(r"\1\\\2", plain)


def code(text: str) -> str:
    """A command as a fenced block whose fence is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; the cells are already quoted. A column is aligned right where its head begins with `>`."""
    marks = ["---:" if head.startswith(">") else "---" for head in heads]
    names = [head.removeprefix(">") for head in heads]
    return [f"| {' | '.join(cells)} |" for cells in (names, marks, *rows)] + [""]


def _headline(summary: Summary) -> list[str]:
    return table(
        ("", "rate, 95 % interval, samples"),
        [
            *((name, words.rate(rate)) for name, rate in words.headline(summary)),
            ("certified, at least", "no certificate was computed"),
        ],
    ) + [f"{quoted(words.scale(summary))}. {quoted(words.masking(summary), 600)}.", ""]


def _findings(summary: Summary) -> list[str]:
    lines = ["## Findings", ""]
    if not summary.findings:
        lines += [words.no_findings(summary), ""]
    for order, finding in enumerate(summary.findings[:5], 1):
        lines += [f"### {order}. {quoted(finding.title)}", "", quoted(finding.text), ""]
        if finding.rate is not None:
            lines += [words.rate(finding.rate), ""]
        if finding.next:
            lines += [code(finding.next) if words.runnable(finding.next) else f"Next: {quoted(finding.next)}.", ""]
    return lines


def _untested(summary: Summary) -> list[str]:
    found = summary.coverage.not_tested or (words.UNLISTED,)
    return ["## What was not tested", "", *(f"- {quoted(line)}" for line in found), ""]


def _threat(summary: Summary, threat: ThreatFacts) -> list[str]:
    lines = [
        f"## {quoted(threat.literal, 120)}",
        "",
        f"{quoted(threat.words)}; the attacker {quoted(words.sight(threat))}. "
        f"Not broken, at most: {words.rate(threat.empirical_robust_accuracy)}."
        + f" Evasion rate: {words.rate(threat.success_rate)}." * bool(summary.data.direction)
        + f" {words.possible(threat)}." * (threat.valid is not None),
        "",
    ]
    lines += table(
        ("attack", ">tried", ">broke", ">time", ">queries (median)", ">gradients (median)"),
        [
            (
                quoted(name, 60),
                words.number(a.attempted),
                words.number(a.broken),
                words.seconds(a.seconds),
                words.number(a.queries_median),
                words.number(a.gradients_median),
            )
            for name, a in zip(words.stages(threat), threat.attacks, strict=True)
        ],
    )
    if threat.curve:
        lines += table(
            (">size of the change", "not broken, at most"),
            [(quoted(words.size(p.radius)), words.rate(p.rate)) for p in threat.curve],
        )
    weakest = words.weakest(threat)[:CLASSES]
    if weakest:
        left, more = len(threat.per_class) - len(weakest), ("evasion rate",) * bool(summary.data.direction)
        lines += table(
            ("class, weakest first", "not broken, at most", "clean accuracy", *more),
            [
                (quoted(c.name, words.NAME), *(words.rate(r) for r in (c.robust, c.clean, c.evasion)[: 2 + len(more)]))
                for c in weakest
            ],
        )
        lines += [f"{left} more classes are in summary.json.", ""] if left else []
    return lines


def _together(summary: Summary) -> list[str]:
    """All threats at once."""
    told, found = words.together(summary), summary.together
    if not told or found is None:
        return []
    rows = [
        (
            quoted(one.threat, 120),
            quoted(one.attack, 60),
            *(words.number(n) for n in (one.broken, one.only, one.cheapest, one.queries_median, one.gradients_median)),
        )
        for one in found.attributions
    ]
    costs = (">queries (median)", ">gradients (median)")
    heads = ("threat", "attack", ">broke", ">no other threat did", ">cheapest", *costs)
    return ["## All threats together", "", f"{quoted(told)}.", "", *table(heads, rows)]


def _transfer(summary: Summary) -> list[str]:
    if not summary.transfer:
        return []
    rows = [(quoted(t.model, 60), quoted(t.threat, 60), words.rate(t.rate)) for t in summary.transfer]
    return ["## Transfer", "", *table(("second model", "threat", "transferred"), rows)]


def _masking(summary: Summary) -> list[str]:
    found = words.checks(summary)
    if not found:
        return []
    rows = [
        (
            quoted(words.CHECKS.get(check.name, check.name), 80),
            quoted(check.threat, 60),
            quoted(words.STATES[check.state][1]),
            words.rate(check.rate) if check.rate is not None else "–",
            quoted(check.text, 200),
        )
        for check in found
    ]
    heads = ("check", "threat", "state", "samples with the sign", "evidence")
    told = [quoted(words.MASKING), "", quoted(words.masking_cost(summary)), ""]
    return ["## Masking", "", f"**{quoted(words.masking(summary), 600)}**", "", *told, *table(heads, rows)]


def _provenance(summary: Summary) -> list[str]:
    p = summary.provenance
    lines = ["## Reproduce", "", *([code(p.command), ""] if p.command else [])]
    lines += [
        f"- {quoted(line)}"
        for line in (
            f"model {summary.model.name}, fingerprint {summary.model.fingerprint}",
            f"data {summary.data.name} {summary.data.split}, digest {summary.data.digest}",
            f"suite {summary.suite}, seed {p.seed}; {p.started} to {p.finished}",
            f"holdfast {summary.holdfast}, Python {p.python}, torch {p.torch}, numpy {p.numpy}",
            f"{p.platform}, {p.device}, {p.precision}",
            words.cost(summary),
        )
    ]
    limits = [f"- {quoted(line)}" for line in (words.UPPER, *summary.limits)]
    return [*lines, "", "## Limits", "", *limits, ""]
