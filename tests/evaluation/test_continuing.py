"""The same folder again: nothing is computed twice, more is added, and an interrupted run ends like an unbroken one."""

import os

import pytest

from evaluation.audits import FEW, asked_for, essence, run
from evaluation.world import model
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import Stop
from holdfast.core.progress import BatchDone, Note, RunStarted, StageDone
from holdfast.evaluation import manifest
from holdfast.evaluation.masking import limits
from holdfast.evaluation.replay import recheck
from holdfast.evaluation.store import Folder


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 0)  # the masking battery has tests of its own
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # durability has tests of its own


def test_the_same_command_again_asks_the_model_nothing_about_attacks(tmp_path):
    first = run(tmp_path / "a")
    before, events = essence(first), []
    spent, again = asked_for(tmp_path / "a", on_event=events.append)
    assert essence(again) == before
    assert spent == 0
    assert [e.reused for e in events if isinstance(e, StageDone)] == [first.summary.threats[0].attacks[0].attempted]


AMENDED = {
    "threat": ({"threat": "linf:0.2"}, {"threat": ["linf:0.2", "l2:1"]}),
    "attack": ({}, {"suite": [FEW, Pgd(steps=6)]}),
    "samples": ({"n": 24}, {"n": 40}),
}


@pytest.mark.parametrize("kind", AMENDED)
def test_amending_recomputes_nothing(tmp_path, kind):
    first, second = AMENDED[kind]
    asked_for(tmp_path / "a", **first)
    before = {c.part for c in Folder(tmp_path / "a").parts.commits}
    spent, amended = asked_for(tmp_path / "a", **second)
    whole, fresh = asked_for(tmp_path / "b", **second)
    old, _ = asked_for(tmp_path / "c", **first)
    assert essence(amended) == essence(fresh)
    assert spent == whole - old
    assert before <= {c.part for c in amended.parts.commits}
    names = [c.part for c in amended.parts.commits]
    assert len(names) == len(set(names))


def test_a_smaller_request_is_a_view(tmp_path):
    run(tmp_path / "a", threat=["linf:0.2", "l2:1"])
    spent, view = asked_for(tmp_path / "a", n=24)
    assert spent == 0
    assert [t.literal for t in view.summary.threats] == ["linf:1/5"]
    assert essence(view)[1] == essence(run(tmp_path / "b", n=24))[1]


@pytest.mark.parametrize("after", [0, 1, 3, 6, 9])
def test_stop_keeps_what_is_done_and_the_same_call_ends_like_an_unbroken_one(tmp_path, after):
    seen = []

    def listen(event):
        seen.append(event)
        if (
            isinstance(event, BatchDone | RunStarted)
            and sum(isinstance(e, BatchDone | RunStarted) for e in seen) > after
        ):
            raise Stop

    partial = run(tmp_path / "a", on_event=listen)
    assert not partial.complete
    assert partial.summary.verdict.state in ("partial", "empty")
    assert partial.summary.stopped == "stopped by the listener"
    assert not seen[-1].complete
    assert essence(run(tmp_path / "a")) == essence(run(tmp_path / "b"))


def test_a_damaged_part_is_computed_again_and_said(tmp_path):
    before = essence(run(tmp_path / "a"))
    parts = sorted((tmp_path / "a" / "parts").glob("search-*.parquet"))
    content = bytearray(parts[0].read_bytes())
    content[len(content) // 2] ^= 1
    parts[0].write_bytes(content)
    parts[1].unlink()
    told = recheck(Folder(tmp_path / "a"), model()[0]).damage
    assert {f"parts/{parts[0].name} was changed", f"parts/{parts[1].name} is missing"} <= set(told)
    events = []
    assert essence(run(tmp_path / "a", on_event=events.append)) == before
    notes = [e for e in events if isinstance(e, Note)]
    assert len(notes) == 2
    assert all(e.code == "HF409" for e in notes)
    assert recheck(Folder(tmp_path / "a"), model()[0]).holds
