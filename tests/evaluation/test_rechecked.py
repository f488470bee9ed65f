"""What `recheck` makes again from the parts: a forged masking verdict, curve, transfer rate or sentence is named."""

import dataclasses
import json
import shutil
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from evaluation.audits import FEW, run
from evaluation.test_integrity import rewritten, stated
from evaluation.world import data, model
from holdfast.attacks.attack import Attack
from holdfast.core.errors import IntegrityError
from holdfast.core.files import sha256
from holdfast.evaluation import integrity, journal
from holdfast.evaluation.audit import audit
from holdfast.evaluation.decide import decided
from holdfast.evaluation.replay import recheck
from holdfast.evaluation.sequential import parse
from holdfast.evaluation.statistics import interval
from holdfast.evaluation.store import Folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two threats with their curves, two models that the inputs are shown to, and the masking battery."""
    out = tmp_path_factory.mktemp("whole") / "a"
    others = [model(shift=0.3)[0], model(shift=0.6)[0]]
    return run(out, n=24, threat=["linf:0.1", "l2:0.5"], transfer_to=others).path


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def damage(path):
    return recheck(path, model()[0], data(24)).damage


def test_a_whole_run_holds_and_what_rests_on_the_parts_is_said(whole):
    found = recheck(whole, model()[0], data(24))
    assert found.holds, found.damage
    assert found.left == ()
    summary = Folder(whole).summary
    assert summary.masking.checks, "there is something to forge"
    assert all(len(t.curve) > 2 for t in summary.threats)
    assert any(one.rate for one in summary.transfer)
    without = recheck(whole, model()[0])
    assert without.holds
    assert without.left == ("rates by class, without the data", "decisions before any attack")


def unnamed(document):
    """As it was before 1.10: whom inputs were shown to is said by name alone."""
    document["schema_version"] = "1.9.0"
    for told in document["transfer"]:
        del told["fingerprint"]


def test_a_document_that_does_not_say_to_which_fingerprint_inputs_were_shown_holds(copy):
    rewritten(copy, unnamed)
    assert not damage(copy)
    rewritten(copy, lambda document: document.update(schema_version="1.10.0"))
    assert any("fingerprint is ," in line for line in damage(copy)), damage(copy)


def other_state(document):
    masking = document["masking"]
    masking["state"] = "suspect" if masking["state"] != "suspect" else "no sign of masking"


def fewer_signs(document):
    check = next(c for c in document["masking"]["checks"] if c["rate"] and c["rate"]["n"] > 1)
    stated(check["rate"], 1 if check["rate"]["k"] == 0 else 0)


def passed(document):
    check = document["masking"]["checks"][0]
    check["state"] = "passed" if check["state"] != "passed" else "suspect"


def flat(document):
    """A curve that falls only at its last radius."""
    points = document["threats"][0]["curve"]
    for point in points[1:-1]:
        stated(point["rate"], points[0]["rate"]["k"] - (point["rate"]["k"] == points[0]["rate"]["k"]))


def transferred(document):
    one = next(t for t in document["transfer"] if t["rate"])
    stated(one["rate"], 0 if one["rate"]["k"] else 1)


FORGED = {
    "masking": (other_state, "masking.state is"),
    "signs": (fewer_signs, "masking.checks["),
    "check": (passed, "masking.checks[determinism].state is"),
    "no checks": (lambda d: d["masking"].update(checks=[]), "masking.checks is 0 entries"),
    "no masking": (lambda d: d.update(masking=None), "masking is None"),
    "curve": (flat, "threats[linf:1/10].curve["),
    "radii": (lambda d: d["threats"][1]["curve"].pop(1), "threats[l2:1/2].curve is"),
    "transfer": (transferred, "transfer["),
    "shown to": (lambda d: d["transfer"][0].update(fingerprint="0" * 64), "transfer[linf:1/10].rate is"),
    "distances": (lambda d: d["threats"][0]["distances"]["l2"].update(median=9.0), "distances.l2.median is 9.0"),
    "class": (lambda d: stated(d["threats"][0]["per_class"][0]["clean"], 0), "per_class["),
    "union": (lambda d: d["together"]["combinations"].pop(), "together.combinations"),
    "cheapest": (lambda d: d["together"]["attributions"][0].update(cheapest=99), "cheapest is 99"),
    "queries": (lambda d: d["cost"].update(queries=1), "cost.queries is 1"),
    "sentence": (lambda d: d["verdict"].update(text="Nothing breaks this model."), "verdict.text is Nothing breaks"),
    "state": (lambda d: d["verdict"].update(state="doubtful"), "verdict.state is doubtful"),
    "findings": (lambda d: d.update(findings=[]), "findings is 0 entries"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_conclusion_is_named(copy, kind):
    change, told = FORGED[kind]
    rewritten(copy, change)
    found = damage(copy)
    assert any(told in line for line in found), found


def recommitted(copy, kind, change):
    """The parts of a kind with other rows, whose digest the journal knows."""
    log = journal.load(copy / "journal.jsonl")
    journal.keep(copy / "journal.jsonl", lambda entry: entry in log.sessions)
    for commit in log.commits:
        for file in [f for f in commit.files if f.startswith(kind) and f.endswith(".parquet")]:
            path, table = copy / "parts" / file, pq.read_table(copy / "parts" / file)
            rows = table.to_pylist()
            change(rows)
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
            commit = dataclasses.replace(commit, files={**commit.files, file: sha256(path)})
        journal.append(copy / "journal.jsonl", commit)


def test_clean_decisions_are_asked_again(copy):
    def change(rows):
        wrong = next(row for row in rows if row["status"] == "wrong")
        wrong["predicted"] = (wrong["predicted"] + 1) % 10

    rows = [r for r in Folder(copy).samples.to_pylist() if r["status"] == "wrong"]
    assert rows, "there is something to forge"
    recommitted(copy, "clean", change)
    found = [line for line in damage(copy) if "before any attack: the model decides for class" in line]
    assert len(found) == 1


def test_distances_are_measured_again(copy):
    def change(rows):
        for row in rows:
            if row["status"] == "broken":
                row["linf"] = row["linf"] / 2 if row["linf"] else row["linf"]
                row["l2"] = row["l2"] / 2

    recommitted(copy, "search", change)
    claims = recheck(copy, model()[0], data(24)).failed
    assert claims
    assert all("distance is" in claim.why for claim in claims)
    assert recheck(copy, model()[0]).failed == (), "without the data nothing can be measured"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(Attack):
    """An attack that is not holdfast's."""

    norms: ClassVar = FEW.norms

    def search(self, probe):
        FEW.search(probe)


def test_what_rests_on_an_attack_of_ones_own_is_said_not_to_be_made_again(tmp_path):
    folder = run(tmp_path / "a", n=12, suite=Own())
    found = recheck(folder, model()[0], data(12))
    assert found.holds
    assert found.left == ("what rests on own, which is no attack of holdfast",)


def test_a_summary_of_another_version_is_held_to_its_numbers_alone(copy):
    def change(document):
        document["holdfast"] = "0.0.1"
        document["verdict"]["text"] = "Said in other words."

    rewritten(copy, change)
    assert damage(copy) == ()
    rewritten(copy, flat)
    assert any("curve[" in line for line in damage(copy))


def test_what_an_earlier_document_did_not_say_is_left_and_told(copy):
    rewritten(copy, unnamed)
    rewritten(copy, lambda d: d.update(schema_version="1.6.0", together=None))
    found = recheck(copy, model()[0], data(24))
    assert found.holds
    assert found.left == ("together, which its version 1.6.0 did not say",)
    rewritten(copy, lambda d: d.update(schema_version="1.7.0"))
    assert any(line.startswith("summary.json says together is None") for line in damage(copy))


PLAN = {"threat": "linf:1/20", "suite": "pgd(steps=3)", "seed": 0}


def test_a_kind_of_interval_that_the_run_has_no_reason_for_is_refused(copy):
    document = json.loads((copy / "summary.json").read_text())
    for one in (document["rates"], document["threats"][0]):
        one["empirical_robust_accuracy"] |= {"method": "cluster bootstrap", "groups": 24}
    (copy / "summary.json").write_text(json.dumps(document))
    assert any("rates.empirical_robust_accuracy" in line and "clopper-pearson" in line for line in damage(copy))
    with pytest.raises(IntegrityError, match="HF411 .*cluster bootstrap, for which the run has no reason"):
        integrity.refuse_damaged(Folder(copy))


def test_an_interval_over_groups_is_drawn_again(tmp_path):
    grouped = dataclasses.replace(data(24), groups=torch.arange(24) // 3)
    audit(model()[0], grouped, out=tmp_path / "a", **PLAN)
    assert recheck(tmp_path / "a", model()[0], grouped).holds
    document = json.loads((tmp_path / "a" / "summary.json").read_text())
    rate = document["rates"]["empirical_robust_accuracy"]
    assert (rate["method"], rate["groups"]) == ("cluster bootstrap", 8)
    rate["low"] = min(rate["low"] + 0.02, rate["point"])
    (tmp_path / "a" / "summary.json").write_text(json.dumps(document))
    found = recheck(tmp_path / "a", model()[0], grouped).damage
    assert [line.split(" is ")[0] for line in found] == ["summary.json says rates.empirical_robust_accuracy"]


@pytest.mark.parametrize("question", ["clean_accuracy >= 0.5", "empirical_robust_accuracy >= 0.5"])
@pytest.mark.parametrize("field", ["answer", "evidence", "looks", "text", "verdict", "question", "command", "none"])
def test_a_decision_is_made_again(tmp_path, question, field):
    out, told = tmp_path / "a", f"holdfast audit m d --decide '{question}'"
    decided(model()[0], data(60), decide=question, out=out, limit=None, new=False, command=told, **PLAN)
    assert recheck(out, model()[0], data(60)).holds
    document = json.loads((out / "summary.json").read_text())
    decision = document["decision"]
    other = {
        "answer": "no" if decision["answer"] != "no" else "yes",
        "evidence": decision["evidence"] * 1.01 + 1,
        "looks": [*decision["looks"], 61],
        "text": "Decided.",
        "question": question.replace("0.5", "0.4"),
    }
    if field == "none":
        document["decision"] = None
        for rates in (document["rates"], document["threats"][0]):
            for key in ("clean_accuracy", "empirical_robust_accuracy"):
                if rates.get(key, {}).get("method") == "confidence sequence":
                    k, n = rates[key]["k"], rates[key]["n"]
                    low, high = interval(k, n)
                    rates[key] |= {"method": "clopper-pearson", "low": low, "high": high}
    elif field == "verdict":
        document["verdict"]["text"] = document["verdict"]["text"].replace("0 %", "1 %", 1)
    elif field == "command":
        document["provenance"]["command"] = told.replace("0.5", "0.6")
    else:
        decision[field] = other[field]
    (out / "summary.json").write_text(json.dumps(document))
    assert recheck(out, model()[0], data(60)).damage
    if field == "none":
        assert any("decides nothing, its command asks" in line for line in recheck(out, model()[0], data(60)).damage)


def test_a_threshold_of_many_digits_is_written_whole(tmp_path):
    question = "clean_accuracy >= 0.1234567891"
    assert str(parse(question)) == question
    assert str(parse("clean_accuracy >= 0.50")) == "clean_accuracy >= 0.5"
    decided(model()[0], data(60), decide=question, out=tmp_path / "a", limit=None, new=False, **PLAN)
    assert recheck(tmp_path / "a", model()[0], data(60)).holds


def test_the_control_has_the_level_of_all_and_sentences_of_another_version_are_left(copy):
    document = json.loads((copy / "summary.json").read_text())
    control = document["threats"][0]["control"]
    low, high = interval(control["k"], control["n"], 0.5)
    control |= {"level": 0.5, "low": low, "high": high}
    document["holdfast"] = "0.0.1"
    (copy / "summary.json").write_text(json.dumps(document))
    found = recheck(copy, model()[0], data(24))
    assert any(".control is" in line for line in found.damage)
    assert "sentences, which version 0.0.1 wrote" in found.left
