import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from holdfast.core.errors import ParameterError
from holdfast.evaluation.statistics import Rate, interval, rate


def test_published_values():
    """Clopper-Pearson for 101 of 200 and 24 of 200, as the specification quotes them."""
    assert [round(100 * v, 1) for v in interval(101, 200)] == [43.4, 57.6]
    assert [round(100 * v, 1) for v in interval(24, 200)] == [7.8, 17.3]


def test_edges_are_exact():
    """With no success the upper end solves (1 - p)^n = 0.025; the lower end is 0 itself, and the mirror image."""
    low, high = interval(0, 7)
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / 7), rel=1e-12)
    low, high = interval(7, 7)
    assert high == 1.0
    assert low == pytest.approx(0.025 ** (1 / 7), rel=1e-12)


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_against_scipy(pair, level):
    k, n = pair
    theirs = binomtest(k, n).proportion_ci(level, method="exact")
    assert interval(k, n, level) == pytest.approx((theirs.low, theirs.high), abs=1e-10)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_point_lies_inside(pair):
    found = rate(*pair, "samples")
    assert found.low <= found.point <= found.high
    assert found.point == pair[0] / pair[1]


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ParameterError, match="HF001"):
        rate(k, n, "samples")


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_impossible_levels_are_refused(level):
    with pytest.raises(ParameterError, match="HF001"):
        rate(1, 2, "samples", level)


def test_a_share_cannot_be_made_up():
    with pytest.raises(ParameterError, match="k / n"):
        Rate(k=1, n=2, point=0.6, low=0.0, high=1.0, denominator="samples")


def test_text():
    assert str(rate(101, 200, "samples")) == "50.5 % [43.4, 57.6] (101/200)"
