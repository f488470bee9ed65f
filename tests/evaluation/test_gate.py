"""Gates: rules judged by hand on a run whose counts are known."""

import dataclasses
import json
import shutil

import pytest

from evaluation import world
from holdfast.core.errors import IntegrityError, UsageError
from holdfast.evaluation.audit import audit
from holdfast.evaluation.comparison import compare
from holdfast.evaluation.document import schema, to_json
from holdfast.evaluation.gate import Gate, gate
from holdfast.evaluation.policy import Policy, Rule
from holdfast.evaluation.statistics import rate
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Verdict

ROBUST, CLEAN = "empirical_robust_accuracy", "clean_accuracy"
PLAN = {"threat": ["linf:1/20", "linf:1/50"], "suite": "pgd(steps=5)", "seed": 0}


def policy(*rules, **fields):
    whole = {"path": "holdfast.toml", "require": ("complete", "trustworthy"), "advisory": False} | fields
    return Policy(rules=rules, lines=tuple(range(1, len(rules) + 1)), **whole)


def least(value, **fields):
    return Rule(**{"metric": ROBUST, "at_least": value} | fields)


def drop(value, **fields):
    return Rule(**{"metric": ROBUST, "max_regression": value} | fields)


def verdict(state):
    return Verdict(text="so it is", state=state)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, shift in {"means": 0.0, "moved": 0.4}.items():
        audit(world.model(shift=shift)[0], world.data(60), out=folder / name, **PLAN)
    return folder


@pytest.fixture
def known(runs, monkeypatch):
    """A run whose summary says 101 of 200, and more if asked."""

    def make(**fields):
        folder = Folder(runs / "means")
        clean, robust = rate(180, 200, "samples"), rate(101, 200, "samples")
        rates = dataclasses.replace(folder.summary.rates, clean_accuracy=clean, empirical_robust_accuracy=robust)
        told = {"rates": rates, "verdict": verdict("measured")} | fields
        monkeypatch.setattr("holdfast.evaluation.integrity.refuse_damaged", lambda folder: None)
        folder.__dict__["summary"] = dataclasses.replace(folder.summary, **told)
        return folder

    return make


def states(found):
    return [check.state for check in found.checks]


def test_the_lower_end_decides_unless_the_rule_says_point(known):
    """101 of 200: 50.5 %, interval 43.4 to 57.6 %."""
    rules = [least(0.43), least(0.44), least(0.505, bound="point"), least(0.506, bound="point")]
    found = gate(known(), policy(*rules))
    assert states(found) == ["passed", "failed", "passed", "failed"]
    assert found.state == "failed"
    assert found.checks[1].seen == "50.5 % [43.4, 57.6] (101/200)"
    assert found.checks[1].wanted == "at least 44.0 %"
    assert found.text == ("Failed: 2 of 4 rules not met: not broken (lower end); not broken (rate itself).")


def test_levels(known):
    found = gate(known(), policy(least(0.9, level="warn"), least(0.9, level="off"), least(0.1)))
    assert states(found) == ["warned", "off", "passed"]
    assert found.state == "passed"
    assert found.text == "Passed: 1 of 2 rules met; 1 of level warn not met."


def test_each_threat_has_its_own_rate(runs):
    folder = Folder(runs / "means")
    by = {t.literal: t.empirical_robust_accuracy for t in folder.summary.threats}
    assert by["linf:1/50"].low > by["linf:1/20"].low
    between = (by["linf:1/50"].low + by["linf:1/20"].low) / 2
    found = gate(folder, policy(least(between, threat="linf:1/50"), least(between, threat="linf:1/20"), least(between)))
    assert states(found) == ["passed", "failed", "failed"]
    assert found.checks[0].rate == by["linf:1/50"]
    assert gate(folder, policy(least(0.5, metric=CLEAN))).checks[0].rate == folder.summary.rates.clean_accuracy


def test_ids_are_stable_and_different(known):
    first = gate(known(), policy(least(0.1), least(0.9), least(0.2, level="warn"), least(0.2, bound="point")))
    again = gate(known(), policy(least(0.2), least(0.8), least(0.3, level="warn"), least(0.4, bound="point")))
    assert [c.id for c in first.checks] == [c.id for c in again.checks], "a new threshold is the same rule"
    assert len({c.id for c in first.checks}) == 4


def test_only_a_significant_drop_fails(runs):
    baseline, worse = Folder(runs / "means"), Folder(runs / "moved")
    counts = compare([baseline, worse]).pairs[0].contrasts[0].counts
    assert counts.significant
    lost = -counts.difference
    found = gate(worse, policy(drop(0.0), drop(lost - 0.001), drop(lost)), baseline)
    assert states(found) == ["failed", "failed", "passed"]
    found = gate(worse, policy(drop(0.0, alpha=counts.p / 2), drop(0.0, alpha=counts.p)), baseline)
    assert states(found) == ["passed", "failed"]
    assert (
        f", not significant; a drop of {100 * counts.detectable:.1f} points is found 80 times" in found.checks[0].seen
    )
    assert " is found " not in found.checks[1].seen, "what failed was found"
    assert states(gate(baseline, policy(drop(0.0)), worse)) == ["passed"], "the other way it is a gain"


def test_a_drop_is_judged_under_its_threat(runs):
    baseline, worse = Folder(runs / "means"), Folder(runs / "moved")
    rules = [drop(0.0, threat="linf:1/50"), drop(0.0, metric=CLEAN), drop(0.0)]
    found = gate(worse, policy(*rules), baseline)
    by = {(c.metric, c.threat): c.counts for c in compare([baseline, worse]).pairs[0].contrasts}
    for check, key in zip(found.checks, [(ROBUST, "linf:1/50"), (CLEAN, ""), (ROBUST, "")], strict=True):
        assert f"({by[key].lost} lost, {by[key].won} won of 60" in check.seen


def test_without_a_threat_the_worst_case_over_all_is_judged(tmp_path):
    for name, shift in {"means": 0.0, "moved": 0.4}.items():
        plan = PLAN | {"threat": ["linf:1/12", "l2:1/8"]}
        audit(world.model(shift=shift)[0], world.data(60), out=tmp_path / name, **plan)
    baseline, worse = Folder(tmp_path / "means"), Folder(tmp_path / "moved")
    by = {c.threat: c.counts for c in compare([baseline, worse]).pairs[0].contrasts if c.metric == ROBUST}
    assert by[""].lost != by["l2:1/8"].lost, "else the test could not tell them apart"
    (check,) = gate(worse, policy(drop(0.0)), baseline).checks
    assert f"({by[''].lost} lost, {by[''].won} won of 60" in check.seen


def test_what_is_not_there_is_refused(known, runs, tmp_path):
    with pytest.raises(UsageError, match="HF824 .*l2:1"):
        gate(known(), policy(least(0.1, threat="l2:1")))
    with pytest.raises(UsageError, match="HF824 .*baseline"):
        gate(known(), policy(drop(0.1)))
    off = policy(least(0.1, threat="l2:1", level="off"), drop(0.1, level="off"), least(0.1))
    assert states(gate(known(), off)) == ["off", "off", "passed"]
    audit(world.model()[0], world.data(10), out=tmp_path / "few", **PLAN)
    with pytest.raises(IntegrityError, match="HF413"):
        gate(Folder(runs / "means"), policy(drop(0.1)), Folder(tmp_path / "few"))
    found = gate(Folder(runs / "means"), policy(drop(0.1)), Folder(tmp_path / "few"), common=True)
    assert states(found) == ["passed"]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"complete": False, "stopped": "interrupted", "verdict": verdict("partial")}, "incomplete"),
        ({"verdict": verdict("doubtful")}, "untrustworthy"),
        ({"verdict": verdict("empty")}, "empty"),
    ],
    ids=["partial", "doubtful", "empty"],
)
def test_a_run_that_cannot_be_judged_does_not_pass_and_a_failure_stays_one(known, fields, wanted):
    assert gate(known(**fields), policy(least(0.1))).state == wanted
    assert gate(known(**fields), policy(least(0.9))).state == "failed", "more work can only lower the rate"
    if wanted != "empty":
        assert gate(known(**fields), policy(least(0.1), require=())).state == "passed"


def test_what_an_unfinished_run_cannot_answer(known, runs):
    partial = known(complete=False, stopped="interrupted", verdict=verdict("partial"))
    found = gate(partial, policy(drop(0.0), least(0.95, metric=CLEAN), require=()), Folder(runs / "moved"))
    assert states(found) == ["unjudged", "unjudged"]
    assert found.state == "incomplete"


def test_no_sample_is_no_answer(known):
    rates = dataclasses.replace(known().summary.rates, clean_accuracy=None, empirical_robust_accuracy=None)
    found = gate(known(rates=rates, verdict=verdict("empty")), policy(least(0.1)))
    assert (states(found), found.state) == (["unjudged"], "empty")


def test_the_document_follows_its_schema(known):
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(to_json(gate(known(), policy(least(0.1), least(0.9), advisory=True))))
    jsonschema.validate(document, schema(Gate))
    assert document["schema"] == "urn:holdfast:gate:1"
    assert document["text"].startswith("Failed, advisory: 1 of 2 rules not met")


@pytest.mark.parametrize("lost", ["parts", "journal.jsonl", "samples.parquet"])
def test_a_damaged_run_is_refused(runs, tmp_path, lost):
    copy = shutil.copytree(runs / "means", tmp_path / "copy")
    shutil.rmtree(copy / lost) if lost == "parts" else (copy / lost).write_bytes(b"")
    with pytest.raises(IntegrityError, match=f"HF411.*{lost}"):
        gate(Folder(copy), policy(least(0.01)))


def test_half_a_manifest_is_refused(runs, tmp_path):
    copy = shutil.copytree(runs / "means", tmp_path / "copy")
    content = (copy / "manifest.json").read_bytes()
    (copy / "manifest.json").write_bytes(content[: len(content) // 2])
    with pytest.raises(IntegrityError, match="HF405"):
        gate(Folder(copy), policy(least(0.01)))


def test_a_baseline_that_no_rule_uses_is_told(runs, tmp_path):
    means = Folder(runs / "means")
    found = gate(means, policy(least(0.01)), Folder(runs / "moved")).notes
    assert found == (f"The baseline {runs / 'moved'} was not used: no rule has max_regression.",)
    other = audit(world.model()[0], world.data(20, 1200), out=tmp_path / "other", threat="linf:1/20", suite="noise")
    found = gate(means, policy(least(0.01)), other).notes
    assert found[1:] == ("The baseline is a run on other samples: 20, of which 0 are samples of this run.",)
    assert gate(means, policy(drop(0.5)), Folder(runs / "moved")).notes == ()
