"""A changed run folder: `recheck` names everything that does not hold, a gate refuses it, another audit mends it."""

import json
import os
import shutil

import pyarrow as pa
import pytest

from cases import evasion
from evaluation.audits import FEW, essence, run
from evaluation.world import data, model
from holdfast.attacks.eot import Eot
from holdfast.attacks.repeat import Repeat
from holdfast.core.errors import IntegrityError, Stop
from holdfast.core.lazy import camel
from holdfast.core.progress import BatchDone
from holdfast.core.records import canonical, config
from holdfast.evaluation import integrity, manifest
from holdfast.evaluation.decide import decided
from holdfast.evaluation.earlier import earlier
from holdfast.evaluation.masking import limits
from holdfast.evaluation.rederive import underived
from holdfast.evaluation.replay import recheck
from holdfast.evaluation.store import Folder, encoded
from holdfast.evaluation.suites import describe, stage_of
from holdfast.threats.literals import parse


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run in several parts under two threats."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "GROUP", 8)
        patch.setattr(limits, "SAMPLES", 0)
        patch.setattr(os, "fsync", lambda descriptor: None)
        return run(tmp_path_factory.mktemp("whole") / "a", n=24, threat=["linf:0.1", "linf:0.2"]).path


@pytest.fixture(autouse=True)
def without_battery(monkeypatch):
    """Nothing of the masking battery: `test_rechecked.py` has it."""
    monkeypatch.setattr(limits, "SAMPLES", 0)


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def damage(path):
    return recheck(path, model()[0], data(24)).damage


def part(path, pattern):
    return sorted((path / "parts").glob(pattern))[0]


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewritten(path, change):
    """The summary with a change."""
    document = json.loads((path / "summary.json").read_text())
    change(document)
    (path / "summary.json").write_text(json.dumps(document))


def stated(rate, k):
    """The rate of a document as if k had held, with the interval that belongs to it."""
    from holdfast.evaluation.statistics import rate as exact

    found = exact(k, rate["n"], rate["denominator"])
    rate.update(k=k, point=found.point, low=found.low, high=found.high)


def tabled(path, change):
    """The table with a change of its rows."""
    rows = Folder(path).samples
    changed = pa.Table.from_pylist(change(rows.to_pylist()), schema=rows.schema)
    (path / "samples.parquet").write_bytes(encoded(changed))


def test_a_run_as_it_was_committed_holds(whole):
    found = recheck(whole, model()[0], data(24))
    assert found.holds
    assert found.damage == ()
    assert found.claims > 2
    integrity.refuse_damaged(Folder(whole))


@pytest.mark.parametrize("kind", ["clean", "control", "search"])
@pytest.mark.parametrize("how", [flipped, os.unlink])
def test_a_file_of_a_part_that_was_changed_or_taken_away_is_named(copy, kind, how):
    changed = part(copy, f"{kind}-*.parquet")
    how(changed)
    found = recheck(copy, model()[0], data(24))
    assert not found.holds
    assert found.damage[0] == f"parts/{changed.name} {'was changed' if how is flipped else 'is missing'}"
    assert kind == "search" or len(found.damage) > 1, "what it held is missing below the counts"
    with pytest.raises(IntegrityError, match=f"HF411.*{changed.name}"):
        integrity.refuse_damaged(Folder(copy))


JOURNALS = {
    "emptied": (lambda lines: [], "journal.jsonl names no part"),
    "broken": (lambda lines: [line[:20] for line in lines], "line(s) of journal.jsonl are damaged"),
    "one broken": (lambda lines: [*lines[:-1], lines[-1].replace("seconds", "sekonds")], "1 line(s) of journal"),
}


@pytest.mark.parametrize("kind", JOURNALS)
def test_a_damaged_journal_is_told_and_another_audit_mends_it(copy, kind, monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 0)
    change, told = JOURNALS[kind]
    before = essence(Folder(copy))
    lines = (copy / "journal.jsonl").read_text().splitlines()
    (copy / "journal.jsonl").write_text("".join(line + "\n" for line in change(lines)))
    found = recheck(copy, model()[0], data(24))
    assert not found.holds
    assert told in found.damage[0]
    with pytest.raises(IntegrityError, match="HF411"):
        integrity.refuse_damaged(Folder(copy))
    again = run(copy, n=24, threat=["linf:0.1", "linf:0.2"])
    assert essence(again) == before
    assert damage(copy) == (), "what was damaged is out of the journal"


def test_a_line_of_the_journal_that_was_taken_out_is_missed(copy):
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    left = [line for line in lines if '"kind":"control"' not in line]
    assert len(left) < len(lines)
    (copy / "journal.jsonl").write_text("".join(left))
    found = damage(copy)
    assert sum(" broken by noise" in line for line in found) == 2
    assert {line.split()[2] for line in found if "noise" not in line} == {"cost.seconds", "cost.forwards"}


def all_held(document):
    """Everything that the summary says about attacks, as if none had broken anything."""
    n = document["data"]["n"]
    stated(document["rates"]["empirical_robust_accuracy"], n)
    for threat in document["threats"]:
        stated(threat["empirical_robust_accuracy"], n)


FORGED = {
    "held": (all_held, "not broken"),
    "interval": (lambda d: d["rates"]["empirical_robust_accuracy"].update(low=0.0), "interval"),
    "statuses": (lambda d: d["threats"][0]["statuses"].update(broken=0), "0 broken under linf:1/10"),
    "samples": (lambda d: d["data"].update(n=25), "25 samples"),
}
UNPROVED = {
    "clean": (lambda d: stated(d["rates"]["clean_accuracy"], 1), "right before any attack"),
    "success": (lambda d: stated(d["threats"][1]["success_rate"], 0), "broken under linf:1/5"),
    "attack": (lambda d: d["threats"][0]["attacks"][0].update(broken=0), "says pgd broke 0 under linf:1/10"),
    "control": (lambda d: stated(d["threats"][0]["control"], 5), "broken by noise under linf:1/10"),
}


@pytest.mark.parametrize("kind", [*FORGED, *UNPROVED])
def test_a_summary_that_says_something_else_is_found_out(copy, kind):
    change, told = {**FORGED, **UNPROVED}[kind]
    rewritten(copy, change)
    assert any(told in line for line in damage(copy)), damage(copy)
    if kind in FORGED:
        with pytest.raises(IntegrityError, match="HF411"):
            integrity.refuse_damaged(Folder(copy))


def test_a_table_that_says_something_else_is_found_out(copy):
    def change(rows):
        hit = next(row for row in rows if row["status"] == "broken")
        hit["linf"] /= 2
        rows[0]["predicted"] = (rows[0]["predicted"] + 1) % 10
        return rows

    tabled(copy, change)
    found = damage(copy)
    assert len(found) == 2
    assert [line.split("says ")[1].split()[0] for line in found] == ["predicted", "linf"]


def test_samples_that_are_missing_or_strange_are_found_out(copy):
    tabled(copy, lambda rows: [{**rows[0], "sample": 999}, *rows[1:-1]])
    found = damage(copy)
    assert "samples.parquet has sample 999, which the manifest does not know" in found
    assert any("23 rows under linf:1/5" in line for line in found)


@pytest.mark.parametrize("how", [flipped, os.unlink, lambda path: path.write_bytes(b"")])
def test_a_table_that_cannot_be_read_is_told(copy, how):
    how(copy / "samples.parquet")
    assert damage(copy)
    with pytest.raises(IntegrityError, match="HF411"):
        integrity.refuse_damaged(Folder(copy))


def test_no_byte_of_the_table_can_be_changed_unseen(copy):
    path = copy / "samples.parquet"
    content = path.read_bytes()
    for place in [1067, *range(0, len(content), 211)]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        changed = Folder(copy)
        assert integrity.contradictions(changed) or underived(changed), place


def test_claims_without_a_stored_input_do_not_hold(copy):
    """Commit lines taken out of the journal with their inputs, table and summary left as they were."""
    asked = next(q for q in Folder(copy).parts.questions() if q.kind == "search" and q.threat == "linf:1/5")
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    lost = {c.part for c in Folder(copy).parts.commits if c.question["threat"] == asked.threat}
    (copy / "journal.jsonl").write_text("".join(x for x in lines if not any(name in x for name in lost)))
    found = recheck(copy, model()[0], data(24))
    assert found.failed == ()
    assert any("broken under linf:1/5, the samples say" in line for line in found.damage)


def test_an_unfinished_run_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    done = []

    def listen(event):
        done.append(isinstance(event, BatchDone))
        if sum(done) > 4:
            raise Stop

    partial = run(tmp_path / "a", n=24, on_event=listen)
    assert not partial.complete
    assert damage(partial.path) == ()


def test_a_damaged_run_is_not_replayed(copy):
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    (copy / "journal.jsonl").write_text("".join([*lines[:-1], lines[-1][:30] + "\n"]))
    with pytest.raises(IntegrityError, match=r"HF411.*journal\.jsonl"):
        earlier(copy, None, model()[0], data(24), [parse("linf:0.2")])


ATTACKS = dict.fromkeys([*(case.attack for case in evasion.CASES), Repeat(FEW, 3), Eot(FEW, 4)])


@pytest.mark.parametrize("attack", ATTACKS, ids=describe)
def test_the_question_of_an_attack_follows_from_what_the_summary_says(attack):
    told = stage_of(attack)
    read = json.loads(json.dumps(told.config))
    assert canonical({"name": camel(told.name), **read}) == canonical(config(attack))


def test_the_interval_of_a_decision_is_that_of_its_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SAMPLES", 0)
    question = "empirical_robust_accuracy >= 0.9"
    asked = {"threat": "linf:0.2", "suite": FEW, "limit": None, "new": False}
    found = decided(model()[0], data(40), decide=question, out=tmp_path / "a", **asked)
    assert found.summary.rates.empirical_robust_accuracy.method == "confidence sequence"
    assert recheck(found, model()[0]).holds
    rewritten(found.path, lambda d: d["rates"]["empirical_robust_accuracy"].update(low=0.0))
    assert any("interval" in line for line in recheck(found.path, model()[0]).damage)
