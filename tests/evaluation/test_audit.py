import itertools
import os
import types

import numpy as np
import pytest
import torch

from evaluation.audits import FEW, asked_for, essence, run
from evaluation.world import Means, data, digits, model
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import DataError, IntegrityError, ModelError, ThreatError, UsageError
from holdfast.core.progress import BatchDone, RunDone, RunStarted
from holdfast.data.dataset import Dataset
from holdfast.evaluation import manifest, steps
from holdfast.evaluation.audit import audit, plan
from holdfast.evaluation.masking import limits
from holdfast.evaluation.replay import recheck, replay
from holdfast.evaluation.store import Folder
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.space import Image


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 0)  # the masking battery has tests of its own
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # durability has tests of its own


def test_the_numbers_agree_with_the_table(tmp_path):
    folder = run(tmp_path / "a", threat=["linf:0.2", "l2:1"])
    s, rows = folder.summary, folder.samples.to_pylist()
    assert folder.complete
    assert len(rows) == 80
    assert s.rates.clean_accuracy.k == sum(r["predicted"] == r["label"] for r in rows[:40])
    for t in s.threats:
        mine = [r for r in rows if r["threat"] == t.literal]
        broken = [r for r in mine if r["status"] == "broken"]
        assert t.success_rate.k == len(broken) == t.attacks[0].broken
        assert t.empirical_robust_accuracy.k == sum(r["status"] == "unbroken" for r in mine)
        assert t.curve[0].rate.k == s.rates.clean_accuracy.k
        assert t.curve[-1].rate == t.empirical_robust_accuracy
        assert [p.rate.k for p in t.curve] == sorted((p.rate.k for p in t.curve), reverse=True)
        assert sum(c.count for c in t.confusions) == len(broken)
        assert t.distances[t.literal.split(":")[0]].max <= (0.2 if t.literal.startswith("linf") else 1) * (1 + 1e-6)
        assert all(r["adversarial_label"] not in (None, r["label"]) for r in broken)
    union = {r["sample"] for r in rows if r["status"] in ("broken", "wrong")}
    assert s.rates.empirical_robust_accuracy.k == 40 - len(union)
    assert "by these attacks within these budgets" in s.verdict.text
    assert 0 < len(s.findings) <= 5


def test_stored_inputs_break_the_model_and_lie_in_the_threat(tmp_path):
    folder, (m, _) = run(tmp_path / "a"), model()
    shown = folder.examples
    broken = shown.kind == "broken"
    assert broken.any()
    x = torch.from_numpy(shown.adversarial)
    labels = {r["sample"]: r["label"] for r in folder.samples.to_pylist()}
    y = torch.tensor([labels[i] for i in shown.sample.tolist()])
    assert (m.predict(x)[broken] != y[broken]).all()
    assert (m.predict(x)[~broken] == y[~broken]).all()
    assert np.abs(shown.adversarial.astype(float) - shown.clean).max() <= 0.2 + 1e-7
    assert np.array_equal(shown.clean, digits()[0][shown.sample].numpy())


def test_another_model_is_refused_and_new_makes_a_sibling(tmp_path):
    run(tmp_path / "a", n=16)
    other, _ = model(shift=0.05)
    with pytest.raises(IntegrityError, match="HF402.*fingerprint"):
        run(tmp_path / "a", n=16, of=other)
    assert run(tmp_path / "a", n=16, of=other, new=True).path == tmp_path / "a-2"
    assert Folder(tmp_path / "a").complete


def test_precision_is_part_of_the_identity(tmp_path):
    run(tmp_path / "a", n=16)
    x, y = digits()
    double = Dataset(x[1000:1016].double(), y[1000:1016])
    m = settle(wrap(Means().double(), (0, 1), output="logits"), double.x)
    with pytest.raises(IntegrityError, match="HF402.*precision"):
        audit(m, double, threat="linf:0.2", suite=FEW, out=tmp_path / "a")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(IntegrityError, match="HF406"):
        run(tmp_path, n=8)
    with pytest.raises(IntegrityError, match="HF406"):
        run(tmp_path / "notes.txt", n=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt"]


def test_expected_accuracy_stops_before_any_attack(tmp_path):
    with pytest.raises(ModelError, match="HF230"):
        run(tmp_path / "a", expect_accuracy=0.2)
    assert all(q.kind == "clean" for q in Folder(tmp_path / "a").parts.questions())
    with pytest.raises(IntegrityError, match="HF408"):
        _ = Folder(tmp_path / "a").summary
    assert run(tmp_path / "a", expect_accuracy=0.9).complete


def test_a_model_worse_than_guessing_is_told_what_its_labels_may_be(tmp_path):
    x, y = digits()
    m, _ = model()
    told = {}
    for name, part in {
        "right": Dataset(x[:120], y[:120]),
        "shifted": Dataset(x[:120], (y[:120] + 3) % 10),
        "one class": Dataset(x[:400][y[:400] == 1], (y[:400][y[:400] == 1] + 3) % 10),
    }.items():
        found = audit(m, part, threat="linf:0.01", suite=Pgd(steps=1), out=tmp_path / name, limit=60)
        told[name] = [note for note in found.summary.provenance.circumstances if "guessing" in note]
    assert told["right"] == told["one class"] == []
    assert len(told["shifted"]) == 1
    assert "the classes seem to be in another order (the model's 0 is 3, 1 is 4" in told["shifted"][0]


def test_what_cannot_be_attacked_is_refused_before_anything_is_written(tmp_path):
    x, y = digits()
    m, _ = model()
    with pytest.raises(DataError, match="HF104"):
        audit(m, Dataset(x[:8] * 255, y[:8], bounds=(0, 255)), threat="linf:0.2", suite=FEW, out=tmp_path / "a")
    with pytest.raises(DataError, match="HF101"):
        audit(m, Dataset(x[:8], y[:8] + 3), threat="linf:0.2", suite=FEW, out=tmp_path / "a")
    with pytest.raises(DataError, match="HF120"):
        audit(m, data(8), threat="linf:0.2", suite=FEW, out=tmp_path / "a", limit=0)
    with pytest.raises(ThreatError, match="HF301"):
        run(tmp_path / "a", threat="linff:0.1")
    with pytest.raises(UsageError, match="HF810"):
        run(tmp_path / "a", threat="linf:0.2,knowledge=labels")
    assert not (tmp_path / "a").exists()


def test_limit_is_a_seeded_subset_and_says_so(tmp_path):
    s = run(tmp_path / "a", limit=16, seed=3).summary
    assert (s.data.n, s.data.total, s.data.limited, s.data.seed) == (16, 40, True, 3)
    assert any("16 of 40" in line for line in s.limits)
    grown = run(tmp_path / "a", limit=24, seed=3)
    assert grown.summary.data.n == 24


def test_broken_at_a_radius_is_broken_at_every_larger_one(tmp_path):
    """The larger radius inherits, also when it was searched first, and the curve passes through both."""
    run(tmp_path / "a", threat="linf:0.2")
    folder = run(tmp_path / "a", threat=["linf:0.2", "linf:0.1"])
    fresh = run(tmp_path / "b", threat=["linf:0.1", "linf:0.2"])
    rows = {(r["threat"], r["sample"]): r for r in folder.samples.to_pylist()}
    small = [s for (t, s), r in rows.items() if t == "linf:1/10" and r["status"] == "broken"]
    assert small
    for s in small:
        assert rows["linf:1/5", s]["status"] == "broken"
        assert rows["linf:1/5", s]["linf"] <= 0.1 + 1e-7
    assert [
        (r["threat"], r["sample"], r["status"], r["linf"]) for r in sorted(folder.samples.to_pylist(), key=str)
    ] == [(r["threat"], r["sample"], r["status"], r["linf"]) for r in sorted(fresh.samples.to_pylist(), key=str)]
    facts = {t.literal: t for t in folder.summary.threats}
    point = next(p for p in facts["linf:1/5"].curve if p.radius == 0.1)
    assert point.rate == facts["linf:1/10"].empirical_robust_accuracy


def function(fails):
    """A predict function that raises where `fails` says so, for the whole batch as numpy functions do."""
    net = Means()

    def predict(x):
        x = torch.as_tensor(x).float()
        bad = [row for row in x if fails(row)]
        if bad:
            raise ValueError("cannot read this input")
        with torch.no_grad():
            return net(x).numpy()

    return Model(
        Image((0.0, 1.0)),
        10,
        scores=lambda x: torch.from_numpy(predict(x)),
        module=lambda x: net(x) * 1.0,
        name="function",
    )


def test_rows_on_which_the_model_raises_are_counted(tmp_path):
    x, _ = digits()
    lost = {x[1003].numpy().tobytes(), x[1020].numpy().tobytes()}
    folder = run(tmp_path / "a", of=function(lambda row: row.numpy().tobytes() in lost))
    s = folder.summary
    assert {e.sample for e in s.coverage.errors} == {1003, 1020}
    assert all("ValueError: cannot read this input" in e.reason for e in s.coverage.errors)
    assert s.verdict.state == "doubtful"
    assert s.coverage.statuses["error"] == 2
    others = [r for r in run(tmp_path / "b").samples.to_pylist() if r["sample"] not in (1003, 1020)]
    keys = ("sample", "status", "linf", "adversarial_label")
    assert [[r[k] for k in keys] for r in folder.samples.to_pylist() if r["status"] != "error"] == [
        [r[k] for k in keys] for r in others
    ]


@pytest.mark.parametrize("batch", [0, -3, 10**20])
def test_a_batch_that_no_library_takes_is_refused(tmp_path, batch):
    with pytest.raises(UsageError, match="HF805 A batch has too few or too many samples"):
        run(tmp_path / "a", batch=batch)
    assert not (tmp_path / "a").exists()


def test_a_surprising_accuracy_names_its_likely_cause(tmp_path):
    x, y = digits()
    shifted = Dataset(x[1000:1200], y[1000:1200] % 9 + 1)
    with pytest.raises(ModelError, match="HF230.*likely causes.*labels"):
        audit(model()[0], shifted, threat="linf:0.2", suite=FEW, out=tmp_path / "a", expect_accuracy=0.9)


def test_a_model_that_always_raises_is_refused(tmp_path):
    calls = []

    def never(x):
        calls.append(len(x))
        if len(calls) > 1:  # the fingerprint gets an answer
            raise RuntimeError("the server is gone")
        return torch.zeros(len(x), 10)

    with pytest.raises(ModelError, match="HF231.*the server is gone"):
        audit(
            Model(Image((0.0, 1.0)), 10, scores=never, module=never),
            data(8),
            threat="linf:0.2",
            suite=FEW,
            out=tmp_path / "a",
        )


def test_events(tmp_path):
    events = []
    run(tmp_path / "a", on_event=events.append)
    assert isinstance(events[0], RunStarted)
    assert events[0].stages == ("pgd(steps=4) linf:1/5",)
    assert events[0].seconds > 0
    assert isinstance(events[-1], RunDone)
    assert events[-1].complete
    stage = [e for e in events if isinstance(e, BatchDone) and e.stage == "pgd(steps=4) linf:1/5"]
    assert [e.done for e in stage] == sorted(e.done for e in stage)
    assert stage[-1].done == stage[-1].total
    assert stage[-1].seconds > 0, "the curve and the masking battery follow"
    assert [e for e in events if isinstance(e, BatchDone)][-1].seconds == 0


def test_the_live_rate_counts_what_earlier_stages_broke(tmp_path, monkeypatch):
    """In the second stage all right samples are judged; at its end the live rate is the run's."""
    events, seconds = [], map(float, itertools.count())  # each part takes one
    clock = types.SimpleNamespace(perf_counter=lambda: next(seconds), monotonic=lambda: next(seconds))
    monkeypatch.setattr(steps, "time", clock)
    folder = run(tmp_path / "a", suite=[Pgd(steps=1), Pgd(steps=8)], on_event=events.append)
    told = [e for e in events if isinstance(e, BatchDone)]
    first = [e for e in told if e.stage.startswith("pgd(steps=1)")]
    second = [e for e in told if e.stage.startswith("pgd(steps=8)")]
    success = folder.summary.threats[0].success_rate
    assert [e.judged for e in first] == [e.done for e in first]
    assert {e.judged for e in second} == {success.n}
    assert second[-1].judged - second[-1].held == success.k > first[-1].judged - first[-1].held
    assert first[0].seconds > first[-1].seconds > 0
    rows = [r for r in folder.samples.to_pylist() if r["status"] == "broken"]
    facts = folder.summary.threats[0].attacks
    assert [a.attempted for a in facts] == [success.n, success.n - facts[0].broken]
    assert sum(a.broken for a in facts) == len(rows)


def test_plan_writes_nothing_and_bounds_the_cost(tmp_path):
    found = plan(model()[0], data(40), threat=["linf:0.2", "l2:1"], suite=FEW)
    assert [s.name for s in found.stages] == ["pgd(steps=4) linf:1/5", "pgd(steps=4) l2:1"]
    spent, folder = asked_for(tmp_path / "a", threat=["linf:0.2", "l2:1"])
    assert found.forwards >= folder.summary.cost.forwards
    assert found.disk > 0
    assert found.seconds > 0
    assert len(found.lines()) == 3


def test_transfer(tmp_path):
    other, _ = model(shift=0.02)
    s = run(tmp_path / "a", transfer_to=other).summary
    assert s.transfer[0].threat == "linf:1/5"
    assert s.transfer[0].rate.n <= s.threats[0].success_rate.k
    assert s.transfer[0].rate.k > 0
    itself = run(tmp_path / "b", transfer_to=model()[0]).summary.transfer[0].rate
    assert itself.k == itself.n == s.threats[0].success_rate.k


def test_replay_and_recheck(tmp_path):
    folder = run(tmp_path / "a", threat=["linf:0.1", "linf:0.2"])
    for row in [r for r in folder.samples.to_pylist() if r["status"] == "broken"][:5]:
        found = replay(folder, row["sample"], model()[0], data(40), threat=row["threat"])
        assert found.verified
        assert found.reproduced
        assert found.identical
        assert found.difference == 0
        assert found.decided == row["adversarial_label"]
    checked = recheck(folder, model()[0], data(40))
    assert checked.holds
    assert checked.claims >= sum(
        r["status"] == "broken" for r in folder.samples.to_pylist() if r["threat"] == "linf:1/10"
    )
    held = next(
        r["sample"] for r in folder.samples.to_pylist() if r["status"] != "broken" and r["threat"] == "linf:1/10"
    )
    with pytest.raises(IntegrityError, match="HF410"):
        replay(folder, held, model()[0], data(40), threat="linf:1/10")
    with pytest.raises(IntegrityError, match="HF402"):
        recheck(folder, model(shift=0.05)[0])


def test_recheck_finds_a_false_claim(tmp_path):
    """A part whose stored input was replaced, with the journal rewritten to match: the model's own word uncovers it."""
    folder = run(tmp_path / "a")
    asked = next(q for q in folder.parts.questions() if q.kind == "search" and q.threat == "linf:1/5")
    key, stored = next(iter(folder.parts.arrays(asked, "adversarial").items()))
    place = folder.manifest.samples.keys.index(key)
    stored[...] = data(40).x[place].numpy()
    checked = recheck(folder, model()[0], data(40))
    assert [c.why for c in checked.failed] == ["the model is right on the stored input"]
    assert checked.failed[0].sample == folder.manifest.samples.ids[place]


def test_the_result_does_not_depend_on_the_batch(tmp_path):
    assert essence(run(tmp_path / "a", batch=3)) == essence(run(tmp_path / "b", batch=256))


def test_vectors_keep_no_examples(tmp_path):
    x, y = digits()
    flat = Dataset(x[1000:1016].flatten(1), y[1000:1016])
    m = settle(wrap(Means(), (0, 1), output="logits"), flat.x)
    folder = audit(m, flat, threat="l2:1", suite=FEW, out=tmp_path / "a")
    assert folder.summary.data.kind == "vector"
    assert folder.examples is None
    assert folder.summary.threats[0].eight_bit is None
    assert folder.summary.threats[0].psnr is None


def test_the_same_sample_twice_counts_twice(tmp_path):
    x, y = digits()
    twice = Dataset(torch.cat([x[1000:1004], x[1000:1004]]), torch.cat([y[1000:1004], y[1000:1004]]))
    folder = audit(model()[0], twice, threat="linf:0.2", suite=FEW, out=tmp_path / "a")
    assert folder.summary.data.n == 8
    assert len(folder.samples) == 8
