"""Audits of tables: possible rows only, impossible originals counted aloud, changes told of shared rows alone."""

import dataclasses
import shutil
from typing import ClassVar

import numpy as np
import pytest
import torch

import holdfast as hf
from cases.tables import SCHEMA, SPACE, possible_rows
from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.capgd import Capgd
from holdfast.attacks.evasion.graph_search import GraphSearch
from holdfast.attacks.evasion.hop_skip_jump_table import HopSkipJumpTable
from holdfast.cli.show import chosen, many
from holdfast.core.errors import DataError, ThreatError
from holdfast.evaluation.suites import adapted, left_out, resolve
from holdfast.evaluation.work import Bench, _measured
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.literals import parse
from holdfast.threats.tables.region import TableRegion

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


def test_of_changes_in_as_many_columns_the_shorter_come_first(run):
    rows = chosen(run.folder, None, "broken", "table:features=2")
    order = [(row["l0"], row["l2"]) for row in rows]
    assert order == sorted(order)
    assert len({l2 for _, l2 in order}) > len({l0 for l0, _ in order}), "there are ties"


def test_rows_that_break_their_schema_are_counted_aloud(run):
    summary = run.folder.summary
    assert summary.rates.clean_accuracy.n == 23
    assert summary.coverage.statuses["invalid"] == 1
    assert any("1 of 24 rows break their schema" in line and "the first: age has a" in line for line in summary.limits)


def test_values_of_impossible_rows_stay_out_of_everything_that_is_handed_on(tmp_path):
    """A relation names its columns, and no salary."""
    age, salary = hf.Feature("age", "integer", low=0, high=99), hf.Feature("salary", "real", low=0, high=1e6)
    schema = hf.Schema((age, salary), relations=("salary <= age * 1000",), classes=("no", "yes"))
    x = torch.tensor([[40, 20000], [30, 123456.0], [50, 1000], [60, 40000]], dtype=torch.float64)
    told = hf.Dataset(x, torch.tensor([0, 1, 0, 1]), schema=schema, classes=("no", "yes"))
    model = hf.wrap(lambda rows: np.eye(2)[(np.asarray(rows["salary"]) > 30000).astype(int)], schema)
    found = hf.audit(model, told, threat="table:features=1", suite="quick", out=tmp_path / "run")
    found.report(tmp_path / "report.html")
    assert found.summary.coverage.statuses["invalid"] == 1
    reasons = [row["reason"] for row in found.folder.samples.to_pylist() if row["status"] == "invalid"]
    assert reasons == ["salary <= age * 1000 does not hold"]
    for file in (tmp_path / "report.html", tmp_path / "run" / "summary.json"):
        assert "123456" not in file.read_text()


def test_the_share_of_possible_rows_is_judged_beside_the_originals():
    """A row in which a column moved that must not is possible alone, and not beside the row that it was."""
    features = (hf.Feature("sex", "binary", immutable=True), hf.Feature("n", "integer", low=0, high=9))
    schema = hf.Schema(features, classes=("no", "yes"))
    x = torch.tensor([[0, 1], [1, 2], [0, 3]], dtype=torch.float64)
    model = settle(hf.wrap(lambda rows: np.eye(2)[np.asarray(rows["sex"]).astype(int)], schema), x)
    out = hf.run(hf.attacks.GraphSearch(), model, x, [0, 1, 0], "table:features=2")
    assert out.status == ("unbroken",) * 3
    bench = Bench(model, {str(i): i for i in range(3)}, x, torch.tensor([0, 1, 0]), 0, 8)
    moved = dataclasses.replace(out, status=("broken",) * 3, adversarial=torch.stack([1 - x[:, 0], x[:, 1]], 1))
    rows, _ = _measured(bench, ["0", "1", "2"], x, bench.labels, moved)
    assert [row.valid for row in rows] == [False, False, False]
    assert [row.status for row in rows] == ["unbroken"] * 3, "a row that cannot be breaks nothing"
    assert {(row.adversarial_label, row.l0) for row in rows} == {(None, None)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unrepaired(Attack):
    """Asks about ages that nobody has, which every schema forbids and the model takes for the other class."""

    needs: ClassVar = frozenset({"scores"})
    tables: ClassVar = True

    def search(self, probe):
        for age in (-1e4, 1e4):
            x = probe.x0.clone()
            x[:, 0] = age
            probe.margin(x)


def test_a_success_whose_row_is_impossible_does_not_count():
    x = data().x[SCHEMA.validate(data().x).valid]
    y = MODEL.labels(x)
    far = x.clone()
    far[:, 0] = torch.where(y == 0, -1e4, 1e4)
    assert (MODEL.labels(far) != y).all(), "the model falls for every one of them"
    assert not SCHEMA.validate(far, x).valid.any()
    out = hf.run(Unrepaired(), MODEL, x, y, "table:features=2")
    assert out.status == ("unbroken",) * len(x)
    assert torch.equal(out.adversarial.nan_to_num(-1), x.nan_to_num(-1))
    assert (out.margin > 0).all()


def test_an_impossible_row_that_is_claimed_counts_only_in_the_raw_number(monkeypatch, tmp_path):
    """Where the search itself lets such rows through, the audit does not, and says how many there were."""
    monkeypatch.setattr(TableRegion, "contains", TableRegion.within)
    few, asked = GraphSearch(steps=1, width=1), {"threat": "table:features=1", "seed": 0}
    honest = hf.audit(MODEL, data(), suite=few, out=tmp_path / "honest", **asked).summary.threats[0]
    mixed = hf.audit(MODEL, data(), suite=[Unrepaired(), few], out=tmp_path / "mixed", **asked)
    found = mixed.summary.threats[0]
    assert found.attacks[0].broken == 0
    assert found.statuses == honest.statuses
    assert 0 < found.statuses["broken"] < 23
    assert (found.valid.k, found.valid.n) == (found.statuses["broken"], 23)
    assert (honest.valid.k, honest.valid.n) == (honest.statuses["broken"], honest.statuses["broken"])
    assert mixed.empirical_robust_accuracy.k == found.statuses["unbroken"]
    for form in ("txt", "md", "html"):
        told = " ".join(mixed.report(tmp_path / f"told.{form}").read_text().split())
        assert f"{found.valid.k} of 23 successes are possible rows; the others count as not broken" in told


def test_reports_say_that_impossible_rows_are_never_asked_about(run, tmp_path):
    found = run.folder.summary.threats[0].valid
    for form in ("txt", "md", "html"):
        told = " ".join(run.report(tmp_path / f"told.{form}").read_text().split())
        assert f"{found.n} of {found.n} successes are possible rows; impossible ones are never asked about" in told


def test_rows_stay_out_of_reports_unless_they_are_shared(run, tmp_path):
    assert {row["change"] for row in run.folder.samples.to_pylist()} == {None}
    open_run = hf.audit(MODEL, data(shared=True), threat="table:features=2", suite="quick", out=tmp_path / "shared")
    told = [row["change"] for row in open_run.folder.samples.to_pylist() if row["status"] == "broken"]
    assert told
    assert all("->" in text for text in told)
    page = tmp_path / "report.html"
    open_run.report(page)
    assert "<dt>change</dt>" in page.read_text()


def test_rows_are_shown_by_the_size_of_their_change(run):
    rows = chosen(run.folder, None, "broken", "table:linf=1/2")
    sizes = [row["linf"] for row in rows]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 1
    assert "cost" in many(rows, 5, run.folder.summary)


def test_advice_is_for_tables(run):
    found = run.summary
    text = " ".join([*found.coverage.not_tested, *(finding.next for finding in found.findings)])
    assert "rows that the schema forbids" in text
    assert "immutable in the schema" in text
    for stranger in ("rotation", "PGD", "of the catalog"):
        assert stranger not in text


def test_show_says_what_changed_in_shared_rows(tmp_path):
    shared = hf.audit(MODEL, data(shared=True), threat="table:features=2", suite="quick", out=tmp_path / "shared")
    rows = chosen(shared.folder, None, "broken", "")
    table = many(rows, 3, shared.summary)
    assert table.splitlines()[0].split()[-1] == "change"
    assert rows[0]["change"][:40] in table


def test_rows_that_break_both_ways_lead_to_evade_and_nobody_says_that_gradients_were_seen(run):
    found = next(f for f in run.summary.findings if f.title == "Rows break both ways")
    assert found.next.startswith("--evade ")
    for form in ("md", "html"):
        told = run.report(run.path / f"told.{form}").read_text()
        assert "may see gradients, and no attack asked for one" in told


def test_an_audit_continues_and_takes_pairs(run, tmp_path):
    copy = shutil.copytree(run.folder.path, tmp_path / "copy")  # one threat alone: the summary is written anew
    again = hf.audit(MODEL, data(), threat="table:features=2", suite="quick", out=copy)
    before = [row for row in run.folder.samples.to_pylist() if row["threat"] == "table:features=2"]
    assert again.folder.samples.to_pylist() == before
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
    numbers = hf.audit(MODEL, data(), threat="table:features=2", suite="quick", evade="1:0")
    assert numbers.folder.summary.data.split == found.folder.summary.data.split
    for wrong in ("bad", "bad:goood", "bad:bad", "2:0", ("bad", "good")):
        with pytest.raises(ThreatError, match="HF309"):
            hf.audit(MODEL, data(), threat="table:features=2", evade=wrong)


@pytest.mark.parametrize("name", ["quick", "frugal", "standard"])
def test_suites_follow_gradients_first_on_tables_and_search_where_there_are_none(name):
    for literal, first in [("table:features=3", "Capgd"), ("table:features=3,knowledge=scores", "GraphSearch")]:
        suite = resolve(name).serving(parse(literal))
        kinds = [type(a).__name__ for a in suite.attacks]
        assert kinds[0] == first
        assert set(kinds) - {"CarliniWagnerTable"} == {first, "GraphSearch"}
        assert left_out(resolve(name), parse(literal)) == ""
        assert isinstance(suite.curve_of(parse(literal)), GraphSearch)
    blind = adapted(resolve(name), dataclasses.replace(MODEL, module=None), [parse("table:features=3")])
    assert {type(a).__name__ for a in blind.serving(parse("table:features=3")).attacks} == {"GraphSearch"}
    assert blind.note == ""
    mute = dataclasses.replace(MODEL, scores=None)
    for suite, literal in [
        (resolve(name), "table:cost=2,knowledge=labels"),
        (adapted(resolve(name), mute), "table:cost=2"),
    ]:
        assert isinstance(suite.serving(parse(literal)).attacks[-1], HopSkipJumpTable)
    assert not any(isinstance(a, Capgd) for a in resolve(name).serving(parse("table:cost=inf")).attacks)
