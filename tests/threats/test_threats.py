"""Threats as values and as text."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import DataError, ParameterError, ThreatError
from holdfast.threats.literals import parse
from holdfast.threats.space import Box, Image, space_of
from holdfast.threats.threats import BLACK_BOX, L0, L1, L2, WHITE_BOX, Linf
from holdfast.threats.written import measure_of, number, radius, scaled, spelled

LITERALS = {
    "linf:8/255": Linf(8 / 255),
    "l2:inf": L2(),
    "l2": L2(),
    "l1:12": L1(12),
    "l0:10": L0(10),
    "l2:1/2": L2(0.5),
    "linf:8/255,knowledge=scores,queries=1000": Linf(8 / 255, "scores", 1000),
    "linf:0.0313,knowledge=labels": Linf(0.0313, "labels"),
}


NAME = st.sampled_from(["linf", "L2", "l1", "l0", "table", "lif", ""])
VALUE = st.sampled_from(["8/255", "0.1", "inf", "-1", "1/0", "x", "", " 3 ", "1e-3", "2.5", "nan", "10"])
OPTION = st.builds(
    lambda key, value: f"{key}={value}",
    st.sampled_from(["knowledge", "queries", "features", "cost", "linf", " l2", "steps"]),
    st.sampled_from(["scores", "labels", "gradients", "3", "0", "2.5", "inf", "1/2", "", " 7 "]),
)
LITERAL = st.builds(
    lambda name, value, options: ",".join([f"{name}:{value}", *options]), NAME, VALUE | OPTION, st.lists(OPTION)
)
EDGES = ["table", "table:", "linf", "linf:1,", "table:features=3,", "l2:1,knowledge", "table:linf=1,cost=2"]


@given(LITERAL | st.sampled_from([*LITERALS, *EDGES]))
def test_a_literal_is_spelled_without_tensors_as_the_parser_does(text):
    try:
        literal = parse(text).literal
    except ThreatError:
        literal = ""
    assert spelled(text) == literal


@pytest.mark.parametrize(("text", "threat"), LITERALS.items())
def test_literals_are_read(text, threat):
    assert parse(text) == threat
    assert parse(threat) is threat
    head, comma, options = text.partition(",")
    assert parse(f" {head.upper()} {comma} {options} ") == threat


@given(
    kind=st.sampled_from([Linf, L2, L1, L0]),
    radius=st.floats(0, 1e6) | st.just(math.inf),
    knowledge=st.sampled_from(["gradients", "scores", "labels"]),
    queries=st.none() | st.integers(1, 10**9),
)
def test_literals_round_trip(kind, radius, knowledge, queries):
    threat = kind(radius, knowledge, queries)
    assert parse(threat.literal) == threat
    assert str(threat) == threat.literal


def test_numbers_are_fractions_where_a_small_one_is_exact():
    assert number(8 / 255) == "8/255"
    assert [number(k / 255) for k in (3, 6, 10, 15, 16, 51)] == ["3/255", "6/255", "10/255", "15/255", "16/255", "1/5"]
    assert all(parse(f"linf:{number(k / 255)}").radius == k / 255 for k in range(1, 256))
    assert number(3.0) == "3"
    assert number(0.5) == "1/2"
    assert number(1 / 1000) == "1/1000"
    assert number(1 / 1001) == repr(1 / 1001)
    assert number(math.inf) == "inf"


@pytest.mark.parametrize("text", [*LITERALS, "l0:5,queries=9", "table:features=3", "table:features=1,cost=2",
                                  "table:linf=1/2,knowledge=scores", "table", "linf:0", "l1:1e6"])  # fmt: skip
def test_a_literal_alone_tells_what_its_threat_does(text):
    threat = parse(text)
    assert radius(threat.literal) == (threat.radius if threat.bounded else None)
    assert measure_of(threat.literal) == threat.measure
    for share in (0.5, 2, 1 / 3):
        other = threat.scaled(share)
        same = not threat.bounded or other.radius in (0, threat.radius)
        assert scaled(threat.literal, share) == ("" if same else other.literal)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linff:1", "HF301 .* did you mean linf:1"),
        ("linf:x", "HF302 .*'x' is no number"),
        ("linf:1/0", "HF302"),
        ("linf:-1", "HF302 .*radius.* must be float in"),
        ("linf:1,knowledge=all", "HF302 .*knowledge"),
        ("linf:1,queries=0", "HF302 .*queries"),
        ("linf:1,queries=many", "HF302"),
        ("linf:1,steps=3", "HF302 .*'steps=3' is unknown"),
        ("linf:1,queries", "HF302 .*'queries' is unknown"),
        ("linf:nan", "HF302"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(text, message):
    with pytest.raises(ThreatError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_values_outside_their_range_are_refused():
    for wrong in ({"radius": -0.1}, {"radius": math.nan}, {"queries": 0}, {"knowledge": "some"}):
        with pytest.raises(ParameterError, match="HF001"):
            Linf(**wrong)


def test_words_and_taxonomy():
    image, box = Image((0, 1)), Box((0, 1))
    assert Linf(8 / 255).words(image) == "any pixel may move by at most 8/255"
    assert Linf(8 / 255, "scores", 100).words(box) == (
        "any feature may move by at most 8/255, seeing only scores, in at most 100 queries"
    )
    assert L2(0.5).words(image).startswith("the pixels together may move by a Euclidean length of at most 1/2")
    assert "add up to at most 12" in L1(12).words(box)
    assert L0(3).words(box) == "at most 3 features may take any value"
    assert "color channel" in L0(3).words(image)
    assert L2().words(box) == "any feature may move; the nearest wrong input is sought"
    assert Linf(1).taxonomy is WHITE_BOX
    assert Linf(1, "labels").taxonomy is BLACK_BOX
    assert all(a.startswith("AML.T") for a in WHITE_BOX.atlas + BLACK_BOX.atlas)


def test_bounded_at_and_around():
    assert Linf(1).bounded
    assert not Linf().bounded
    assert L2(1, "scores", 5).at(2) == L2(2, "scores", 5)
    x = torch.rand(3, 2, 4, 4)
    region = L2(1).around(x, Box((-1.0, 2.0)))
    assert region.radius.tolist() == [1.0] * 3
    assert (region.low == -1).all()
    assert (region.high == 2).all()
    assert (L2(1).around(x).high == 1).all()


def test_spaces():
    x = torch.tensor([[0.0, 1.0], [0.5, 1.1], [-0.1, 0.5], [math.nan, 0.5]])
    assert Box((0, 1)).validate(x).tolist() == [True, False, False, False]
    per_feature = Box(((0.0, -5.0), (1.0, 5.0)))
    assert per_feature.validate(torch.tensor([[0.5, -4.0], [0.5, 6.0]])).tolist() == [True, False]
    low, high = per_feature.limits(torch.zeros(3, 2))
    assert low[2].tolist() == [0.0, -5.0]
    assert high[0].tolist() == [1.0, 5.0]
    assert isinstance(space_of(torch.zeros(1, 3, 5, 5)), Image)
    assert not isinstance(space_of(torch.zeros(1, 2, 5, 5)), Image)
    assert not isinstance(space_of(torch.zeros(1, 3)), Image)
    for wrong in ((1, 0), (0, 0), (0, math.inf), (math.nan, 1)):
        with pytest.raises(DataError, match="HF103"):
            Box(wrong)
    said = Box((0, 1)).describe(torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0.0, 0.75, 0.4]))
    assert said == "2 of 3 features moved, by at most 0.25"
