import csv as standard_csv
import dataclasses
import io
import re
import unicodedata
from types import SimpleNamespace

import pyarrow as pa
import pytest
from markdown_it import MarkdownIt

from holdfast.report import csv, markdown, text, visible, words
from report import fixture, hostile

SUMMARY = fixture.summary()
TABLE = pa.Table.from_pylist(fixture.rows()[2])
names = pytest.mark.parametrize("name", hostile.CORPUS, ids=range(len(hostile.CORPUS)))


def hidden(found):
    return [
        sign
        for sign in found
        if sign != "\n" and unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign != "\u2060"
    ]


def tokens(page):
    """All tokens of a GitHub-like reading of the page, HTML allowed."""
    found = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(page)
    return found + [child for token in found for child in token.children or []]


def test_one_verdict_in_every_view():
    told = SUMMARY.verdict.text
    assert told in MarkdownIt().render(markdown.render(SUMMARY))
    assert told in text.text(SUMMARY).replace("\n", " ")
    assert told in text.rich(SUMMARY).plain.replace("\n", " ")


def test_a_replay_is_told_in_every_view():
    found = hostile.replaying(SUMMARY)
    told = "Replay of before (inputs 01234567): 3 of 120 samples had an input to try first (2 more do not fit these "
    told += "threats), 1 broke."
    page = MarkdownIt().render(markdown.render(found))
    assert page.index(words.masking(found)) < page.index(told) < page.index("Findings")
    assert told in " ".join(text.text(found).split())
    assert f"suite replay+{SUMMARY.provenance.suite}," in page
    assert "eplay" not in markdown.render(SUMMARY)


def test_markdown_shows_every_rate_with_count_and_interval():
    page = markdown.render(SUMMARY)
    percents = re.findall(r"\d\u00a0%.{0,40}", page)
    assert len(percents) > 20
    assert all(re.match(r"\d\u00a0% \[[\d.]+, [\d.]+\] \(\d+/\d+\)", found) for found in percents)


def test_markdown_stays_short():
    many = dataclasses.replace(SUMMARY, coverage=dataclasses.replace(SUMMARY.coverage, not_tested=("x" * 1500,) * 100))
    page = markdown.render(many)
    assert len(page) <= 60_000
    assert "summary.json" in page[-200:]


@names
def test_markdown_hostile(name):
    page = markdown.render(hostile.everywhere(SUMMARY, name))
    kinds = {token.type for token in tokens(page)}
    assert kinds <= {
        "heading_open",
        "heading_close",
        "inline",
        "text",
        "text_special",
        "paragraph_open",
        "paragraph_close",
        "strong_open",
        "strong_close",
        "table_open",
        "table_close",
        "thead_open",
        "thead_close",
        "tbody_open",
        "tbody_close",
        "tr_open",
        "tr_close",
        "th_open",
        "th_close",
        "td_open",
        "td_close",
        "bullet_list_open",
        "bullet_list_close",
        "list_item_open",
        "list_item_close",
        "fence",
    }
    assert len([token for token in tokens(page) if token.type == "heading_open"]) == 10
    assert not hidden(page)
    outside = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", page)
    assert not re.search(r"(?i)https?://|www\.|@\w", outside)


def test_markdown_command_with_backticks_stays_in_its_fence():
    page = markdown.code("echo ``` # not a heading\n")
    assert page.startswith("````text\n")


@names
def test_csv_hostile(name):
    found = hostile.everywhere(SUMMARY, name)
    rows = hostile.rows(TABLE.to_pylist(), name.encode("utf-8", "replace").decode())
    page = csv.render(found, pa.Table.from_pylist(rows))
    cells = list(standard_csv.reader(io.StringIO(page)))
    assert len(cells) == len(rows) + 1
    assert {len(row) for row in cells} == {len(cells[0])}
    numbers = {column for column, value in rows[0].items() if isinstance(value, float | int)} | {
        "margin",
        "linf",
        "l2",
        "l1",
        "l0",
    }
    for row in cells[1:]:
        for column, cell in zip(cells[0], row, strict=True):
            assert (
                column in numbers
                or not cell.lstrip(" \"'").startswith(("=", "+", "-", "@", "\t", "\r"))
                or cell.startswith("'")
            )
    assert not hidden(page.replace("\r\n", "\n"))


def test_csv_keeps_numbers():
    cells = list(standard_csv.DictReader(io.StringIO(csv.render(SUMMARY, TABLE))))
    assert float(cells[0]["margin"]) == TABLE["margin"][0].as_py()
    assert min(float(row["margin"]) for row in cells) < 0
    assert cells[1]["label_name"] == "1"


@names
def test_terminal_hostile(name):
    found = hostile.everywhere(SUMMARY, name)
    page = text.text(found)
    assert not hidden(page)
    assert len(page.splitlines()) < 4_000


@names
def test_rich_reads_no_markup(name):
    from rich.console import Console

    found = hostile.everywhere(SUMMARY, name)
    found = dataclasses.replace(found, verdict=dataclasses.replace(found.verdict, text=name[:300]))
    console = Console(
        file=io.StringIO(), width=80, record=True, force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    console.print(text.rich(found))
    page = console.file.getvalue()
    assert not re.search(r"\x1b(?!\[[\d;]*m)", page)
    assert "\x1b]8" not in page
    assert not hidden(re.sub(r"\x1b\[[\d;]*m", "", page))


def test_plain_text_is_narrow_and_says_what_was_not_tested():
    page = text.text(SUMMARY)
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page
    assert "Not tested" in page
    assert words.masking(SUMMARY) in page


def test_partial_runs_say_so():
    partial = dataclasses.replace(SUMMARY, complete=False, stopped="Ctrl-C")
    assert "Partial run. Stopped: Ctrl-C" in text.text(partial)
    assert "Stopped: Ctrl-C" in markdown.render(partial)


@names
def test_visible(name):
    shown = visible.visible(name, 100)
    assert not hidden(shown)
    assert len(shown) <= 100
    assert "\n" not in shown


def test_visible_leaves_letters_alone():
    assert visible.visible("Größe 日本語 🛑 e\u0301") == "Größe 日本語 🛑 e\u0301"
    assert visible.visible("a\x00b\u202ec") == "a\\x00b\\u202ec"


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "0.0 %"), (1, "100.0 %"), (0.0001, "< 0.1 %"), (0.9999, "> 99.9 %"), (0.505, "50.5 %")]
)
def test_percent_never_rounds_to_none_or_all(share, shown):
    assert words.percent(share).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(8 / 255, "8/255"), (0.5, "0.5"), (3.06, "3.06"), (0, "0"), (float("inf"), "∞"), (12345, "12\u202f345")],
)
def test_sizes(value, shown):
    assert words.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.001, "< 0.01 s"), (0.42, "0.42 s"), (99, "99 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_seconds(value, shown):
    assert words.seconds(value).replace("\u00a0", " ") == shown


def test_what_was_remembered_is_told_where_a_model_has_a_memory():
    assert "known already" not in words.cost(SUMMARY)
    cost = dataclasses.replace(SUMMARY.cost, asked=3000, remembered=1000)
    told = words.cost(dataclasses.replace(SUMMARY, cost=cost)).replace("\u202f", "")
    assert "the model was asked about 3000 rows; 1000 (25.0 %) were known already and not asked again" in told
    assert "known already" in " ".join(text.text(dataclasses.replace(SUMMARY, cost=cost)).split())


def test_two_stages_of_one_kind_are_told_apart():
    one = SUMMARY.threats[0].attacks[0]
    facts = [dataclasses.replace(one, name="apgd", config={"steps": 20, "loss": loss}) for loss in ("ce", "dlr")]
    other = dataclasses.replace(one, name="square", config={"steps": 200})
    threat = SimpleNamespace(attacks=[*facts, other])
    assert words.stages(threat) == ["apgd loss=ce", "apgd loss=dlr", "square"]
    assert words.stages(SimpleNamespace(attacks=[facts[0], other])) == ["apgd", "square"]


def test_without_findings_nothing_is_said_to_have_held_that_broke():
    broke = dataclasses.replace(SUMMARY, findings=())
    assert broke.coverage.statuses["broken"] > 0
    assert "Nothing broke" not in markdown.render(broke)
    held = dataclasses.replace(broke, coverage=dataclasses.replace(broke.coverage, statuses={"unbroken": 3}))
    assert "Nothing broke" in markdown.render(held)
