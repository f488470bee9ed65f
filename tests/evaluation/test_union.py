"""Several threats in one run: what breaks under any, by what, at what cost, counted again from the table."""

import os
import re
import statistics

import pytest

from evaluation.audits import FEW, run
from evaluation.world import model
from holdfast.attacks.evasion.square import Square
from holdfast.evaluation.masking import limits
from holdfast.report.run import Run

THREATS = ["linf:0.1", "l2:0.8", "linf:0.2"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SAMPLES", 0)
        patch.setattr(os, "fsync", lambda descriptor: None)
        out = tmp_path_factory.mktemp("several") / "a"
        return Run(run(out, n=40, threat=THREATS, suite=[FEW, Square(steps=20)], of=model()[0]))


@pytest.fixture(scope="module")
def broken(found):
    """Sample -> threat -> its row, where it broke."""
    rows = {}
    for row in found.samples.to_pylist():
        if row["status"] == "broken":
            rows.setdefault(row["sample"], {})[row["threat"]] = row
    return rows


def test_each_broken_sample_stands_in_one_combination(found, broken):
    told = found.summary.together
    assert {c.threats: c.broken for c in told.combinations} == {
        combo: sum(tuple(t for t in by_order(found) if t in by) == combo for by in broken.values())
        for combo in {tuple(t for t in by_order(found) if t in by) for by in broken.values()}
    }
    assert len(told.combinations) > 1, "the threats break different samples"
    right = found.summary.threats[0].success_rate.n
    assert (told.broken.k, told.broken.n) == (len(broken), right)
    assert told.broken.k == found.clean_accuracy.k - found.empirical_robust_accuracy.k


def by_order(found):
    return [t.literal for t in found.summary.threats]


def test_attributions_are_those_of_the_table(found, broken):
    told = found.summary.together.attributions
    assert {one.attack for one in told} == {"pgd", "square"}
    for one in told:
        mine = {s: by for s, by in broken.items() if one.threat in by and by[one.threat]["broken_by"] == one.attack}
        assert one.broken == len(mine)
        assert one.only == sum(len(by) == 1 for by in mine.values())
        assert one.queries_median == statistics.median(by[one.threat]["queries"] for by in mine.values())
        assert one.gradients_median == statistics.median(by[one.threat]["gradients"] for by in mine.values())
        least = [min(row["queries"] for row in by.values()) == by[one.threat]["queries"] for by in mine.values()]
        assert one.cheapest <= sum(least)
    assert sum(one.cheapest for one in told) == len(broken), "each sample is counted once"


def test_what_breaks_at_a_radius_breaks_at_the_larger_one(found):
    for one in found.summary.together.combinations:
        assert "linf:1/10" not in one.threats or "linf:1/5" in one.threats


def test_every_view_tells_it(found, broken, tmp_path):
    text = {form: found.report(tmp_path / f"r{form}").read_text() for form in (".html", ".md", ".txt")}
    said = f"{len(broken)} of {found.clean_accuracy.k} right samples break under at least one of 3 threats"
    assert all(said in re.sub(r"\s+", " ", page) for page in text.values())
    assert max(map(len, text[".txt"].splitlines())) <= 80
    page = text[".html"]
    assert '<a href="#together">' in page
    listed = page[page.index("Each broken sample") : page.index('<section id="threats">')]
    assert {int(n) for n in re.findall(r'<th scope="row" class="num">(\d+)</th>', listed)} == set(broken)
    one = next(iter(broken.values()))
    row = next(iter(one.values()))
    assert f"{row['broken_by']}, {row['queries']} quer" in listed


def test_a_single_threat_has_no_union(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SAMPLES", 0)
    alone = Run(run(tmp_path / "a", n=12))
    assert alone.summary.together is None
    assert "All threats together" not in alone.report(tmp_path / "r.html").read_text()
