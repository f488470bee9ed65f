"""A model out of reach in the middle of an audit, or one that fails on samples: what counts, and what is repaired."""

import dataclasses
import os

import numpy as np
import pytest
import torch

import holdfast as hf
from evaluation.audits import essence, run
from evaluation.world import Means, data
from holdfast.attacks.evasion.square import Square
from holdfast.cli import result
from holdfast.cli.main import main
from holdfast.core.progress import BatchDone, Note, RunStarted
from holdfast.evaluation import manifest
from holdfast.evaluation.masking import limits
from holdfast.evaluation.steps import Toll, Work
from holdfast.models import line
from holdfast.models.settle import fingerprint, settle
from holdfast.models.source import source_of
from models.served import served

pytest.importorskip("httpx")

ASKED = {"threat": "linf:0.3,knowledge=scores", "suite": Square(steps=8)}
NET = Means()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 0)  # the masking battery has tests of its own
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # durability has tests of its own
    monkeypatch.setattr(line.time, "sleep", lambda seconds: None)


def scores(rows):
    with torch.no_grad():
        return NET(torch.from_numpy(rows).float()).softmax(1).double().numpy()


def probabilities(rows):
    return {"p": scores(rows)}


def later(fault, after):
    """A fault from the `after`-th batch on, for good."""
    left = iter(range(after))
    return lambda verb, asked: fault if asked and next(left, None) is None else None


FAULTS = {
    "away": ((503, {}, b""), "HF242"),
    "failing": ((500, {}, b"device lost"), "HF242"),
    "nonsense": ((200, {}, b"oops"), "HF243"),
    "capped": (None, "HF245"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_an_endpoint_that_is_gone_ends_the_audit_resumably_and_the_same_call_continues(tmp_path, kind):
    fault, code = FAULTS[kind]
    with served(probabilities) as server:
        address, events = server.address, []
        server.fault = fault and later(fault, 16)
        cap = 0 if fault else 300
        of = hf.endpoint(address, retries=1, cap=cap)
        partial = run(tmp_path / "a", of=of, n=24, on_event=events.append, **ASKED)
        assert not partial.complete
        assert partial.summary.stopped.startswith(f"{code} ")
        assert len(partial.summary.stopped) <= 240
        assert partial.summary.verdict.state == "partial"
        assert partial.summary.coverage.statuses.get("error", 0) == 0
        assert not partial.summary.coverage.errors
        assert result.exit_code(partial.summary) == 3
        assert [e.code for e in events if isinstance(e, Note)] == [code]
        kept = {c.part for c in partial.parts.commits}
        assert kept
        server.fault = None
        whole = run(tmp_path / "a", n=24, of=hf.endpoint(address), **ASKED)
        assert whole.complete
        assert kept <= {c.part for c in whole.parts.commits}
        assert essence(whole) == essence(run(tmp_path / "b", n=24, of=hf.endpoint(address), **ASKED))
        assert {"broken", "unbroken"} & set(whole.summary.coverage.statuses)


def sound(rows):
    """Fails nowhere."""
    return False


class Shaky:
    """A predict function that raises where `fails` says so; wrapped, its fingerprint is that of the sound one."""

    def __init__(self):
        self.fails = sound
        self.model = hf.wrap(self, (0, 1), output="probabilities")

    def __call__(self, rows):
        if self.fails(rows):
            raise RuntimeError("device lost")
        return scores(np.asarray(rows))


def statuses(folder):
    return folder.samples.column("status").to_pylist()


def told(events):
    return [e.text for e in events if isinstance(e, Note) and e.code == "HF232"]


LOST = np.stack([row.numpy() for row in data(24).x[:3]])
FAILS = {
    "for good": lambda rows: True,
    "on some samples": lambda rows: any((row == LOST).reshape(3, -1).all(1).any() for row in np.asarray(rows)),
}


@pytest.mark.parametrize("kind", FAILS)
def test_samples_that_failed_are_tried_again_once_and_what_changes_is_written_down(tmp_path, capsys, kind):
    function, asked, events = Shaky(), {"n": 24, **ASKED}, []
    first = BatchDone if kind == "for good" else RunStarted

    def breaks(event):
        events.append(event)
        if isinstance(event, first):
            function.fails = FAILS[kind]

    lost = run(tmp_path / "a", of=function.model, on_event=breaks, **asked)
    assert lost.complete
    assert told(events) == []
    parts = [c.part for c in lost.parts.commits]
    assert main(["show", str(lost.path), "--status", "error", "-n", "0"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("reason")
    assert len(lines) == statuses(lost).count("error")
    assert all("RuntimeError: device lost" in line for line in lines)
    assert statuses(lost).count("error") >= 3

    function.fails, first = sound, RunStarted
    events.clear()
    again = run(tmp_path / "a", of=function.model, on_event=breaks, **asked)
    assert statuses(again) == statuses(lost)
    assert [c.part for c in again.parts.commits] == parts
    assert told(events) == ["samples on which the model had failed are tried once more"]

    function.fails = sound
    events.clear()
    mended = run(tmp_path / "a", of=function.model, on_event=events.append, **asked)
    assert "error" not in statuses(mended)
    names = [c.part for c in mended.parts.commits]
    assert len(set(names)) == len(names)
    assert names[: len(parts)] == parts
    assert "samples on which the model had failed are answered now" in told(events)[1]
    assert told(events)[1] in "\n".join(mended.summary.provenance.circumstances)
    assert essence(mended)[1] == essence(run(tmp_path / "b", of=Shaky().model, **asked))[1]
    events.clear()
    run(tmp_path / "a", of=function.model, on_event=events.append, **asked)
    assert told(events) == []


def test_an_endpoint_that_dies_among_others_gets_its_line_and_the_others_go_on(tmp_path):
    with served(probabilities) as server:
        models = [
            hf.endpoint(server.address, retries=1),
            hf.wrap(Means(shift=0.1), (0, 1), output="logits", name="net"),
        ]
        out, told = tmp_path / "all", []
        server.fault = later((503, {}, b""), 34)
        found = hf.compare_models(models, data(24), out, on_event=told.append, **ASKED)
        assert [row.name for row in found.rows] == ["net"]
        assert [(each.code, each.name in found.left) for each in found.left_out] == [("HF242", False)]
        assert found.left_out[0].line.endswith("the same call goes on from there.")
        assert not found.complete
        assert any(isinstance(e, Note) and e.code == "HF242" and "the others go on" in e.text for e in told)
        server.fault, kept = None, [path.name for path in out.rglob("*.parquet")]
        again = hf.compare_models(models, data(24), out, **ASKED)
    assert again.complete
    assert len(again.rows) == 2
    assert set(kept) <= {path.name for path in out.rglob("*.parquet")}


@pytest.mark.parametrize("refusal", [(500, {}, b"overflow"), (422, {}, b"no"), (200, {}, b"oops")])
def test_a_row_that_an_endpoint_refuses_is_an_error_of_that_row(tmp_path, refusal):
    bad = LOST[2].reshape(-1)

    def fault(verb, asked):
        """Around one sample, not at it."""
        rows = np.array(asked["inputs"][0]["data"]).reshape(-1, 64) if asked else np.zeros((0, 64))
        far = np.abs(rows - bad).max(1)
        return refusal if ((far > 1e-6) & (far < 0.31)).any() else None

    with served(probabilities, fault=fault) as server:
        found = run(tmp_path / "a", of=hf.endpoint(server.address), n=24, **ASKED)
        assert found.complete
        assert [row["sample"] for row in found.samples.to_pylist() if row["status"] == "error"] == [1002]
        assert "HF249" in found.summary.coverage.errors[0].reason
        server.fault = None
        assert "error" not in statuses(run(tmp_path / "a", of=hf.endpoint(server.address), n=24, **ASKED))


def looked(server, n=24):
    """Rows that a call asks before its first part."""
    before = server.rows
    x = data(n).x
    model = settle(hf.endpoint(server.address), x)
    fingerprint(model, tuple(x.shape[1:]), x.dtype)
    model.predict(x)
    return server.rows - before


@pytest.mark.parametrize("remember", [True, False])
def test_calls_under_a_cap_below_one_part_end_in_the_result_of_one_without(tmp_path, remember):
    with served(probabilities) as server:
        cap, calls, told = looked(server, 16) + (30 if remember else 46), 0, []
        while True:
            before, of = server.rows, hf.endpoint(server.address, cap=cap, remember=remember)
            found = run(tmp_path / "a", of=of, n=16, on_event=told.append, **ASKED)
            calls, spent = calls + 1, server.rows - before
            assert spent <= cap
            if found.complete:
                break
            assert found.summary.stopped.startswith("HF245 ")
            assert calls < 60
        whole = run(tmp_path / "b", of=hf.endpoint(server.address), n=16, **ASKED)
    assert calls > 3, "else the cap is not below one part"
    assert essence(found) == essence(whole)
    assert not any("nothing was finished" in event.text for event in told if isinstance(event, Note))
    assert {"broken", "unbroken"} <= set(whole.summary.coverage.statuses)


def test_a_cap_below_one_sample_is_told_and_a_larger_one_goes_on(tmp_path):
    with served(probabilities) as server:
        cap, texts = looked(server, 8) + 4, []
        while not any("nothing was finished" in text for text in texts):
            events, before = [], server.rows
            of = hf.endpoint(server.address, cap=cap)
            partial = run(tmp_path / "a", of=of, n=8, on_event=events.append, **ASKED)
            assert not partial.complete
            assert server.rows - before <= cap
            texts.append(" ".join(event.text for event in events if isinstance(event, Note)))
            assert len(texts) < 12
        assert len(texts) > 1, "the clean predictions were finished"
        assert "the next sample alone needs more rows than this cap allows" in texts[-1]
        assert run(tmp_path / "a", of=hf.endpoint(server.address), n=8, **ASKED).complete


def test_parts_are_as_large_as_the_cap_surely_allows():
    with served(probabilities) as server:
        model = settle(hf.endpoint(server.address), data(24).x)
        keys = [str(i) for i in range(10)]
        work = Work(None, None, None, None, forwards=1)
        assert list(work.pieces(keys, Toll(model, 20))) == [keys]
        capped = settle(hf.endpoint(server.address, cap=10_000), data(24).x)
        port = source_of(capped).ask.ask
        port.line.limits = dataclasses.replace(port.line.limits, cap=port.line.rows + 100)
        assert [len(piece) for piece in work.pieces(keys, Toll(capped, 20))] == [5, 5]
        assert [len(piece) for piece in work.pieces(keys, Toll(capped, 7))] == [10]
        assert [len(piece) for piece in work.pieces(keys[:3], Toll(capped, 1000))] == [1, 1, 1]
        work.dear = 2.0
        assert [len(piece) for piece in work.pieces(keys, Toll(capped, 20))] == [2] * 5
        work.forwards = 0
        assert len(next(work.pieces(keys, Toll(capped, 1)))) == 1, "something is finished whatever a search says"
