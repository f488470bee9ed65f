"""The page of a leaderboard: tabs, columns, claims, history, and strangers' names in every field."""

import dataclasses
import html
import re

import pytest

from holdfast.report import board
from holdfast.report.board import HELD, marks
from holdfast.report.pareto import front, plot
from report import hostile
from report.boards import BOARD, CLAIMS, OLD, ranking
from report.test_views import hidden

DRAWN = {"svg", "title", "line", "text", "circle", "rect", "polyline"}


def sections(page):
    """Name of a tab -> what stands in it."""
    parts = re.split(r'<section class="tab" id="tab-\d+" data-tab="([^"]*)">', page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_a_tab_for_all_threats_together_and_one_for_each():
    page = board.render(BOARD, ".html")
    found = sections(page)
    assert list(found) == ["all threats together", "linf:1/10", "l2:1/2"]
    assert [name.count("<tr>") for name in found.values()] == [1 + 3 + 2, 1 + 3, 1 + 2]
    assert re.findall(r'<a href="#(tab-\d)"', page) == ["tab-1", "tab-2", "tab-3"]


def test_one_threat_needs_one_tab():
    alone = dataclasses.replace(BOARD, rankings=BOARD.under[:1], under=BOARD.under[:1])
    assert [tab.name for tab in board.tabs(alone)] == ["linf:1/10"]
    text = board.render(alone, ".txt")
    assert text.count("compared") == 1
    assert [tab.name for tab in board.tabs(dataclasses.replace(BOARD, rankings=(), under=()))] == [board.UNION]


def test_a_table_of_three_models_is_drawn_with_those_that_no_other_beats():
    """Clean accuracy 58, 50, 55 of 60, held 40, 20, 18: alpha beats both, and what is in doubt is a square."""
    rows = BOARD.rankings[0].rows
    drawn = str(plot(marks(rows), HELD))
    assert [mark.label for mark in front(marks(rows))] == ["alpha"]
    assert (drawn.count("<circle"), drawn.count('<rect class="mark-doubt"')) == (2, 1)
    assert drawn.count('class="strong end"') == 1, "the name of alpha, at the right edge, stands to its left"
    found = sections(board.render(BOARD, ".html"))
    assert drawn in found["all threats together"]
    assert "<svg" not in found["l2:1/2"], "two models are told apart without a picture"


def test_claims_stand_beside_what_was_measured():
    found = sections(board.render(BOARD, ".html"))["linf:1/10"]
    for state, claim in CLAIMS.items():
        assert f'data-value="{claim.value}"' in found
        assert f'class="claim {state}"' in found
    assert "clean, claimed" in found
    assert "claimed" not in sections(board.render(BOARD, ".html"))["l2:1/2"], "no column of dashes"
    for form in (".md", ".txt"):
        told = " ".join(board.render(BOARD, form).replace("\\", "").split())
        assert "93.0 %, refuted" in told
        assert "Claimed: what a model card says of itself" in told
    plain = dataclasses.replace(BOARD, under=(ranking(("l2:1/2",), BOARD.under[1].rows),))
    assert "claimed" not in board.render(plain, ".html").split("</style>")[1].split("<script>")[0].lower()


def test_history_and_best_known():
    page = board.render(BOARD, ".html")
    assert "Superseded results: 1" in page
    assert OLD.run in page
    assert re.search(r"58\.3\s% <small>standard, 2026-01-05, 2 runs</small>", page)
    assert "best known" not in sections(page)["l2:1/2"]
    assert "4 runs in 1 table" in page, "history counts"
    assert "58.3" in board.render(BOARD, ".txt")


def test_what_is_left_out_and_how_to_stand_in_a_table_are_told():
    for form in board.FORMS:
        told = board.render(BOARD, form)
        assert "HF413 not complete" in told
        assert "holdfast audit alpha digits" in told


def test_the_page_runs_its_own_script_alone():
    page = html.unescape(board.render(BOARD, ".html"))
    assert page.count("<script") == 1
    assert re.search(r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-[^']+'", page)
    assert not re.search(r"innerHTML|https?://", page)


@pytest.mark.parametrize("out", [" --out runs/a", " -o 'my runs/a'", " --out=a", ""])
def test_the_command_to_repeat_names_no_folder_that_exists(out):
    one = BOARD.rankings[0]
    command = f"holdfast audit m.pt d --threat linf:0.1{out} --seed 3"
    named = dataclasses.replace(one, rows=(dataclasses.replace(one.rows[0], command=command), *one.rows[1:]))
    page = board.render(dataclasses.replace(BOARD, rankings=(named,), under=()), ".txt")
    assert "another model: holdfast audit m.pt d --threat linf:0.1 --seed 3" in " ".join(page.split())


@pytest.mark.parametrize("name", hostile.CORPUS, ids=range(len(hostile.CORPUS)))
def test_hostile_names(name):
    def named(one):
        rows = tuple(
            dataclasses.replace(
                row,
                model=name,
                run=name,
                command=name,
                state=name,
                finished=name,
                history=tuple(dataclasses.replace(old, run=name, finished=name) for old in row.history),
                known=row.known and dataclasses.replace(row.known, suite=name, finished=name),
                claimed=row.claimed and dataclasses.replace(row.claimed, card=name),
            )
            for row in one.rows
        )
        return dataclasses.replace(one, rows=rows, data=name, suite=name)

    found = dataclasses.replace(
        BOARD,
        rankings=tuple(named(one) for one in BOARD.rankings),
        under=tuple(named(one) for one in BOARD.under),
        left_out=(dataclasses.replace(BOARD.left_out[0], run=name, why=name),),
    )
    for form in (".html", ".md", ".txt"):
        page = board.render(found, form)
        assert not hidden(page)
        if form == ".html":
            assert page.count("<script") == 1
            body = page.split("<script>")[0].split("</style>")[1]
            plots = [str(plot(marks(one.rows), HELD)) for one in (*found.rankings, *found.under) if len(one.rows) > 2]
            assert body.count("<svg") == sum(p.count("<svg") for p in plots) > 0, "pictures of our own alone"
            assert all(set(re.findall(r"<(\w+)", p)) <= DRAWN for p in plots)
            assert not re.search(r"<(?:img|iframe|object|embed|base|form|style)\b", body)
