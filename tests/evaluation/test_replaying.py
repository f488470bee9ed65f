"""`audit(replay=RUN)`: an earlier run's adversarial inputs are tried first, verified anew, counted and named."""

import os

import pytest
import torch

from evaluation import killing
from evaluation.audits import FEW, essence, run
from evaluation.world import data, model
from holdfast.attacks.evasion.ddn import Ddn
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import IntegrityError, Stop, UsageError
from holdfast.core.progress import BatchDone, Note, StageDone
from holdfast.evaluation import comparable, manifest
from holdfast.evaluation.audit import audit, plan
from holdfast.evaluation.board import board
from holdfast.evaluation.comparison import compare
from holdfast.evaluation.document import to_json
from holdfast.evaluation.masking import limits
from holdfast.evaluation.replay import recheck, replay
from holdfast.evaluation.store import Folder
from holdfast.report.text import text


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def before(tmp_path):
    return run(tmp_path / "before")


def statuses(folder):
    return {(row["threat"], row["sample"]): row["status"] for row in folder.samples.to_pylist()}


def broken(folder):
    return {place for place, status in statuses(folder).items() if status == "broken"}


def test_a_run_of_the_same_model_is_found_at_once_with_one_question_each(tmp_path, before):
    events = []
    after = run(tmp_path / "after", replay=before.path, on_event=events.append)
    assert broken(before)
    assert statuses(after) == statuses(before)
    rows = [row for row in after.samples.to_pylist() if row["status"] == "broken"]
    assert {(row["broken_by"], row["queries"], row["gradients"]) for row in rows} == {("replay", 1, 0)}
    first, second = after.summary.threats[0].attacks
    assert (first.name, first.attempted, first.broken) == ("replay", len(rows), len(rows))
    assert (second.name, second.broken) == ("pgd", 0)
    assert second.attempted == sum(status == "unbroken" for status in statuses(before).values())
    assert [(e.stage, e.broken) for e in events if isinstance(e, StageDone)][0] == ("replay linf:1/5", len(rows))
    assert first.forwards >= 2 * len(rows)


def test_what_was_replayed_is_named(tmp_path, before):
    after = run(tmp_path / "after", replay=before.path).summary
    config = after.threats[0].attacks[0].config
    assert config == {"inputs": after.replay.inputs, "model": before.manifest.fingerprint}
    assert Folder(tmp_path / "after").manifest.stages[0].config == config
    assert (after.replay.tried, after.replay.broken) == (len(broken(before)), len(broken(before)))
    assert after.replay.run == before.path.name
    assert any(after.replay.inputs in line and f"the run {before.path.name} holds" in line for line in after.limits)
    assert str(before.path.parent) not in to_json(after)
    assert "(replay" in after.verdict.text
    count = len(broken(before))
    assert f"{count} of 40 samples had an input to try first, {count} broke." in " ".join(text(after).split())
    assert not any("took replay" in finding.text for finding in after.findings)
    assert run(tmp_path / "without").summary.replay is None


@pytest.mark.parametrize("shift", [0.03, 0.1])
def test_replaying_never_raises_the_rate(tmp_path, before, shift):
    other = lambda: model(shift=shift)[0]  # noqa: E731
    threat = ["linf:0.1", "linf:0.2"]
    plain = run(tmp_path / "plain", of=other(), threat=threat)
    replayed = run(tmp_path / "replayed", of=other(), threat=threat, replay=before.path)
    assert replayed.summary.replay.broken > 0
    assert broken(plain) <= broken(replayed)
    assert recheck(replayed, other(), data(40)).holds


def test_it_breaks_what_the_attack_alone_would_not(tmp_path, before):
    weak = run(tmp_path / "weak", suite=Pgd(steps=1, step=0.01, random_start=False))
    again = run(tmp_path / "again", suite=Pgd(steps=1, step=0.01, random_start=False), replay=before.path)
    assert not broken(weak)
    assert broken(again) == broken(before)


def test_only_inputs_inside_the_threat_are_tried(tmp_path, before):
    after = run(tmp_path / "after", threat=["linf:0.01", "l2:0.01"], replay=before.path).summary
    assert after.replay.stored == len(broken(before))
    assert after.replay.tried == 0
    assert [t.attacks[0].attempted for t in after.threats] == [0, 0]
    assert f"({after.replay.stored} more do not fit these threats), 0 broke." in " ".join(text(after).split())


def test_of_several_inputs_the_farthest_inside_the_threat_is_tried(tmp_path):
    run(tmp_path / "before", threat="linf:0.12")
    first = run(tmp_path / "before", threat="linf:0.2")
    after = run(tmp_path / "after", threat="linf:0.25", replay=first.path)
    rows = [row for row in after.samples.to_pylist() if row["broken_by"] == "replay"]
    assert rows
    assert min(row["linf"] for row in rows) > 0.19


@pytest.mark.parametrize(
    ("under", "threat", "fair"),
    [
        ("linf:0.2", "linf:0.2,knowledge=scores", False),
        ("linf:0.2,knowledge=scores", "linf:0.2", True),
        ("linf:0.2,knowledge=scores", "linf:0.2,knowledge=labels", False),
        ("linf:0.2,knowledge=scores,queries=50", "linf:0.2,knowledge=scores,queries=50", True),
        ("linf:0.2,knowledge=scores,queries=50", "linf:0.2,knowledge=scores,queries=49", False),
        ("linf:0.2,knowledge=scores", "linf:0.2,knowledge=scores,queries=1000", False),
    ],
)
def test_no_attacker_gets_what_one_who_may_do_more_has_found(tmp_path, under, threat, fair):
    one = {"of": model()[0], "n": 12}
    first = run(
        tmp_path / "before", threat=under, suite="pgd(steps=4)" if "know" not in under else "square(steps=60)", **one
    )
    after = run(tmp_path / "after", threat=threat, suite="hop_skip_jump(steps=1)", replay=first.path, **one)
    assert after.summary.replay.stored == len(broken(first)) > 0
    assert after.summary.replay.tried == (len(broken(first)) if fair else 0)


def test_a_threat_that_seeks_the_nearest_input_is_not_replayed(tmp_path, before):
    plain = run(tmp_path / "plain", threat="l2:inf", suite=Ddn(steps=4))
    after = run(tmp_path / "after", threat="l2:inf", suite=Ddn(steps=4), replay=before.path)
    assert after.summary.replay.tried == 0
    assert after.samples.to_pylist() == plain.samples.to_pylist()


def test_other_samples_and_a_run_without_inputs_change_nothing_and_are_told(tmp_path, before):
    notes = []
    first = audit(model()[0], data(40, 1100), threat="linf:0.2", suite=FEW, out=tmp_path / "there")
    plain = run(tmp_path / "plain")
    after = run(tmp_path / "after", replay=first.path, on_event=notes.append)
    assert statuses(after) == statuses(plain)
    told = [e.text for e in notes if isinstance(e, Note)]
    assert any("0 of 40 samples" in line and "no adversarial input for any of these" in line for line in told)
    assert "0 of 40 samples had an input to try first; that run holds none" in " ".join(text(after.summary).split())
    empty = run(tmp_path / "empty", threat="linf:0.0001")
    assert run(tmp_path / "last", replay=empty.path).summary.replay.stored == 0


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="HF407"):
        run(tmp_path / "after", replay=tmp_path / "nothing")
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize("earlier", ["", 5, ["a"]])
def test_what_names_no_run_is_refused_in_a_line(tmp_path, earlier):
    with pytest.raises(IntegrityError, match="HF407"):
        run(tmp_path / "a", replay=earlier)


def test_a_run_cannot_replay_itself(tmp_path, before):
    with pytest.raises(UsageError, match="HF828"):
        run(before.path, replay=before.path)
    assert run(before.path, replay=before.path, new=True).summary.replay.broken == len(broken(before))


def test_a_damaged_run_is_refused(tmp_path, before):
    part = next(path for path in sorted((before.path / "parts").glob("search-*.npz")))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="HF411"):
        run(tmp_path / "after", replay=before.path)


def test_another_replayed_run_amends_and_none_leaves_it_out(tmp_path, before):
    plain = run(tmp_path / "a")
    rows, parts = plain.samples.to_pylist(), {c.part for c in plain.parts.commits}
    first = run(tmp_path / "a", replay=before.path).summary.replay
    other = run(tmp_path / "other", threat="linf:0.3", of=model(shift=0.05)[0])
    second = run(tmp_path / "a", replay=other.path)
    assert first.inputs != second.summary.replay.inputs
    assert [s.name for s in second.manifest.stages] == ["pgd", "replay", "replay"]
    assert parts <= {c.part for c in second.parts.commits}
    assert run(tmp_path / "a").samples.to_pylist() == rows


@pytest.mark.parametrize("after", [1, 6, 8, 12])
def test_stopped_and_continued_it_ends_like_an_unbroken_one(tmp_path, before, after):
    seen = []

    def listen(event):
        seen.append(event)
        if sum(isinstance(e, BatchDone) for e in seen) >= after:
            raise Stop

    asked = {"threat": ["linf:0.2", "linf:0.3"], "replay": before.path, "of": model(shift=0.05)[0]}
    partial = run(tmp_path / "a", on_event=listen, **asked)
    assert not partial.complete
    assert essence(run(tmp_path / "a", **asked)) == essence(run(tmp_path / "b", **asked))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("call", "count"), [("replace", 5), ("replace", 8), ("write", 15)])
def test_killed_and_continued_it_ends_like_an_unbroken_one(tmp_path, before, call, count):
    def body():
        killing.dying_at(call, count)()
        run(tmp_path / "a", replay=before.path, of=model(shift=0.05)[0])

    assert killing.in_child(body) < 0
    continued = run(tmp_path / "a", replay=before.path, of=model(shift=0.05)[0])
    whole = run(tmp_path / "b", replay=before.path, of=model(shift=0.05)[0])
    assert essence(continued) == essence(whole)


def test_a_claim_of_a_replay_is_rechecked_and_repeated(tmp_path, before, monkeypatch):
    after = run(tmp_path / "after", replay=before.path)
    rows = [row for row in after.samples.to_pylist() if row["broken_by"] == "replay"]
    assert recheck(after, model()[0], data(40)).holds
    again = replay(after, rows[0]["sample"], model()[0], data(40))
    assert (again.verified, again.reproduced, again.identical) == (True, True, True)
    labels = {row["sample"]: row["label"] for row in rows}
    monkeypatch.setattr("holdfast.evaluation.replay.decided", lambda model, x, batch: torch.arange(10).repeat(100))
    lies = {claim.sample for claim in recheck(after, model()[0], data(40)).failed}
    assert lies & set(labels)


def test_runs_compare_only_where_both_replayed_the_same(tmp_path, before):
    plain, after = run(tmp_path / "plain"), run(tmp_path / "after", replay=before.path)
    with pytest.raises(IntegrityError, match=r"HF413.*replay") as refused:
        comparable.refuse(after, plain, common=False)
    assert "the same --replay, or none" in str(refused.value.fix)
    again = run(tmp_path / "again", replay=before.path)
    assert {side.suite for side in compare([after, again]).runs} == {"replay+pgd(steps=4)"}
    tables = board([plain, after, again]).rankings
    assert [table.suite for table in tables] == ["replay+pgd(steps=4)", "pgd(steps=4)"]


def test_another_plan_without_a_replay_hints_at_none(tmp_path, before):
    with pytest.raises(IntegrityError, match="HF413") as refused:
        comparable.refuse(before, run(tmp_path / "other", suite=Pgd(steps=2)), common=False)
    assert refused.value.fix == "audit both with one --suite"


def test_the_plan_counts_one_question_for_each_input(before):
    found = plan(model()[0], data(40), threat="linf:0.2", suite=FEW, replay=before.path)
    assert [(s.name, s.samples) for s in found.stages] == [
        ("replay linf:1/5", len(broken(before))),
        ("pgd(steps=4) linf:1/5", 40),
    ]
