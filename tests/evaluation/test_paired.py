"""Paired statistics against values worked by hand, closed forms, published examples and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from holdfast.core.errors import ParameterError
from holdfast.evaluation.paired import detectable, holm, mcnemar, over_groups, paired, power, tango

counts = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60)).filter(any)


def test_mcnemar_by_hand():
    """1 of 8: 2 (1 + 8) / 256. 0 of 5: 2 / 32. 2 of 4: everything. Nothing differs: nothing is found."""
    assert mcnemar(1, 7) == pytest.approx(18 / 256, rel=1e-12)
    assert mcnemar(5, 0) == pytest.approx(2 / 32, rel=1e-12)
    assert mcnemar(2, 2) == 1.0
    assert mcnemar(0, 0) == 1.0
    assert round(mcnemar(31, 13), 4) == 0.0096, "the example of the specification"


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_twice_the_smaller_tail(won, lost):
    m = won + lost
    tail = sum(math.comb(m, k) for k in range(min(won, lost) + 1)) / 2**m
    assert mcnemar(won, lost) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


def test_tango_published():
    """Fagerland, Lydersen, Laake, Statistics in Medicine 2014, airway reactivity: 1, 1, 7, 12 -> -0.517 to -0.026."""
    assert [round(v, 3) for v in tango(1, 7, 21)] == [-0.517, -0.026]


@pytest.mark.parametrize("n", [1, 5, 44, 1000])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_tango_where_its_equation_has_a_closed_solution(n, level):
    """Nothing differs: n d^2 = z^2 d (1 - d). All won: n (1 - d)^2 = z^2 (1 - d^2)."""
    z2 = norm.ppf((1 + level) / 2) ** 2
    assert tango(0, 0, n, level) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), rel=1e-9)
    assert tango(n, 0, n, level) == pytest.approx(((n - z2) / (n + z2), 1.0), rel=1e-9)
    assert tango(0, n, n, level) == pytest.approx((-1.0, -(n - z2) / (n + z2)), rel=1e-9)


@given(counts)
def test_tango_ends_where_the_score_test_begins_to_reject(found):
    """The likelihood under the difference d is maximized numerically, not by Tango's formula."""
    won, lost, rest = found
    n = won + lost + rest
    z = norm.ppf(0.975)

    def score(d):
        def minus(q):
            p = q + d
            return -sum(k * math.log(max(v, 1e-300)) for k, v in ((won, p), (lost, q), (rest, 1 - p - q)))

        low, high = max(0.0, -d), min((1 - d) / 2, 1 - max(d, 0.0))
        q = minimize_scalar(minus, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        return (won - lost - n * d) / math.sqrt(max(n * (2 * q + d - d * d), 1e-300))

    low, high = tango(won, lost, n)
    assert -1 <= low <= (won - lost) / n <= high <= 1
    for end, sign in ((low, 1), (high, -1)):
        if abs(end) < 0.999:
            assert score(end) == pytest.approx(sign * z, rel=2e-3)


@given(counts)
def test_swapping_the_runs_turns_everything_around(found):
    won, lost, rest = found
    here, there = paired(rest, lost, won, 0), paired(rest, won, lost, 0)
    assert here.difference == -there.difference
    assert (here.low, here.high) == pytest.approx((-there.high, -there.low), abs=1e-9)
    assert here.p == there.p
    assert here.detectable == there.detectable


@pytest.mark.parametrize("n", [6, 7, 12])
def test_power_where_everything_that_differs_is_lost(n):
    """Six losses of six: p = 1/32, five of five: 1/16. So with n = 6 all must be lost: probability drop^6."""
    from scipy.stats import binom

    assert power(n, 0.5, 0.5) == pytest.approx(binom.sf(5, n, 0.5), rel=1e-9)
    assert detectable(5, 0.0) is None
    assert detectable(6, 0.0) == pytest.approx(0.8 ** (1 / 6), abs=1e-4)


@pytest.mark.parametrize(("n", "differing", "drop"), [(200, 0.2, 0.09), (50, 0.3, 0.2), (1000, 0.1, 0.03)])
def test_power_against_simulation(n, differing, drop):
    draw = np.random.default_rng(1)
    tables = draw.multinomial(n, [(differing + drop) / 2, (differing - drop) / 2, 1 - differing], size=4000)
    pairs, times = np.unique(tables[:, :2], axis=0, return_counts=True)
    found = sum(t for (lost, won), t in zip(pairs, times, strict=True) if lost > won and mcnemar(won, lost) <= 0.05)
    assert found / 4000 == pytest.approx(power(n, differing, drop), abs=4 * math.sqrt(0.25 / 4000))


def test_the_detectable_drop_of_the_specification():
    """200 samples see a drop of some 6 to 12 points when 10 to 30 % of the pairs differ, 1,000 samples 3 to 5."""
    found = [[detectable(n, share) for share in (0.1, 0.3)] for n in (200, 1000)]
    assert 0.06 < found[0][0] < found[0][1] < 0.12
    assert 0.025 < found[1][0] < found[1][1] < 0.051
    for n, share, drop in ((200, 0.1, found[0][0]), (1000, 0.3, found[1][1])):
        assert power(n, share, drop) >= 0.8 > power(n, share, drop - 1e-4)


def test_the_interval_covers():
    """Over the whole distribution of a small table: Tango's interval holds the truth about 95 times of 100."""
    n, won, lost = 30, 0.25, 0.1
    inside = 0.0
    for a, b in itertools.product(range(n + 1), repeat=2):
        if a + b > n:
            continue
        weight = math.comb(n, a) * math.comb(n - a, b) * won**a * lost**b * (1 - won - lost) ** (n - a - b)
        low, high = tango(a, b, n)
        inside += weight * (low <= won - lost <= high)
    assert 0.93 < inside < 0.97


def test_holm_by_hand():
    """Sorted 0.01, 0.03, 0.04: times 3, 2, 1, never falling."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_two_runs_over_groups():
    """Ten samples lost in two groups of five: two witnesses, not ten."""
    first, second = [True] * 40, [False] * 10 + [True] * 30
    alone, grouped = (over_groups(first, second, source) for source in ([-1] * 40, [i // 5 for i in range(40)]))
    assert alone == paired(30, 10, 0, 0)
    assert (grouped.lost, grouped.difference, grouped.groups) == (10, -0.25, 8)
    assert grouped.p == 0.5, "2 of 4 signs reach as far"
    assert grouped.high - grouped.low > alone.high - alone.low
    assert (grouped.interval, grouped.test, grouped.detectable) == ("cluster bootstrap", "exact group sign flips", None)
    nothing = over_groups(first, first, [i // 5 for i in range(40)])
    assert (nothing.low, nothing.high) == tango(0, 0, 8)
    everything = over_groups(first, [False] * 40, [i // 5 for i in range(40)])
    assert (everything.low, everything.high) == tango(0, 8, 8)


def test_text_and_significance():
    found = paired(60, 31, 13, 96)
    assert str(found) == "-9.0 points [-15.6, -2.6] (13 won, 31 lost of 200; p = 0.0096)"
    assert found.significant
    assert not paired(1, 7, 1, 12).significant, "the interval excludes 0, the exact test decides"


@pytest.mark.parametrize("four", [(-1, 1, 1, 1), (0, 0, 0, 0)])
def test_impossible_counts_are_refused(four):
    with pytest.raises(ParameterError, match="HF001"):
        paired(*four)


@pytest.mark.parametrize(
    ("won", "lost", "n", "level"), [(-1, 0, 5, 0.95), (3, 3, 5, 0.9), (0, 0, 0, 0.9), (1, 1, 5, 1.0)]
)
def test_impossible_intervals_are_refused(won, lost, n, level):
    with pytest.raises(ParameterError, match="HF001"):
        tango(won, lost, n, level)
