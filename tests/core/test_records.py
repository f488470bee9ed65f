"""A record and its JSON text say the same thing."""

import dataclasses
import json
import math
import pathlib
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import records
from holdfast.core.errors import ParameterError
from holdfast.core.params import Count, Range, check


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    """A record inside a record."""

    momentum: Annotated[float, Range(0, 1)] = 0.0
    limit: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    """A record."""

    steps: Count = 40
    radius: float = math.inf
    start: bool = True
    title: str = ""
    inner: Inner = Inner()
    radii: tuple[float, ...] = ()
    needs: frozenset[str] = frozenset()

    def __post_init__(self):
        check(self)


CLASSES = {"Inner": Inner, "Outer": Outer}
reals = st.floats(allow_nan=False)
inners = st.builds(Inner, momentum=st.floats(0, 1), limit=st.none() | reals)
outers = st.builds(
    Outer,
    steps=st.integers(1, 10**9),
    radius=reals,
    start=st.booleans(),
    title=st.text(),
    inner=inners,
    radii=st.lists(st.floats(-9, 9), max_size=3).map(tuple),
    needs=st.frozensets(st.text(max_size=4), max_size=3),
)


@given(outers)
def test_a_record_comes_back_from_its_json_text(record):
    assert records.revive(json.loads(records.canonical(record)), CLASSES.__getitem__) == record


@given(outers, outers)
def test_equal_digests_mean_equal_records(one, other):
    assert (records.digest(one) == records.digest(other)) == (one == other)


def test_the_class_comes_first_and_the_form_is_plain():
    document = records.config(Outer(needs=frozenset({"b", "a"}), radii=(0.1, math.nan)))
    assert list(document)[:2] == ["name", "steps"]
    assert document["inner"] == {"name": "Inner", "momentum": 0.0, "limit": None}
    assert document["needs"] == ["a", "b"]
    assert document["radius"] == "inf"
    assert document["radii"] == [0.1, "nan"]


def test_an_integer_in_a_real_field_is_the_same_configuration():
    assert records.canonical(Inner(momentum=1, limit=2)) == records.canonical(Inner(momentum=1.0, limit=2.0))
    assert records.digest(Inner(momentum=-0.0)) == records.digest(Inner(momentum=0.0))


def test_the_digest_is_fixed_for_all_time():
    assert records.canonical({"b": [1, 2.5, None], "a": pathlib.PurePosixPath("x/y")}) == '{"a":"x/y","b":[1,2.5,null]}'
    assert records.digest(b"holdfast") == "97bd0ace51386240a72ffed7f5dde311"
    assert records.digest("holdfast") == records.digest(b'"holdfast"')


@pytest.mark.parametrize("value", [object(), {1: "a"}, {"a": {None: 1}}, [object()], 1j, Outer])
def test_what_has_no_json_form_is_refused(value):
    with pytest.raises(ParameterError, match="HF002"):
        records.canonical(value)


def test_a_record_with_a_field_called_name_is_no_configuration():
    named = dataclasses.make_dataclass("Named", [("name", Any)])
    with pytest.raises(ParameterError, match="HF002"):
        records.config(named("x"))


def test_unknown_missing_and_bad_parameters_are_refused():
    def find(name):
        return CLASSES[name]

    with pytest.raises(ParameterError, match="HF003 Outer has no parameter 'step'"):
        records.revive({"name": "Outer", "step": 1}, find)
    with pytest.raises(ParameterError, match=r"HF001 The 'steps' parameter of Outer must be int in \[1, inf\]. Got 0"):
        records.revive({"name": "Outer", "steps": 0}, find)
    needy = dataclasses.make_dataclass("Needy", [("x", int)])
    with pytest.raises(ParameterError, match="HF003 Needy cannot be built"):
        records.revive({"name": "Needy"}, lambda name: needy)
