"""Stopping early: the formula, the error rates by simulation, runs that stop."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from evaluation import world
from holdfast.core.errors import UsageError
from holdfast.data.dataset import Dataset
from holdfast.evaluation.comparison import compare
from holdfast.evaluation.decide import decided
from holdfast.evaluation.sequential import confidence, evidence, judge, looks, parse
from holdfast.evaluation.statistics import interval
from holdfast.evaluation.store import Folder

OTHER = ["clean_accuracy >= 1", "clean_accuracy >= 1.2.3", "clean_accuracy >= 0"]
PLAN = {"threat": "linf:1/20", "suite": "pgd(steps=3)", "seed": 0, "new": False, "limit": None}


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.1, 0.5, 0.8]))
def test_the_evidence_is_the_average_over_larger_rates(pair, t):
    k, n = pair
    whole = quad(lambda p: (p / t) ** k * ((1 - p) / (1 - t)) ** (n - k), t, 1)[0] / (1 - t)
    assert evidence(k, n, t) == pytest.approx(math.log(whole), abs=1e-6)


def test_one_sample_by_hand():
    """A sample that holds, t = 1/2: the average of 2 p over (1/2, 1) is 3/2; one that does not: of 2 (1 - p), 1/2."""
    assert math.exp(evidence(1, 1, 0.5)) == pytest.approx(1.5)
    assert math.exp(evidence(0, 1, 0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.9])
def test_wealth_shrinks_on_average_where_the_rate_is_at_most_the_threshold(t):
    """E after one more sample, averaged over the sample, is E itself at p = t and less below it."""
    for k, n in ((0, 0), (3, 5), (20, 21), (1, 30)):
        now, up, down = (math.exp(evidence(*pair, t)) for pair in ((k, n), (k + 1, n + 1), (k, n + 1)))
        assert t * up + (1 - t) * down == pytest.approx(now, rel=1e-9)
        assert t / 2 * up + (1 - t / 2) * down < now


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.9])
def test_wrong_answers_are_rare_however_often_one_looks(rate):
    """2,000 audits of up to 400 samples whose rate is the threshold, looked at after each sample."""
    held = (np.random.default_rng(0).random((2000, 400)) < rate).cumsum(1)
    pairs, place = np.unique(held * 1000 + np.arange(1, 401), return_inverse=True)
    found = np.array([evidence(int(pair) // 1000, int(pair) % 1000, rate) for pair in pairs])
    wrong = (found[place.reshape(held.shape)] >= math.log(20)).any(1).mean()
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert wrong > 0, "the bound is not reached by never deciding"


def test_looking_again_and_again_at_the_exact_interval_would_be_wrong_more_often():
    draw = np.random.default_rng(0)
    held = (draw.random((400, 1000)) < 0.5).cumsum(1)
    wrong = 0
    for row in held:
        wrong += any(
            interval(int(row[n - 1]), n)[0] > 0.5 or interval(int(row[n - 1]), n)[1] < 0.5 for n in looks(1000)
        )
    assert wrong / 400 > 0.08


def test_the_interval_holds_at_all_looks_at_once():
    draw = np.random.default_rng(1)
    held = (draw.random((400, 500)) < 0.7).cumsum(1)
    missed = sum(any(not lies(0.7, int(row[n - 1]), n) for n in looks(500)) for row in held)
    assert missed / 400 <= 0.05


def lies(rate, k, n):
    low, high = confidence(k, n)
    return low <= rate <= high


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wider_than_the_exact_one_and_symmetric(pair):
    k, n = pair
    low, high = confidence(k, n)
    exact = interval(k, n)
    assert low <= exact[0] + 1e-9
    assert exact[1] <= high + 1e-9
    assert confidence(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_answers():
    assert judge(parse("clean_accuracy >= 0.5"), 25, 32).answer == "yes"
    assert judge(parse("clean_accuracy <= 0.5"), 25, 32).answer == "no"
    assert judge(parse("clean_accuracy >= 0.5"), 7, 32).answer == "no"
    assert judge(parse("clean_accuracy >= 0.5"), 16, 32).answer == "undecided"
    close = [judge(parse("clean_accuracy >= 0.5"), k, 32).answer for k in (23, 24)]
    assert close == ["undecided", "yes"], "e-values 9.2 and 24.7: from 20 on it is decided"
    assert judge(parse("clean_accuracy >= 0.5"), 24, 32, level=0.99).answer == "undecided"
    assert list(looks(100)) == [32, 48, 72, 100]
    assert list(looks(10)) == [10]


@pytest.mark.parametrize("text", ["", "robust >= 0.5", "clean_accuracy > 0.5", *OTHER])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="HF826"):
        parse(text)


def test_a_run_stops_once_the_question_is_answered(tmp_path):
    found = decided(world.model()[0], world.data(300), decide="clean_accuracy >= 0.5", out=tmp_path / "a", **PLAN)
    summary = found.summary
    assert (summary.data.n, summary.decision.looks) == (32, (32,))
    assert summary.decision.answer == "yes"
    assert summary.verdict.text.startswith(
        "Decided after 32 samples: the clean accuracy is above 50.0 % (at most 5 of 100"
    )
    assert summary.rates.clean_accuracy.method == "confidence sequence"
    assert (summary.rates.clean_accuracy.low, summary.rates.clean_accuracy.high) == confidence(
        summary.rates.clean_accuracy.k, 32
    )
    assert "stopped when it knew enough" in summary.limits[-1]
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["decision"]["answer"] == "yes"
    decided(world.model()[0], world.data(300), decide=None, out=tmp_path / "b", **PLAN | {"limit": 32})
    (pair,) = compare([Folder(tmp_path / "a"), Folder(tmp_path / "b")], common=True).pairs
    assert [note.split(" was asked")[0] for note in pair.notes if "--decide" in note] == [str(tmp_path / "a")]


def test_a_run_that_cannot_decide_uses_all_samples_and_says_so(tmp_path):
    words = "empirical_robust_accuracy >= 0.5"
    whole = decided(world.model()[0], world.data(60), decide=None, out=tmp_path / "a", **PLAN).summary
    rate = whole.rates.empirical_robust_accuracy
    words = f"empirical_robust_accuracy <= {rate.point:.3f}"
    found = decided(world.model()[0], world.data(60), decide=words, out=tmp_path / "b", **PLAN).summary
    assert found.decision.answer == "undecided"
    assert found.decision.looks == (32, 48, 60)
    assert found.verdict.text.startswith("Undecided after 60 samples")
    assert found.rates.empirical_robust_accuracy.k == rate.k, "the looks change no result"
    assert found.threats[0].empirical_robust_accuracy == found.rates.empirical_robust_accuracy
    assert found.rates.empirical_robust_accuracy.low < rate.low


def test_samples_in_groups_cannot_decide(tmp_path):
    data = world.data(60)
    data = Dataset(data.x, data.y, ids=data.ids, groups=[i // 5 for i in range(60)])
    with pytest.raises(UsageError, match="HF826 .*groups"):
        decided(world.model()[0], data, decide="clean_accuracy >= 0.5", out=tmp_path / "a", **PLAN)
