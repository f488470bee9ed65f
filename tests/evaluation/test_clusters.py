"""Samples in groups: closed forms, the exact McNemar test as a special case, coverage by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import world
from holdfast.data.dataset import Dataset
from holdfast.evaluation.audit import audit
from holdfast.evaluation.clusters import alone, change, count, grouped, share, sign_flip
from holdfast.evaluation.comparison import compare
from holdfast.evaluation.paired import mcnemar
from holdfast.evaluation.statistics import interval, rate
from holdfast.evaluation.store import Folder
from holdfast.report import markdown, text
from holdfast.report.comparison import render
from holdfast.report.run import Run


def test_groups_are_counted():
    assert not grouped([-1, -1, 0, 1])
    assert grouped([-1, 0, 0])
    assert count([-1, -1, 0, 0, 5]) == 4
    assert count([]) == 0


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_without_groups_it_is_the_exact_interval(held):
    for source in ([-1] * len(held), list(range(len(held)))):
        assert share(held, source, "samples") == rate(sum(held), len(held), "samples")


@pytest.mark.parametrize("value", [True, False])
def test_where_all_groups_are_alike_each_counts_as_one_sample(value):
    """12 groups of 5, all held or none: the exact interval of 12 of 12 or 0 of 12, not of 60."""
    found = share([value] * 60, [i // 5 for i in range(60)], "samples")
    assert (found.low, found.high) == pytest.approx(interval(12 * value, 12))
    assert (found.k, found.n, found.groups, found.method) == (60 * value, 60, 12, "cluster bootstrap")
    half = share([True, False] * 10, [i // 2 for i in range(20)], "samples")
    assert (half.low, half.high) == pytest.approx(interval(5, 10))
    assert alone(0.5, 10, 0.95) == pytest.approx(interval(5, 10))


def test_groups_that_stand_or_fall_together_are_as_many_samples():
    """30 groups of 10 equal samples, 20 held: about the interval of 20 of 30, three times as wide as of 200 of 300."""
    held = [i // 10 < 20 for i in range(300)]
    found = share(held, [i // 10 for i in range(300)], "samples")
    assert (found.low, found.high) == pytest.approx(interval(20, 30), abs=0.04)
    naive = interval(200, 300)
    assert found.high - found.low > 2.5 * (naive[1] - naive[0])


def test_it_is_seeded():
    draw = np.random.default_rng(0)
    held, source = (draw.random(90) < 0.6).tolist(), (np.arange(90) // 4).tolist()
    assert share(held, source, "samples", seed=1) == share(held, source, "samples", seed=1)
    assert share(held, source, "samples", seed=1) != share(held, source, "samples", seed=2)


@given(st.lists(st.tuples(st.booleans(), st.integers(-1, 8)), min_size=1, max_size=40))
@settings(max_examples=30)
def test_the_point_lies_inside_whatever_the_groups(pairs):
    held, source = [a for a, _ in pairs], [b for _, b in pairs]
    found = share(held, source, "samples")
    assert 0 <= found.low <= found.point <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize(
    ("groups", "size", "mean", "spread"), [(20, 8, 0.5, 1.0), (40, 5, 0.9, 1.0), (100, 5, 0.5, 2.0)]
)
def test_coverage(groups, size, mean, spread):
    """Beta-binomial groups: the exact interval misses the truth every fourth time, this one about every twentieth."""
    draw, here, naive, times = np.random.default_rng(5), 0, 0, 150
    source = np.repeat(np.arange(groups), size).tolist()
    for turn in range(times):
        chance = draw.beta(spread * mean, spread * (1 - mean), groups)
        held = (draw.random((groups, size)) < chance[:, None]).ravel().tolist()
        found = share(held, source, "samples", seed=turn)
        here += found.low <= mean <= found.high
        low, high = interval(sum(held), len(held))
        naive += low <= mean <= high
    assert here / times >= 0.88
    assert naive / times <= 0.85


@given(st.integers(0, 25), st.integers(0, 25), st.integers(0, 10))
def test_sign_flips_of_single_samples_are_the_exact_mcnemar_test(won, lost, same):
    values = [1] * won + [-1] * lost + [0] * same
    for source in ([-1] * len(values), list(range(len(values)))):
        assert sign_flip(values, source) == pytest.approx(mcnemar(won, lost), rel=1e-9)


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 5)), min_size=1, max_size=30))
def test_sign_flips_against_all_signs(pairs):
    values, source = [a for a, _ in pairs], [b for _, b in pairs]
    sums = [sum(v for v, g in pairs if g == group) for group in sorted(set(source))]
    all_ = [
        abs(sum(s * v for s, v in zip(signs, sums, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(sums))
    ]
    wanted = sum(total >= abs(sum(values)) for total in all_) / len(all_)
    assert sign_flip(values, source) == pytest.approx(wanted, rel=1e-9)


def test_ten_samples_of_one_group_are_one_witness():
    """All ten lost: p = 1/512 if they were strangers, nothing if they are one group."""
    assert sign_flip([-1] * 10, [-1] * 10) == pytest.approx(2 / 1024)
    assert sign_flip([-1] * 10, [0] * 10) == 1.0
    assert sign_flip([-1] * 10, [i // 2 for i in range(10)]) == pytest.approx(2 / 32)


def test_the_interval_of_a_change():
    values = [-1] * 10 + [0] * 90
    low, high = change(values, [i // 5 for i in range(100)])
    assert low < -0.1 < high
    assert change([0] * 10, [i // 2 for i in range(10)]) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """60 digits in 12 groups of 5."""
    data = world.data(60)
    data = Dataset(data.x, data.y, name="digits", ids=data.ids, groups=[i // 5 for i in range(60)])
    out = tmp_path_factory.mktemp("groups") / "run"
    audit(world.model()[0], data, threat="linf:1/50", suite="pgd(steps=3)", seed=3, out=out)
    return Folder(out)


def test_runs_over_groups_are_compared_by_groups(run, tmp_path):
    data = world.data(60)
    data = Dataset(data.x, data.y, name="digits", ids=data.ids, groups=[i // 5 for i in range(60)])
    other = world.model(shift=0.4)[0]
    for name, taken in (("grouped", data), ("loose", world.data(60))):
        audit(other, taken, threat="linf:1/50", suite="pgd(steps=3)", seed=3, out=tmp_path / name)
        found = compare([run, Folder(tmp_path / name)])
        counts = found.pairs[0].contrasts[0].counts
        values = [(i in found.pairs[0].contrasts[0].won) - (i in found.pairs[0].contrasts[0].lost) for i in data.ids]
        assert (counts.groups, counts.p) == (12, pytest.approx(sign_flip(values, data.groups.tolist())))
        assert "exact sign flips over 12 groups, p = " in found.pairs[0].text
        assert "cluster bootstrap" in render(found, ".txt").replace("\n  ", " ")


def test_a_run_over_groups_says_so(run):
    summary = run.summary
    (threat,) = summary.threats
    rates = (*vars(summary.rates).values(), threat.empirical_robust_accuracy, threat.success_rate)
    assert {found.method for found in rates if found is not None} == {"cluster bootstrap"}
    assert {found.groups for found in rates if found is not None} == {12}
    held = {r["sample"]: r["status"] == "unbroken" for r in run.samples.to_pylist()}
    again = share(list(held.values()), [i // 5 for i in range(60)], rates[1].denominator, seed=3)
    assert again == summary.rates.empirical_robust_accuracy
    assert "over 12 groups" in summary.verdict.text
    limit = next(line for line in summary.limits if "12 groups" in line)
    assert "cluster bootstrap" in limit
    assert "seed 3" in limit
    for view in (text.text(summary), markdown.render(summary), Run(run)._rendered(".html")):
        assert "12 groups" in view.replace("\n", " ")
    assert {point.rate.method for point in threat.curve} == {"clopper-pearson"}
