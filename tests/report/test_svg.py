import re
import xml.etree.ElementTree as Tree

import pytest

from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import CurvePoint
from holdfast.report import html, svg, words
from holdfast.threats import written
from report import fixture

ALL = fixture.ALL


def parsed(markup):
    return Tree.fromstring(str(markup))


def shares(drawing, kind):
    """Start and end of the bars of a kind, in percent of the width."""
    bars = [bar for bar in drawing.iter("rect") if bar.get("class") == kind]
    return [(float(b.get("x")[:-1]), float(b.get("x")[:-1]) + float(b.get("width")[:-1])) for b in bars]


def whiskers(drawing):
    lines = [
        line
        for line in drawing.iter("line")
        if line.get("class").strip() == "whisker" and line.get("y1") == line.get("y2")
    ]
    return [(float(line.get("x1")[:-1]), float(line.get("x2")[:-1])) for line in lines]


@pytest.mark.parametrize(("held", "right"), [(101, 189), (0, 200), (200, 200), (0, 0), (3, 1)])
def test_bracket_is_drawn_to_scale(held, right):
    robust, clean = rate(held, 200, ALL), rate(right, 200, ALL)
    drawing = parsed(svg.bracket(robust, clean))
    end = max(held, right) / 2
    assert shares(drawing, "held") == [(0, pytest.approx(held / 2))]
    assert shares(drawing, "lost") == [(pytest.approx(held / 2), pytest.approx(end))]
    assert shares(drawing, "wrong") == [(pytest.approx(end), pytest.approx(100))]
    assert whiskers(drawing) == [
        (pytest.approx(100 * robust.low, abs=1e-3), pytest.approx(100 * robust.high, abs=1e-3))
    ]
    assert words.rate(robust) in drawing.get("aria-label")
    assert "holdfast-partial" not in [rect.get("fill") for rect in drawing.iter("rect")]


def test_class_row():
    robust, clean = rate(2, 13, ALL), rate(12, 13, ALL)
    drawing = parsed(svg.interval(robust, clean))
    assert whiskers(drawing) == [
        (pytest.approx(100 * robust.low, abs=1e-3), pytest.approx(100 * robust.high, abs=1e-3))
    ]
    assert [float(dot.get("cx")[:-1]) for dot in drawing.iter("circle")] == [pytest.approx(100 * 2 / 13, abs=1e-3)]


def test_bites_follow_each_other():
    threat = fixture.summary().threats[0]
    before = html.standing(threat)
    assert before == [113, 52, 38]
    for stood, attack in zip(before, threat.attacks, strict=True):
        drawing = parsed(svg.bite(stood, attack.broken, 120))
        assert shares(drawing, "held")[0][1] == pytest.approx(100 * (stood - attack.broken) / 120, abs=1e-2)
        assert shares(drawing, "lost")[0][1] == pytest.approx(100 * stood / 120, abs=1e-2)


def test_curve_line_lies_in_its_band_and_falls():
    points = [CurvePoint(radius=r, rate=rate(k, 100, ALL)) for r, k in ((0, 95), (0.5, 60), (1, 20), (2, 20))]
    drawing = parsed(svg.curve(points, 1.0, "Accuracy"))
    line = [tuple(map(float, p.split(","))) for p in drawing.find(".//polyline").get("points").split()]
    band = [tuple(map(float, p.split(","))) for p in drawing.find(".//polygon").get("points").split()]
    assert [x for x, _ in line] == [0, 250, 500, 1000]
    assert [y for _, y in line] == [50, 400, 800, 800]
    for (x, y), upper, lower in zip(line, band[:4], band[:3:-1], strict=True):
        assert x == upper[0] == lower[0]
        assert upper[1] < y < lower[1]
    mark = next(found for found in drawing.iter("line") if found.get("class") == "mark")
    assert float(mark.get("x1")[:-1]) == pytest.approx(13 + 84 / 2)
    assert re.search("60.0\\s% at 0.5; 20.0\\s% at 1;", drawing.get("aria-label"))


@pytest.mark.parametrize("points", [[(0.0, 9)], [(0.0, 9), (1e-9, 3)], [(i / 100, 9) for i in range(100)]])
def test_curves_of_any_length(points):
    drawing = parsed(svg.curve([CurvePoint(radius=r, rate=rate(k, 10, ALL)) for r, k in points], None, "x"))
    labels = [text for text in drawing.iter("text") if text.get("class") == "axis mid"]
    assert 1 <= len(labels) <= 6


def test_text_in_a_chart_is_escaped():
    assert "<b>" not in svg.element("text", "<b>&", class_='"x')
    assert parsed(svg.element("text", "<b>&", class_='"x')).get("class") == '"x'


@pytest.mark.parametrize(
    ("literal", "radius"),
    [("linf:8/255", 8 / 255), ("l2:0.5,knowledge=scores", 0.5), ("l2:inf", None), ("l0:10", 10), ("x", None)],
)
def test_radius_of_a_literal(literal, radius):
    assert written.radius(literal) == radius


def test_weakest_classes_come_first_and_ties_go_to_the_surer_one():
    import dataclasses

    threat = fixture.summary().threats[0]
    one = threat.per_class[0]
    classes = tuple(
        dataclasses.replace(one, label=i, robust=rate(k, n, ALL))
        for i, (k, n) in enumerate([(0, 1), (0, 12), (6, 12), (1, 12)])
    )
    assert [c.label for c in words.weakest(dataclasses.replace(threat, per_class=classes))] == [1, 0, 3, 2]


def test_rates_in_words():
    assert words.rate(rate(101, 200, ALL)).replace("\u00a0", " ") == "50.5 % [43.4, 57.6] (101/200)"
