"""Ranges, declared once and read by the check."""

import dataclasses
import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import params
from holdfast.core.errors import ParameterError
from holdfast.core.params import Count, Fraction, NonNegative, Positive, Range, Share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A method.

    Args:
        steps: Passes over the input,
            two lines long.
        rate, share: Two of a kind.
        kind: Which way.

    Raises:
        Nothing: at all.
    """

    steps: Count = 1
    rate: Positive = 1.0
    share: Share = 0.5
    inside: Fraction = 0.5
    size: NonNegative = 0.0
    kind: Literal["ce", "dlr"] = "ce"
    start: bool = True
    title: str = ""

    def __post_init__(self):
        params.check(self)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("steps", 1.0), ("steps", True), ("steps", "1"), ("steps", None),
        ("rate", 0.0), ("rate", math.inf), ("rate", math.nan), ("share", -1e-9), ("share", 1 + 1e-9),
        ("inside", 0), ("inside", 1), ("size", -1), ("size", math.inf), ("kind", "CE"), ("start", 1), ("title", 3),
    ],
)  # fmt: skip
def test_outside_is_refused_with_the_standard_message(name, value):
    with pytest.raises(ParameterError) as caught:
        Method(**{name: value})
    assert str(caught.value).startswith(f"HF001 The '{name}' parameter of Method must be ")
    assert str(caught.value).endswith(f"Got {value!r}.")


def test_the_bounds_themselves():
    Method(steps=1, rate=1e-300, share=0, size=0, kind="dlr")
    Method(share=1, steps=10**12)


def test_declarations_are_read_with_their_meaning():
    found = {p.name: p for p in params.parameters(Method)}
    assert found["steps"] == params.Parameter("steps", int, Range(1), 1, "Passes over the input, two lines long.")
    assert found["rate"].meaning == found["share"].meaning == "Two of a kind."
    assert found["title"].range is None
    assert "Nothing" not in found


@given(
    low=st.floats(-9, 9),
    width=st.floats(0, 9),
    value=st.floats(allow_nan=True),
    left=st.booleans(),
    right=st.booleans(),
)
def test_a_range_contains_what_its_text_says(low, width, value, left, right):
    found = value in Range(low, low + width, open_low=left, open_high=right)
    assert found == (
        (low < value or (low == value and not left)) and (value < low + width or (value == low + width and not right))
    )


def test_the_text_of_a_range():
    assert str(Range(1)) == "[1, inf]"
    assert str(Range(0, 1, open_low=True)) == "(0, 1]"


def test_a_long_value_is_told_by_its_beginning_and_its_type():
    with pytest.raises(ParameterError) as caught:
        Method(steps=list(range(1000)))
    assert "... of type list" in str(caught.value)
    assert len(str(caught.value)) < 200
