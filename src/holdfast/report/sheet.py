"""A page of a headline, tables and notes in three forms: terminal text, Markdown and one offline HTML file.

Every text on it may come from a stranger: hidden characters are made visible here, and each form quotes for itself.
"""

import dataclasses
import functools
import textwrap
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from holdfast.report import markdown as md
from holdfast.report import words
from holdfast.report.pages import asset, template
from holdfast.report.visible import cleaned, short

if TYPE_CHECKING:
    from holdfast.report.gallery import Card

WIDTH, CELL, LONG = 98, 60, 300  # letters of a line, of a cell in columns, of a cell that wraps
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under heads; a column is aligned right where its head begins with `>`.

    Args:
        caption: What they are.
        heads: A name for each column.
        rows: A text for each cell.
        links: For each row a page beside this one, which the second cell leads to in HTML; none where empty.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart, which HTML shows and the other forms tell.

    Args:
        caption: How to read it.
        picture: Markup made by `report.svg` alone: it is not quoted again.
        text: What it shows, in words.
    """

    caption: str
    picture: Markup
    text: str


@dataclasses.dataclass(frozen=True)
class Cards:
    """Samples as cards, which HTML alone shows; pictures in them are markup of our own."""

    title: str
    note: str
    cards: "tuple[Card, ...]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """What a page says.

    Args:
        title: A line.
        lead: Sentences that matter most, a paragraph each.
        tables: The numbers.
        figures: Charts of them.
        galleries: Samples that show it.
        points: What to do, each with the one it is for.
        notes: What to know before believing them.
        foot: Where the page comes from.
    """

    title: str
    lead: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...] = ()
    galleries: tuple[Cards, ...] = ()
    points: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    foot: str = ""


def text(sheet: Sheet) -> str:
    """Plain text for a terminal of 100 columns, without control characters."""
    sheet = cleaned(sheet)
    lines = [short(sheet.title, WIDTH), ""]
    for paragraph in sheet.lead:
        lines += [*_wrapped(paragraph), ""]
    for table in sheet.tables:
        lines += [*_wrapped(table.caption), *_columns(table), ""]
    for head, point in sheet.points:
        lines += [*_wrapped(f"{head}:"), *_wrapped(f"  {point}", "  "), ""]
    for note in sheet.notes:
        lines += _wrapped(f"- {note}", "  ")
    return "\n".join(lines).rstrip() + "\n"


def markdown(sheet: Sheet) -> str:
    """GitHub's Markdown, at most 60,000 characters; no text on it becomes a link or markup."""
    sheet = cleaned(sheet)
    lines = [f"# {md.quoted(sheet.title, 200)}", ""]
    for paragraph in sheet.lead:
        lines += [f"**{md.quoted(paragraph)}**", ""]
    for table in sheet.tables:
        lines += [md.quoted(table.caption), ""] if table.caption else []
        rows = [[md.quoted(cell, LONG) for cell in row] for row in table.rows]
        marks = [">" if head.startswith(">") else "" for head in table.heads]
        heads = [mark + md.quoted(head.removeprefix(mark)) for mark, head in zip(marks, table.heads, strict=True)]
        lines += md.table(heads, rows)
    for figure in sheet.figures:
        lines += [md.quoted(figure.text), ""]
    for head, point in sheet.points:
        lines += [f"**{md.quoted(head)}**: {md.quoted(point)}", ""]
    lines += [f"- {md.quoted(note)}" for note in sheet.notes]
    lines += ["", md.quoted(sheet.foot)] if sheet.foot else []
    page = "\n".join(lines).rstrip() + "\n"
    if len(page) <= md.LONGEST:
        return page
    return page[: page.rfind("\n", 0, md.LONGEST - 100)] + "\n\n*Cut here; the JSON document holds everything.*\n"


def html(sheet: Sheet) -> str:
    """One file that fetches nothing and runs nothing."""
    policy = POLICY + "; img-src data:" * bool(sheet.galleries)
    return (
        _template().render(sheet=cleaned(sheet), style=Markup(asset("report.css")), policy=policy, words=words) + "\n"
    )


@functools.cache
def _template() -> jinja2.Template:
    return template("sheet.html")


def _wrapped(line: str, later: str = "") -> list[str]:
    plain = line.replace("\u00a0", " ").replace("\u202f", " ")
    return textwrap.wrap(plain, WIDTH, subsequent_indent=later, break_on_hyphens=False)


def _columns(table: Table) -> list[str]:
    """The table in columns of equal width, two spaces apart; a table that is too wide as blocks, whose cells wrap."""
    right = [head.startswith(">") for head in table.heads]
    lines = [tuple(head.removeprefix(">") for head in table.heads), *table.rows]
    plain, whole = ([_cells(line, most) for line in lines] for most in (CELL, LONG))
    widths = [max(len(line[i]) for line in plain) for i in range(len(table.heads))]
    if sum(widths) + 2 * len(widths) > WIDTH:
        return _blocks([(*name[:2], *rest[2:]) for name, rest in zip(plain, whole, strict=True)], widths[0])
    return [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in plain
    ]


def _cells(line: tuple[str, ...], most: int) -> tuple[str, ...]:
    """Cells of at most so many letters, with plain spaces."""
    return tuple(short(cell, most).replace("\u00a0", " ").replace("\u202f", " ") for cell in line)


def _blocks(lines: list[tuple[str, ...]], width: int) -> list[str]:
    """The first two cells of a row on a line, the others below it with their heads."""
    heads, found, room = lines[0], list[str](), " " * (width + 2)
    for row in lines[1:]:
        found.append("  ".join((row[0].ljust(width), *row[1:2])).rstrip())
        rest = "; ".join(f"{head}: {cell}" for head, cell in zip(heads[2:], row[2:], strict=True))
        found += textwrap.wrap(rest, WIDTH, initial_indent=room, subsequent_indent=room, break_on_hyphens=False)
    return found
