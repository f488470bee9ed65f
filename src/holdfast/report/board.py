"""The leaderboard as a page: a tab for each threat and one for all together, a table for each question."""

import dataclasses
import functools
import re
from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from holdfast.evaluation.board import Board, Known, Ranking, Row
from holdfast.evaluation.claims import Verified
from holdfast.evaluation.document import to_json
from holdfast.report import sheet, words
from holdfast.report.pages import asset, policy, template
from holdfast.report.pareto import Mark, plot
from holdfast.report.sheet import Sheet, Table
from holdfast.report.visible import cleaned, short
from holdfast.report.words import counted, number, percent, rate, seconds

FORMS = (".html", ".md", ".json", ".txt")
TRUST = {"measured": "measured", "doubtful": "DOUBTFUL"}
CLAIMS = {"refuted": "refuted", "agrees": "not refuted", "lower": "lower than measured"}
UNION = "all threats together"
PLOTTED = 3  # models of a table that is drawn too
HELD = "not broken, at most"
BAND = (
    "Band: the ranks a model may have. Two models share ranks where the exact McNemar test, corrected (Holm) for all "
    "pairs of the table, finds no difference on their samples. “Not broken” is an upper bound under these attacks."
)
CLAIMED = (
    "Claimed: what a model card says of itself. A claim above the interval of what was measured is refuted; for a "
    "threat the measurement is an upper bound, so no claim below it is confirmed."
)
KNOWN = (
    "Best known: samples that every run of the model on this board holds, whatever its attacks, with the run that "
    "holds fewest. A newer run of the same model under the same question replaces the older, which stays as history."
)


@dataclasses.dataclass(frozen=True)
class Tab:
    """Tables that are looked at together: under one threat, or over all threats of each run."""

    name: str
    rankings: tuple[Ranking, ...]


def render(found: Board, form: str) -> str:
    """The page in the form of a file's ending: .html .md .json .txt."""
    if form == ".html":
        return html(found)
    if form == ".json":
        return to_json(found)
    return (sheet.markdown if form == ".md" else sheet.text)(page(found))


def tabs(found: Board) -> tuple[Tab, ...]:
    """The tabs: all threats together first, where any run has several; then the threats, most models first."""
    several = any(len(ranking.threats) > 1 for ranking in found.rankings)
    literals = dict.fromkeys(ranking.threats[0] for ranking in found.under)
    single = [Tab(t, tuple(r for r in found.under if r.threats[0] == t)) for t in literals]
    return ((Tab(UNION, found.rankings),) if several or not single else ()) + tuple(single)


def page(found: Board) -> Sheet:
    """A sentence, the tables, what was left out."""
    tables = [_table(tab, ranking) for tab in tabs(found) for ranking in tab.rankings]
    return Sheet(
        title="Leaderboard",
        lead=(_lead(found),),
        tables=tuple(tables),
        notes=(*_notes(found), *(_beat(ranking) for ranking in found.rankings if ranking.rows[0].command)),
        foot="Every number comes from a run folder; holdfast recheck RUN verifies one on its model.",
    )


def html(found: Board) -> str:
    """One file that fetches nothing: tabs, filter and order are kept in its address; readable without its script."""
    found = cleaned(found)
    style, script = asset("report.css"), asset("board.js")
    shown = [(tab, [_view(tab, ranking) for ranking in tab.rankings]) for tab in tabs(found)]
    return (
        _template().render(
            tabs=shown,
            lead=_lead(found),
            notes=_notes(found),
            style=Markup(style),
            script=Markup(script),
            policy=policy(script),
            words=words,
            claims=CLAIMS,
        )
        + "\n"
    )


@dataclasses.dataclass(frozen=True)
class View:
    """A table of the page: which columns it has, its rows, and its history."""

    caption: str
    ranking: Ranking
    several: tuple[str, ...]
    claimed_clean: bool
    claimed: bool
    known: bool
    command: str
    past: tuple[tuple[str, ...], ...]
    marks: tuple[Mark, ...]


def _view(tab: Tab, ranking: Ranking) -> View:
    rows = ranking.rows
    return View(
        caption=_caption(tab, ranking),
        ranking=ranking,
        several=ranking.threats if len(ranking.threats) > 1 else (),
        claimed_clean=any(row.claimed_clean for row in rows),
        claimed=any(row.claimed for row in rows),
        known=any(row.known for row in rows),
        command=rows[0].command,
        past=_past(rows),
        marks=marks(rows) if len(rows) >= PLOTTED else (),
    )


def marks(rows: Sequence[Row]) -> tuple[Mark, ...]:
    """What the plot of a table shows of each model."""
    return tuple(
        Mark(
            label=short(r.model, 20),
            name=f"({short(r.run, 40)})",
            clean=r.clean,
            held=r.robust,
            doubt=r.state != "measured",
        )
        for r in rows
    )


@functools.cache
def _template() -> jinja2.Template:
    drawn = functools.partial(plot, along=HELD)
    return template("board.html", trust=lambda state: TRUST.get(state, state), band=_band, plot=drawn)


def _lead(found: Board) -> str:
    count = sum(len(ranking.rows) + sum(len(row.history) for row in ranking.rows) for ranking in found.rankings)
    return (
        f"{counted(count, 'run')} in {counted(len(found.rankings), 'table')}: models stand in one table where samples, "
        "threats and attacks are the same."
    )


def _notes(found: Board) -> list[str]:
    rows = [row for ranking in (*found.rankings, *found.under) for row in ranking.rows]
    notes = [BAND]
    notes += [CLAIMED] if any(row.claimed or row.claimed_clean for row in rows) else []
    notes += [KNOWN] if any(row.known or row.history for row in rows) else []
    decided = [row for ranking in found.rankings for row in ranking.rows if row.decided]
    notes += [f"{short(row.model, 32)} in {short(row.run, 80)}: {row.decided}" for row in decided]
    return notes + [f"Left out: {short(left.run, 80)}. {left.why}" for left in found.left_out]


def _caption(tab: Tab, ranking: Ranking) -> str:
    total = max(row.total for row in ranking.rows)
    count = "" if total == ranking.samples else f" of {number(total)}"
    count = f"{number(ranking.samples)}{count} samples"
    data = short(ranking.data, 60)
    under = f"under {', '.join(ranking.threats)}" if tab.name == UNION else f"under {tab.name} alone"
    pairs = f"; {counted(ranking.tests, 'pair')} compared" if ranking.tests else ""
    return f"{data}: {count} {under}, {short(ranking.suite, 60)}{pairs}"


def _table(tab: Tab, ranking: Ranking) -> Table:
    view = _view(tab, ranking)
    heads = ["band", "model", ">not broken", *(f">{t}" for t in view.several)]
    heads += [">best known"] if view.known else []
    heads += [">claimed"] if view.claimed else []
    heads += [">clean", *([">clean, claimed"] if view.claimed_clean else []), "trust", "run", "ended", ">took"]
    return Table(caption=view.caption, heads=tuple(heads), rows=tuple(_cells(row, view) for row in ranking.rows))


def _cells(row: Row, view: View) -> tuple[str, ...]:
    cells = [_band(row), short(row.model, 32), rate(row.robust)]
    cells += [percent(row.threats[t].point) if t in row.threats else "" for t in view.several]
    cells += [_told(row.known)] if view.known else []
    cells += [_claim(row.claimed)] if view.claimed else []
    cells += [percent(row.clean.point), *([_claim(row.claimed_clean)] if view.claimed_clean else [])]
    return (*cells, TRUST.get(row.state, row.state), short(row.run, 40), row.finished[:10], seconds(row.seconds))


def _band(row: Row) -> str:
    return str(row.best) if row.best == row.worst else f"{row.best}-{row.worst}"


def _told(known: Known | None) -> str:
    if known is None:
        return "–"
    return f"{percent(known.rate.point)} by {short(known.suite, 40)}, {known.finished[:10]}"


def _claim(found: Verified | None) -> str:
    return "–" if found is None else f"{percent(found.value)}, {CLAIMS[found.state]}"


def _past(rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    """Model, rates, seed, end and folder of every run that a newer one has replaced, newest first."""
    past = sorted(((old, row) for row in rows for old in row.history), key=lambda pair: pair[0].finished, reverse=True)
    return tuple(
        (
            short(row.model, 60),
            rate(old.robust),
            percent(old.clean.point),
            str(old.seed),
            old.finished[:16].replace("T", " "),
            short(old.run, 80),
        )
        for old, row in past
    )


def _beat(ranking: Ranking) -> str:
    command = re.sub(r" (?:-o|--out)[ =](?:'[^']*'|\S+)", "", ranking.rows[0].command)
    return f"To stand in the table of {ranking.data}, repeat this with another model: {command}"
