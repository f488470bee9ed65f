"""Leaderboards: bands worked by hand, tables of runs that were asked the same."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import world
from holdfast.core.errors import UsageError
from holdfast.evaluation.audit import audit
from holdfast.evaluation.board import Board, bands, board, runs_in
from holdfast.evaluation.claims import Claim
from holdfast.evaluation.document import schema, to_json
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import read_file
from holdfast.report import board as view

PLAN = {"threat": "linf:1/50", "suite": "pgd(steps=3)", "seed": 0}


def model(*held, n=40):
    """A model that holds the samples of these ranges."""
    inside = {i for a, b in held for i in range(a, b)}
    return {str(i): i in inside for i in range(n)}


def test_bands_by_hand():
    """A holds 40, B 36, C 20 of 40, each a part of the one before: A-B 4 to 0, p = 1/8; A-C and B-C clear."""
    a, b, c = model((0, 40)), model((0, 36)), model((0, 20))
    assert bands([a, b, c]) == [(1, 2), (1, 2), (3, 3)]
    assert bands([c, a, b]) == [(3, 3), (1, 2), (1, 2)], "whatever the order"
    assert bands([a]) == [(1, 1)]
    assert bands([a, a]) == [(1, 2), (1, 2)]


def test_being_alike_is_not_handed_on():
    """Steps of 5 are not found (p = 1/16), steps of 10 are (p = 1/512): the middle one shares ranks with both."""
    found = bands([model((0, 40)), model((0, 35)), model((0, 30))])
    assert found == [(1, 2), (1, 3), (2, 3)]


def test_the_number_of_pairs_counts():
    """8 to 0 has p = 1/128: found among 3 pairs, not among 45."""
    first, other = model((0, 40)), model((0, 32))
    assert bands([first, other]) == [(1, 1), (2, 2)]
    assert bands([first, other, *[first] * 8])[1] == (1, 10)


def test_groups_are_witnesses_not_their_samples():
    """Ten samples lost in two groups of five are two witnesses: no difference is found."""
    first, other = model((0, 40)), model((0, 30))
    assert bands([first, other]) == [(1, 1), (2, 2)]
    assert bands([first, other], {key: int(key) // 5 for key in first}) == [(1, 2), (1, 2)]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_band_holds_the_rank_it_has(sizes):
    found = bands([model((0, size)) for size in sizes])
    for (best, worst), size in zip(found, sizes, strict=True):
        above = sum(other > size for other in sizes)
        assert 1 <= best <= 1 + above
        assert above + 1 <= worst <= len(sizes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, shift in {"means": 0.0, "moved": 0.4}.items():
        audit(world.model(shift=shift)[0], world.data(60), out=folder / name, **PLAN)
    audit(world.model()[0], world.data(20), out=folder / "few", **PLAN)
    audit(world.model()[0], world.data(60), out=folder / "steps", **PLAN | {"suite": "pgd(steps=4)"})
    audit(world.model()[0], world.data(60), out=folder / "part", **PLAN)
    path = folder / "part" / "summary.json"
    path.write_text(to_json(dataclasses.replace(read_file(path), complete=False, stopped="interrupted")))
    (folder / "no run").mkdir()
    return folder


def test_runs_stand_together_where_they_were_asked_the_same(runs):
    found = board([Folder(path) for path in runs_in([runs])])
    tables = [[row.run.rpartition("/")[2] for row in ranking.rows] for ranking in found.rankings]
    assert tables[0] == ["means", "moved"], "the larger table first, the better model first"
    assert sorted(tables[1:]) == [["few"], ["steps"]]
    assert [(left.run.rpartition("/")[2], left.why[:5]) for left in found.left_out] == [("part", "HF413")]
    first, second = found.rankings[0].rows
    assert ((first.best, first.worst), (second.best, second.worst)) == ((1, 1), (2, 2))
    summary = Folder(runs / "means").summary
    assert (first.clean, first.robust) == (summary.rates.clean_accuracy, summary.rates.empirical_robust_accuracy)


def named(folder):
    return folder.rpartition("/")[2]


def test_under_one_threat_runs_meet_that_differ_in_others(tmp_path):
    for name, threats, shift in (("both", ["linf:1/50", "l2:1/10"], 0.0), ("one", ["linf:1/50"], 0.4)):
        audit(world.model(shift=shift)[0], world.data(40), out=tmp_path / name, **PLAN | {"threat": threats})
    found = board([Folder(path) for path in runs_in([tmp_path])])
    assert [[named(row.run) for row in table.rows] for table in found.rankings] == [["both"], ["one"]]
    under = {table.threats: {named(row.run): row for row in table.rows} for table in found.under}
    assert {threats: set(rows) for threats, rows in under.items()} == {
        ("linf:1/50",): {"both", "one"},
        ("l2:1/10",): {"both"},
    }
    facts = {t.literal: t.empirical_robust_accuracy for t in Folder(tmp_path / "both").summary.threats}
    for literal, rate in facts.items():
        assert under[literal,]["both"].robust == rate
        assert under[literal,]["both"].threats == {literal: rate}
    assert found.rankings[0].rows[0].robust == Folder(tmp_path / "both").summary.rates.empirical_robust_accuracy


def test_a_newer_run_replaces_an_older_one_and_best_known_is_what_all_hold(tmp_path):
    model, ended = world.model()[0], iter(range(10, 60))
    plans = {"old": {"seed": 1}, "new": {"seed": 2}, "strong": {"suite": "pgd(steps=30)"}}
    for name, change in plans.items():
        audit(model, world.data(60), out=tmp_path / name, **PLAN | {"threat": "linf:1/10"} | change)
        path = tmp_path / name / "summary.json"
        summary = read_file(path)
        at = dataclasses.replace(summary.provenance, finished=f"2026-01-01T00:00:{next(ended)}+00:00")
        path.write_text(to_json(dataclasses.replace(summary, provenance=at)))
    folders = {name: Folder(tmp_path / name) for name in plans}
    found = board([folders["new"], folders["old"], folders["strong"]])
    tables = {tuple(named(row.run) for row in table.rows): table for table in found.rankings}
    assert set(tables) == {("new",), ("strong",)}
    row = tables["new",].rows[0]
    assert [(named(old.run), old.seed) for old in row.history] == [("old", 1)]
    assert tables["new",].tests == 0, "a model is not compared with itself"
    held = [{r["sample"]: r["status"] == "unbroken" for r in f.samples.to_pylist()} for f in folders.values()]
    together = sum(all(one[sample] for one in held) for sample in held[0])
    assert (row.known.rate.k, row.known.runs) == (together, 3)
    assert together < sum(held[1].values()), "or the stronger attack adds nothing and this test says nothing"
    assert row.known.suite == folders["strong"].summary.suite
    assert board([folders["new"]]).rankings[0].rows[0].known is None


def test_what_cards_claim_stands_in_the_rows(runs):
    first = Folder(runs / "means").summary
    claims = tuple(
        Claim(card="c.md", model=first.model.name, data=(), threat=threat, value=1.0) for threat in ("", "linf:1/50")
    )
    found = board([Folder(runs / "means"), Folder(runs / "moved")], claims)
    row = next(row for row in found.under[0].rows if named(row.run) == "means")
    assert (row.claimed.value, row.claimed.state, row.claimed_clean.card) == (1.0, "refuted", "c.md")
    assert board([Folder(runs / "means")]).under[0].rows[0].claimed is None


def test_a_damaged_run_is_left_out_with_the_reason(runs, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text("{")
    found = board([Folder(runs / "means"), Folder(tmp_path / "bad")])
    assert len(found.rankings) == 1
    assert len(found.left_out) == 1


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(UsageError, match="HF825"):
        runs_in([tmp_path])


def test_the_document_follows_its_schema_and_the_page_says_the_bands(runs):
    jsonschema = pytest.importorskip("jsonschema")
    found = board([Folder(path) for path in runs_in([runs])])
    jsonschema.validate(json.loads(to_json(found)), schema(Board))
    text = view.render(found, ".txt")
    assert text.index("runs") < text.index("steps")
    for form in (".html", ".md", ".json"):
        assert "HF413" in view.render(found, form)


def test_foreign_names_on_the_board_are_harmless(runs):
    found = board([Folder(runs / "means")])
    name = "<script>x</script>\x1b[31m\u202e| a |"
    rows = tuple(dataclasses.replace(row, model=name, run=name, command=name) for row in found.rankings[0].rows)
    found = dataclasses.replace(found, rankings=(dataclasses.replace(found.rankings[0], rows=rows, data=name),))
    for form in (".html", ".md", ".txt"):
        page = view.render(found, form)
        assert not {"\x1b", "\u202e"} & set(page)
        assert form == ".txt" or page.count("<script") == (form == ".html")
