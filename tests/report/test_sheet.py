"""One page in three forms; strangers' texts do nothing in any of them."""

import dataclasses
import re

import pytest
from markdown_it import MarkdownIt
from markupsafe import Markup

from holdfast.report import sheet
from holdfast.report.gallery import Card
from holdfast.report.sheet import Cards, Sheet, Table
from report import hostile
from report.test_html import TAGS, Page
from report.test_views import hidden, tokens

PLAIN = Sheet(
    title="two runs",
    lead=("B withstands 9.0 points less.", "A second sentence."),
    tables=(Table(caption="A and B", heads=("rate", ">A"), rows=(("clean", "95.0 %"), ("robust", "9.1 %"))),),
    notes=("A note.",),
    foot="Made by hand.",
)
names = pytest.mark.parametrize("name", hostile.CORPUS, ids=range(len(hostile.CORPUS)))


def filled(name):
    return Sheet(
        title=name,
        lead=(name,),
        tables=(Table(caption=name, heads=(name, ">" + name), rows=((name, name), (name, "1"))),),
        galleries=(Cards(name, name, (card(name), dataclasses.replace(card(name), status="wrong"))),),
        notes=(name,),
        foot=name,
    )


def card(text):
    """A card that says the same everywhere, with pictures of our own."""
    fields = {f.name: text for f in dataclasses.fields(Card) if f.type in ("str", str)}
    numbers = {"sample": 1, "tried": 1, "queries": 2, "gradients": 3, "confidence": 0.5, "adversarial_confidence": 0.5}
    picture = Markup("data:image/webp;base64,AAAA")
    shown = {"clean": picture, "changed": picture, "difference": picture, "status": "broken"}
    return Card(**{**fields, **numbers, **shown, "eight_bit": None, "distances": ((text, 0.1),)})


def test_every_form_says_everything():
    said = ["two runs", "B withstands 9.0 points less.", "A second sentence.", "A and B", "clean", "95.0 %", "A note."]
    plain, page = sheet.text(PLAIN), Page(sheet.html(PLAIN))
    marked = MarkdownIt().enable("table").render(sheet.markdown(PLAIN))
    for text in said:
        assert text in plain
        assert text in marked
        assert text in page.text
    assert "Made by hand." in marked
    assert "Made by hand." in page.text


def test_columns_stand_under_their_heads():
    lines = sheet.text(PLAIN).splitlines()
    rows = lines[lines.index("A and B") + 1 :][:3]
    assert rows == ["rate         A", "clean   95.0 %", "robust   9.1 %"]


def test_a_cell_that_wraps_is_not_cut_where_a_column_would_end():
    long = "+0.0 points (0 lost, 0 won of 60; p = 1), not significant; a drop of 12.9 points is found 80 times of 100"
    wide = Sheet(
        title="t", lead=(), tables=(Table(caption="", heads=("", "rule", "seen"), rows=(("a", "b" * 50, long),)),)
    )
    assert long in " ".join(sheet.text(wide).split())
    assert "…" in sheet.text(dataclasses.replace(wide, tables=(Table(caption="", heads=("seen",), rows=((long,),)),)))


def test_a_table_that_is_too_wide_becomes_blocks():
    rows = (("FAILED", "x" * 50, "y" * 30, "z" * 30), ("passed", "a", "b", "c"))
    wide = Sheet(title="t", lead=(), tables=(Table(caption="", heads=("", "rule", "wanted", "seen"), rows=rows),))
    lines = sheet.text(wide).splitlines()[2:]
    assert lines == [
        "FAILED  " + "x" * 50,
        "        wanted: " + "y" * 30 + "; seen: " + "z" * 30,
        "passed  a",
        "        wanted: b; seen: c",
    ]


@names
def test_html_hostile(name):
    text = sheet.html(filled(name))
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= TAGS
    assert page.broken == []
    assert page.scripts == []
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on") or a == "href"]
    assert {a["src"] for _, a in page.elements if "src" in a} == {"data:image/webp;base64,AAAA"}
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert not hidden(text)


@names
def test_markdown_hostile(name):
    page = sheet.markdown(filled(name))
    kinds = {token.type for token in tokens(page)}
    allowed = {"heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close", "text", "strong_open"}
    allowed |= {"strong_close", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"}
    parts = ("table", "thead", "tbody", "tr", "th", "td")
    assert kinds <= allowed | {f"{part}_{side}" for part in parts for side in ("open", "close")}
    assert [t.type for t in tokens(page)].count("tr_open") == 3
    assert not hidden(page)
    assert len(page) <= 60_000


@names
def test_terminal_hostile(name):
    page = sheet.text(filled(name))
    assert not hidden(page)
    assert max(map(len, page.splitlines())) <= 200


def test_markdown_is_cut_where_it_would_be_too_long():
    page = sheet.markdown(Sheet(title="t", lead=(), tables=(), notes=("x" * 1500,) * 100))
    assert len(page) <= 60_000
    assert re.search(r"Cut here", page[-100:])
