"""Audits of tables: possible rows only, impossible originals counted aloud, changes told of shared rows alone."""

import dataclasses

import pytest
import torch

import holdfast as hf
from cases.tables import SCHEMA, SPACE, possible_rows
from holdfast.core.errors import DataError, ThreatError
from holdfast.evaluation.suites import left_out, resolve
from holdfast.models.model import Model
from holdfast.threats.literals import parse

W = torch.tensor([[1, -2, 1, 0.5, 3, 1, -1, 0], [-1, 3, 0, -1, 1, 0, 2, -2]]).double()


def scores(x):
    return x.nan_to_num(-1) @ W.T


MODEL = Model(SPACE, 2, lambda x: scores(x).argmax(1), scores)


def data(shared=False):
    x = possible_rows()[::31][:24].clone()
    y = MODEL.labels(x)
    x[3, 0] = 1.5
    return hf.Dataset(x, y, schema=SCHEMA, classes=("good", "bad"), name="loans", shared=shared)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "table"
    return hf.audit(MODEL, data(), threat=["table:features=2", "table:linf=0.5"], suite="quick", out=out)


def test_every_broken_row_is_possible(run):
    facts = run.folder.summary.threats
    assert [t.literal for t in facts] == ["table:features=2", "table:linf=1/2"]
    assert all(t.valid is not None and t.valid.point == 1 and t.valid.n for t in facts)
    assert facts[0].distances["l0"].max <= 2
    assert facts[1].distances["linf"].max <= 0.5
    assert "cost" in facts[0].distances
    assert [point.radius for point in facts[0].curve] == [0, 1, 2]
    assert run.folder.summary.provenance.suite == "quick"
    assert run.folder.summary.masking.state != "suspect"


def test_rows_that_break_their_schema_are_counted_aloud(run):
    summary = run.folder.summary
    assert summary.rates.clean_accuracy.n == 23
    assert summary.coverage.statuses["invalid"] == 1
    assert any("1 of 24 rows break their schema" in line and "age = 1.5" in line for line in summary.limits)


def test_rows_stay_out_of_reports_unless_they_are_shared(run, tmp_path):
    assert {row["change"] for row in run.folder.samples.to_pylist()} == {None}
    open_run = hf.audit(MODEL, data(shared=True), threat="table:features=2", suite="quick", out=tmp_path / "shared")
    told = [row["change"] for row in open_run.folder.samples.to_pylist() if row["status"] == "broken"]
    assert told
    assert all("->" in text for text in told)
    page = tmp_path / "report.html"
    open_run.report(page)
    assert "<dt>change</dt>" in page.read_text()


def test_advice_is_for_tables(run):
    found = run.summary
    text = " ".join([*found.coverage.not_tested, *(finding.next for finding in found.findings)])
    assert "rows that the schema forbids" in text
    assert "immutable in the schema" in text
    for stranger in ("rotation", "PGD", "of the catalog"):
        assert stranger not in text


def test_an_audit_continues_and_takes_pairs(run):
    again = hf.audit(MODEL, data(), threat="table:features=2", suite="quick", out=run.folder.path)
    assert again.folder.summary.cost.seconds > 0
    found = hf.audit(MODEL, (data().x, data().y), threat="table:features=2", suite="quick", limit=5)
    assert len(found.folder.samples) == 5


def test_what_does_not_fit_is_refused_in_one_line():
    with pytest.raises(ThreatError, match=r"HF307 .*table:features=3"):
        hf.audit(MODEL, data(), threat="linf:0.1")
    never = dataclasses.replace(data(), x=data().x + 0.3)
    with pytest.raises(DataError, match=r"HF149 .*none of the rows"):
        hf.audit(MODEL, never, threat="table:features=2")


def test_one_direction_is_audited_alone(run):
    found = hf.audit(MODEL, data(), threat="table:features=2", suite="quick", evade="bad:good")
    y = data().y
    assert found.folder.summary.rates.clean_accuracy.n == int((y == 1).sum()) - int(y[3] == 1)
    both = {row["sample"]: row["status"] for row in run.folder.samples.to_pylist() if "features" in row["threat"]}
    one = {row["sample"]: row["status"] for row in found.folder.samples.to_pylist()}
    assert one == {sample: status for sample, status in both.items() if y[sample] == 1}
    assert "bad to be taken for good" in found.folder.summary.data.split
    for wrong in ("bad", "bad:goood", "bad:bad", "2:0"):
        with pytest.raises(ThreatError, match="HF309"):
            hf.audit(MODEL, data(), threat="table:features=2", evade=wrong)


@pytest.mark.parametrize("name", ["quick", "frugal", "standard"])
def test_suites_choose_graph_search_for_tables(name):
    suite = resolve(name).serving(parse("table:features=3"))
    assert {type(a).__name__ for a in suite.attacks} == {"GraphSearch"}
    assert left_out(resolve(name), parse("table:features=3")) == ""
