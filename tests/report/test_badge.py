"""The badge of a gate and its annotations on GitHub: what they claim, and names that want to get out."""

import dataclasses
import json
import re
import xml.etree.ElementTree as Xml

import pytest

from holdfast.evaluation.statistics import rate
from holdfast.report import annotations, badge
from report.test_gate import GATE, named, names
from report.test_views import hidden

RATED = dataclasses.replace(GATE, rate=rate(101, 200, "samples"), threats=("linf:8/255",))
SVG = "{http://www.w3.org/2000/svg}"


def replaced(**fields):
    return dataclasses.replace(RATED, **fields)


def test_a_badge_says_at_most_with_interval_threat_and_date():
    found = json.loads(badge.endpoint(RATED))
    assert found == {
        "schemaVersion": 1,
        "label": "not broken under linf:8/255",
        "message": "≤ 50.5 % [43.4, 57.6], 2026-01-01, gate failed",
        "color": "red",
    }


@pytest.mark.parametrize(
    ("fields", "message", "color"),
    [
        ({"state": "passed"}, "gate passed", "green"),
        ({"advisory": True}, "gate failed, advisory", "orange"),
        ({"state": "incomplete"}, "no result: incomplete, 2026-01-01", "lightgrey"),
        ({"state": "untrustworthy"}, "no result: untrustworthy, 2026-01-01", "lightgrey"),
        ({"rate": None, "state": "empty"}, "no result: empty, 2026-01-01", "lightgrey"),
    ],
)
def test_no_rate_where_there_is_no_result(fields, message, color):
    found = json.loads(badge.endpoint(replaced(**fields)))
    assert found["message"].endswith(message)
    assert found["color"] == color
    assert ("%" in found["message"]) == (color != "lightgrey")


def test_the_picture_says_the_same_and_its_text_fits():
    root = Xml.fromstring(badge.svg(RATED))
    told = json.loads(badge.endpoint(RATED))
    left, right = root.iter(f"{SVG}text")
    assert (left.text, right.text) == (told["label"], told["message"])
    assert root.find(f"{SVG}title").text == root.get("aria-label") == f"{told['label']}: {told['message']}"
    boxes = list(root.iter(f"{SVG}rect"))
    assert sum(int(box.get("width")) for box in boxes) == int(root.get("width"))
    for text, box in zip((left, right), boxes, strict=True):
        start = int(box.get("x") or 0)
        assert start < int(text.get("x"))
        assert int(text.get("x")) + int(text.get("textLength")) < start + int(box.get("width"))
        assert 4 * len(text.text) < int(text.get("textLength")) < 9 * len(text.text)


@names
def test_no_name_gets_out_of_a_badge(name):
    found = dataclasses.replace(named(name), rate=RATED.rate, threats=(name, name))
    page = badge.svg(found).encode("utf-8").decode()
    assert {element.tag for element in Xml.fromstring(page).iter()} == {
        f"{SVG}{n}" for n in ("svg", "title", "rect", "text")
    }
    assert not hidden(page)
    assert int(Xml.fromstring(page).get("width")) < 1000
    json.loads(badge.endpoint(found))


def test_characters_that_xml_forbids():
    found = replaced(threats=("a\ufffe\uffffb",), finished="\ufffe")
    assert Xml.fromstring(badge.svg(found)).find(f"{SVG}title") is not None


def test_annotations_are_at_the_lines_of_the_policy(tmp_path):
    policy = tmp_path / "ci" / "holdfast.toml"
    lines = annotations.render(replaced(policy=str(policy)), str(tmp_path)).splitlines()
    assert [line.partition(",title")[0] for line in lines] == [
        "::error file=ci/holdfast.toml,line=4",
        "::warning file=ci/holdfast.toml,line=7",
    ]
    assert lines[0].endswith("::net: rule 1: 50.5 %25 [43.4, 57.6] (101/200); wanted: at least 60.0 %25")
    odd = annotations.render(replaced(policy=str(tmp_path / "a,line=1::b%.toml")), str(tmp_path))
    assert "file=a%2Cline=1%3A%3Ab%25.toml,line=4," in odd
    assert "file=p.toml," in annotations.render(replaced(policy="/elsewhere/p.toml"), str(tmp_path))


def test_an_advisory_gate_only_warns_and_one_without_a_result_is_an_error():
    told = annotations.render(replaced(advisory=True), ".")
    assert {line.split()[0] for line in told.splitlines()} == {"::warning"}
    (line,) = annotations.render(replaced(checks=(), state="incomplete", text="Not decided: why."), ".").splitlines()
    assert line.startswith("::error file=holdfast.toml,line=1,")
    assert line.endswith("Not decided: why.")
    assert annotations.render(replaced(checks=GATE.checks[:1], state="passed"), ".") == ""


@names
def test_no_name_ends_its_annotation_or_begins_another(name):
    found = dataclasses.replace(named(name), state="empty")
    lines = annotations.render(found, ".").splitlines()
    assert len(lines) == 3
    for line in lines:
        match = re.fullmatch(r"::(error|warning) file=([^,:]*),line=\d+,title=holdfast gate::(.*)", line)
        assert match
        assert not re.search(r"%(?!25|0A|0D|3A|2C)", match[2] + match[3])


def test_text_with_commands_in_it_is_fenced_by_a_token_nobody_knows():
    first, second = (annotations.fenced("::add-mask::x\n::error::y").splitlines() for _ in range(2))
    token = first[0].removeprefix("::stop-commands::")
    assert first[1:] == ["::add-mask::x", "::error::y", f"::{token}::"]
    assert len(token) >= 32
    assert first[0] != second[0]
