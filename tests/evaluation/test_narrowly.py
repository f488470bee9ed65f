"""`hardest_of`: a baseline's hardest samples first, in a run of their own; the rate stays that of a random sample."""

import dataclasses
import json
import math
import os
import pathlib
import shutil

import pytest

from evaluation.audits import FEW
from evaluation.world import data, model
from holdfast.core.errors import IntegrityError, Stop, UsageError
from holdfast.core.progress import BatchDone, RunStarted, silent
from holdfast.evaluation import baseline, manifest
from holdfast.evaluation.audit import audit
from holdfast.evaluation.board import board
from holdfast.evaluation.budget import affordable
from holdfast.evaluation.comparison import compare
from holdfast.evaluation.decide import decided
from holdfast.evaluation.document import to_json
from holdfast.evaluation.gate import gate
from holdfast.evaluation.integrity import contradictions
from holdfast.evaluation.masking import limits
from holdfast.evaluation.policy import read
from holdfast.evaluation.rebuilt import rebuilt
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import read_file
from holdfast.report import html, markdown
from holdfast.report.text import text

THREAT = "linf:0.1"


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A baseline of 80 samples under two threats."""
    folder = tmp_path_factory.mktemp("narrowly")
    run = audit(model()[0], data(80), threat=[THREAT, "linf:0.05"], suite=FEW, out=folder / "run")
    baseline.update(run, folder / "merged")
    return folder / "merged"


def asked(out, before, *, of=None, limit=24, **more):
    given = {
        "decide": None,
        "new": False,
        "suite": FEW,
        "threat": THREAT,
        "batch": 64,
        "on_event": silent,
    } | more
    return decided(of or model()[0], data(80), out=out, limit=limit, hardest_of=before, **given)


def held(folder, threats=(THREAT,)):
    """Sample -> smallest margin, of the samples that a run held under all threats."""
    found = {}
    for row in folder.samples.to_pylist():
        if row["threat"] in threats:
            found.setdefault(row["sample"], []).append((row["status"], row["margin"]))
    return {
        sample: min(margin for _, margin in rows)
        for sample, rows in found.items()
        if all(status == "unbroken" for status, _ in rows)
    }


def numbers(folder):
    return folder.manifest.samples.ids


def test_half_of_the_samples_are_those_held_most_narrowly_and_the_rest_is_a_random_sample(tmp_path, before):
    found = asked(tmp_path / "now", before)
    hard, margins = Folder(tmp_path / "now" / "hardest"), held(Folder(before), ["linf:1/10"])
    assert list(numbers(hard)) == sorted(margins, key=margins.get)[:12]
    assert sorted(numbers(found)) == data(80).sample(12, 0).ids.tolist(), "of all samples, not of those left over"
    assert (found.summary.data.n, found.summary.data.limited, found.summary.data.chosen) == (12, True, "")
    alone = audit(model()[0], data(80), threat=THREAT, suite=FEW, limit=12, out=tmp_path / "alone")
    assert found.summary.rates == alone.summary.rates, "what was chosen moves no rate"
    told = found.summary.hardest
    assert (told.held, told.tried, told.lost, told.left) == (len(margins), 12, 0, 0), "the same model loses none"
    assert told.model == Folder(before).manifest.fingerprint
    assert contradictions(found) == contradictions(hard) == ()


def test_what_a_worse_model_loses_is_counted_apart(tmp_path, before):
    found = asked(tmp_path / "now", before, of=model(shift=0.1)[0])
    hard, told = Folder(tmp_path / "now" / "hardest"), found.summary.hardest
    lost = {row["sample"]: row["status"] for row in hard.samples.to_pylist() if row["status"] in ("broken", "wrong")}
    assert told.lost == len(lost) > 0
    assert (told.broken, told.wrong) == tuple(list(lost.values()).count(status) for status in ("broken", "wrong"))
    assert set(told.samples) <= set(lost)
    line = f"{told.lost} of the 12 samples that merged held most narrowly (of {told.held} that it held) are lost"
    summary = found.summary
    for page in (text(summary), markdown.render(summary), html.render(summary, found.samples, None, "now")):
        assert line in " ".join(page.split())
    assert text(hard.summary).count("Chosen samples, no rate of the model:") == 1


def test_under_several_threats_a_sample_was_held_under_all(tmp_path, before):
    threats = [THREAT, "linf:0.05"]
    asked(tmp_path / "now", before, threat=threats, limit=20)
    margins = held(Folder(before), ["linf:1/10", "linf:1/20"])
    chosen = numbers(Folder(tmp_path / "now" / "hardest"))
    assert [margins[sample] for sample in chosen] == sorted(margins.values())[:10]


def test_the_same_call_continues_both_runs(tmp_path, before):
    seen = []

    def stop(event):
        if isinstance(event, BatchDone):
            seen.append(event)
            if len(seen) == 2:
                raise Stop

    part = asked(tmp_path / "now", before, on_event=stop)
    assert part.path == tmp_path / "now" / "hardest", "the hardest come first"
    assert not part.summary.complete
    whole, events = asked(tmp_path / "now", before), []
    again = asked(tmp_path / "now", before, on_event=events.append)
    assert again.summary.hardest == whole.summary.hardest
    assert [e.folder for e in events if isinstance(e, RunStarted)] == [
        str(tmp_path / "now" / "hardest"),
        str(tmp_path / "now"),
    ]
    assert not any(isinstance(event, BatchDone) for event in events), "nothing is asked again"
    fresh = asked(tmp_path / "fresh", before).summary
    assert (whole.summary.rates, whole.summary.hardest) == (fresh.rates, fresh.hardest)


def test_a_budget_is_shared_and_the_same_call_keeps_both_numbers(tmp_path, before, monkeypatch):
    def measured(*given, out, limit, **more):
        kept = affordable(*given, out=out, limit=limit, **more)[0]
        return (kept if (out / "manifest.json").exists() else next(paces)), "told"

    paces = iter([30, 50])
    monkeypatch.setattr("holdfast.evaluation.decide.affordable", measured)
    for _ in range(2):
        found = asked(tmp_path / "now", before, limit=None, budget="10m")
        hard = Folder(tmp_path / "now" / "hardest").summary
        assert (found.summary.data.n, hard.data.n, found.summary.hardest.tried) == (15, 15, 15)


def test_few_that_were_held_leave_the_rest_to_the_random_sample(tmp_path, before):
    weak = audit(model()[0], data(80), threat="linf:0.3", suite=FEW, out=tmp_path / "weak")
    count = math.ceil(len(held(weak, ["linf:3/10"])) / 4)
    assert 0 < count < 35, "or this test says nothing"
    found = asked(tmp_path / "now", tmp_path / "weak", threat="linf:0.3", limit=70)
    tried = found.summary.hardest.tried if found.summary.hardest else 0
    assert (tried, found.summary.data.n) == (count, 70 - count)


@pytest.mark.parametrize("limit", [None, 80])
def test_where_all_samples_are_used_the_hardest_are_counted_among_them(tmp_path, before, limit):
    found = asked(tmp_path / "now", before, of=model(shift=0.1)[0], limit=limit)
    assert not (tmp_path / "now" / "hardest").exists()
    margins = held(Folder(before), ["linf:1/10"])
    hardest = sorted(margins, key=margins.get)[: math.ceil(len(margins) / 4)]
    statuses = {row["sample"]: row["status"] for row in found.samples.to_pylist()}
    told = found.summary.hardest
    assert found.summary.data.n == 80
    assert (told.tried, told.held) == (len(hardest), len(margins))
    assert told.broken == sum(statuses[sample] == "broken" for sample in hardest) > 0


def test_a_run_that_grows_to_all_samples_does_not_contradict_what_it_was(tmp_path, before):
    asked(tmp_path / "now", before, limit=4)
    whole = asked(tmp_path / "now", before, limit=None)
    assert (whole.path / "hardest" / "summary.json").is_file()
    told = dataclasses.replace(whole.summary.hardest, broken=whole.summary.hardest.broken + 1)
    (whole.path / "summary.json").write_text(to_json(dataclasses.replace(whole.summary, hardest=told)))
    whole = Folder(whole.path)
    assert contradictions(whole) == ()


def test_a_question_that_stops_early_leaves_out_none_of_the_hardest(tmp_path, before):
    found = asked(tmp_path / "now", before, limit=None, decide="clean_accuracy>=0.1")
    told, hardest = found.summary.hardest, numbers(Folder(tmp_path / "now" / "hardest"))
    margins = held(Folder(before), ["linf:1/10"])
    assert found.summary.data.n == 32
    assert told.tried == len(hardest) == math.ceil(len(margins) / 4)
    assert set(hardest) == set(sorted(margins, key=margins.get)[: told.tried])


def test_where_none_was_held_the_audit_goes_on_without(tmp_path):
    none = audit(model()[0], data(80), threat="linf:0.9", suite=FEW, out=tmp_path / "none")
    assert held(none, ["linf:9/10"]) == {}
    told = []
    found = asked(tmp_path / "now", tmp_path / "none", threat="linf:0.9", on_event=told.append)
    assert any("finds none that none held" in str(getattr(event, "text", "")) for event in told)
    assert (found.summary.data.n, found.summary.hardest) == (24, None)
    assert not (tmp_path / "now" / "hardest").exists()


def test_a_run_of_one_sample_says_that_it_has_no_place_for_others(tmp_path, before):
    told = []
    assert asked(tmp_path / "now", before, limit=1, on_event=told.append).summary.hardest is None
    assert any("has no place for hardest samples" in str(getattr(event, "text", "")) for event in told)


def test_a_folder_of_its_own_holds_both(tmp_path, before):
    asked(tmp_path / "now", before)
    other = asked(tmp_path / "now", before, new=True)
    assert other.path == tmp_path / "now-2"
    assert (other.path / "hardest" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"threat": "linf:0.3"}, "HF413.*not attacked under linf:3/10"),
        ({"threat": "linf:0.3", "limit": None}, "HF413.*not attacked under linf:3/10"),
        ({"threat": "linf:0.3 "}, "HF413"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(tmp_path, before, more, match):
    with pytest.raises((UsageError, IntegrityError), match=match):
        asked(tmp_path / "now", before, **more)


def test_a_baseline_on_other_samples_and_a_chosen_one_are_refused(tmp_path, before):
    other = audit(model()[0], data(20, first=1500), threat=THREAT, suite=FEW, out=tmp_path / "other")
    with pytest.raises(IntegrityError, match=r"HF413.*other samples"):
        asked(tmp_path / "now", other.path)
    found = asked(tmp_path / "now", before)
    with pytest.raises(IntegrityError, match=r"HF413.*its own samples were chosen"):
        asked(tmp_path / "next", found.path / "hardest")


def test_chosen_samples_stand_on_no_board_in_no_gate_and_in_no_baseline(tmp_path, before):
    found = asked(tmp_path / "now", before, of=model(shift=0.05)[0])
    hard = Folder(found.path / "hardest")
    assert [left.why[:15] for left in board([found, hard]).left_out] == ["its samples are"]
    with pytest.raises(IntegrityError, match=r"HF415.*held most narrowly"):
        baseline.update(hard, tmp_path / "new")
    (tmp_path / "p.toml").write_text('[[gate]]\nmetric = "clean_accuracy"\nat_least = 0.1\n')
    with pytest.raises(UsageError, match="HF824"):
        gate(hard, read(tmp_path / "p.toml"))
    told = compare([Folder(before), hard], common=True).pairs[0].notes
    assert any("loses some of them by chance" in note for note in told)


def test_recheck_derives_the_run_of_chosen_samples_again(tmp_path, before):
    asked(tmp_path / "now", before)
    made = rebuilt(Folder(tmp_path / "now" / "hardest"), model()[0], data(80))
    assert (made.differs, made.left) == ((), ())
    made = rebuilt(Folder(tmp_path / "now"), model()[0], data(80))
    assert (made.differs, made.left) == ((), ())


@pytest.mark.parametrize(("share", "lost", "state"), [(0.25, 3, "passed"), (0.24, 3, "failed"), (0.0, 0, "passed")])
def test_a_rule_about_the_hardest_counts_them(tmp_path, before, share, lost, state):
    found = asked(tmp_path / "now", before)
    told = dataclasses.replace(found.summary.hardest, broken=lost, samples=(7,))
    (found.path / "summary.json").write_text(to_json(dataclasses.replace(found.summary, hardest=told)))
    (tmp_path / "p.toml").write_text(f'[[gate]]\nmetric = "hardest_lost"\nat_most = {share}\n')
    if lost:
        with pytest.raises(IntegrityError, match=r"HF411.*says 3 broken and 0 wrong of the hardest samples"):
            gate(Folder(found.path), read(tmp_path / "p.toml"))
    shutil.rmtree(found.path / "hardest")
    said = gate(Folder(found.path), read(tmp_path / "p.toml"))
    assert said.state == state
    assert said.checks[0].samples == ((7,) if state == "failed" else ())
    assert said.checks[0].seen == f"{lost} of 12 lost: {lost} broken, 0 wrong before any attack"
    assert said.notes[0].startswith("Hardest samples of the baseline, chosen")


@pytest.mark.parametrize(
    ("share", "lost", "left", "state"),
    [(0.5, 2, 4, "passed"), (0.5, 2, 5, "incomplete"), (0.5, 7, 5, "failed"), (1.0, 0, 12, "passed")],
)
def test_samples_that_were_not_judged_do_not_count_as_held(tmp_path, before, share, lost, left, state):
    found = asked(tmp_path / "now", before)
    told = dataclasses.replace(found.summary.hardest, broken=lost, left=left)
    (found.path / "summary.json").write_text(to_json(dataclasses.replace(found.summary, hardest=told)))
    shutil.rmtree(found.path / "hardest")
    (tmp_path / "p.toml").write_text(f'[[gate]]\nmetric = "hardest_lost"\nat_most = {share}\n')
    said = gate(Folder(found.path), read(tmp_path / "p.toml"))
    assert (said.state, said.checks[0].seen.endswith(f", {left} not judged")) == (state, True)


def test_a_share_is_not_missed_by_rounding(tmp_path, before):
    found = asked(tmp_path / "now", before)
    told = dataclasses.replace(found.summary.hardest, tried=100, broken=29)
    assert 0.29 * 100 < 29, "or this test says nothing"
    (found.path / "summary.json").write_text(to_json(dataclasses.replace(found.summary, hardest=told)))
    shutil.rmtree(found.path / "hardest")
    (tmp_path / "p.toml").write_text('[[gate]]\nmetric = "hardest_lost"\nat_most = 0.29\n')
    assert gate(Folder(found.path), read(tmp_path / "p.toml")).state == "passed"


def test_a_rule_about_the_hardest_needs_some(tmp_path, before):
    (tmp_path / "p.toml").write_text('[[gate]]\nmetric = "hardest_lost"\nat_most = 0.5\n')
    with pytest.raises(UsageError, match=r"HF824.*chose none"):
        gate(Folder(before.parent / "run"), read(tmp_path / "p.toml"))


@pytest.mark.parametrize(
    "fields",
    [
        'metric = "hardest_lost"',
        'metric = "hardest_lost"\nat_least = 0.5',
        'metric = "hardest_lost"\nat_most = 0.5\nthreat = "linf:0.1"',
        'metric = "hardest_lost"\nat_most = 0.5\nmax_regression = 0.1',
        'metric = "clean_accuracy"\nat_most = 0.5',
    ],
)
def test_at_most_goes_with_the_hardest_alone(tmp_path, fields):
    (tmp_path / "p.toml").write_text(f"[[gate]]\n{fields}\n")
    with pytest.raises(UsageError, match=r"HF823.*at_most"):
        read(tmp_path / "p.toml")


def test_the_document_goes_there_and_back(tmp_path, before):
    found = asked(tmp_path / "now", before)
    path = pathlib.Path(found.path) / "summary.json"
    assert read_file(path).hardest == found.summary.hardest
    assert json.loads(path.read_text())["hardest"]["tried"] == 12
    assert str(before.parent) not in path.read_text(), "no path of a machine"
