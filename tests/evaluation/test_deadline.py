"""A deadline stops by the clock: between two parts, said in words, resumable. The clock here counts events."""

import os
import signal

import pytest

from evaluation.audits import FEW, essence, run
from evaluation.world import data, model
from holdfast.cli.codes import ExitCode
from holdfast.cli.result import exit_code
from holdfast.core.errors import UsageError
from holdfast.core.progress import BatchDone
from holdfast.evaluation import decide as deciding
from holdfast.evaluation import interrupt, manifest
from holdfast.evaluation.budget import deadline_of
from holdfast.evaluation.decide import decided
from holdfast.evaluation.masking import limits

ASKED = {"threat": "linf:0.2", "suite": FEW, "limit": None, "new": False}


class Clock:
    """A second a batch."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def listen(self, event):
        self.now += isinstance(event, BatchDone)


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(interrupt, "monotonic", found)
    monkeypatch.setattr(deciding.time, "monotonic", found)
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return found


def audited(clock, out, **more):
    return decided(model()[0], data(40), out=out, on_event=clock.listen, **{"decide": None, **ASKED, **more})


def searched(folder):
    return sum(commit.question["kind"] != "clean" for commit in folder.parts.commits)


def test_after_the_deadline_no_part_begins(tmp_path, clock):
    found = audited(clock, tmp_path / "a", deadline="3s")
    assert searched(found) == 3
    assert found.summary.stopped == "stopped by clock after 3s"
    assert not found.summary.complete
    assert found.summary.verdict.state == "partial"
    assert "stopped by clock after 3s" in found.summary.verdict.text
    assert exit_code(found.summary) == ExitCode.INCOMPLETE


def test_the_time_counts_from_this_call_and_the_same_call_ends_like_an_unbroken_one(tmp_path, clock):
    calls = 1
    found = audited(clock, tmp_path / "a", deadline="3s")
    while not found.summary.complete:
        found, calls = audited(clock, tmp_path / "a", deadline="3s"), calls + 1
    whole = run(tmp_path / "b")
    assert essence(found) == essence(whole)
    assert calls == -(-searched(whole) // 3)


def test_each_call_comes_further_even_where_the_time_is_over_at_once(tmp_path, clock):
    counts = [len(audited(clock, tmp_path / "a", deadline="1s", began=-100.0).parts.commits) for _ in range(4)]
    assert counts == [1, 2, 3, 4]


def test_a_run_that_is_done_in_time_is_complete(tmp_path, clock):
    assert audited(clock, tmp_path / "a", deadline="1h").summary.complete
    again = audited(clock, tmp_path / "a", deadline="1s", began=-100.0)
    assert again.summary.complete, "nothing was left to do"


def test_a_question_is_not_answered_by_a_run_that_the_clock_stopped(tmp_path, clock):
    found = audited(clock, tmp_path / "a", deadline="2s", decide="empirical_robust_accuracy >= 0.5")
    assert found.summary.decision is None
    assert found.summary.stopped.startswith("stopped by clock")


@pytest.mark.parametrize("text", ["0s", "-5m", "ten", "10"])
def test_what_is_no_time_is_refused(tmp_path, clock, text):
    with pytest.raises(UsageError, match=r"HF827 The deadline cannot be read"):
        audited(clock, tmp_path / "a", deadline=text)
    assert not (tmp_path / "a").exists()


def test_no_text_is_no_deadline():
    assert deadline_of(None, 0.0) is None
    assert deadline_of(" 1m", 5.0) == interrupt.Deadline(65.0, "1m")


def test_the_first_ctrl_c_after_the_deadline_lets_the_running_part_finish(clock):
    stop = interrupt.Interrupt(lambda event: None, interrupt.Deadline(0.0, "1s"))
    with stop:
        clock.now = 5.0
        assert stop.stops(begun=True)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert stop.reason == "stopped by clock after 1s"


def test_a_signal_is_heard_by_the_evaluation_around_the_one_that_runs():
    with interrupt.Interrupt(lambda event: None) as outer:
        with interrupt.Interrupt(lambda event: None) as inner:
            signal.raise_signal(signal.SIGINT)
        assert inner.signaled
        assert outer.signaled
        assert outer.stops(begun=False)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with interrupt.Interrupt(lambda event: None) as later:
        assert not later.signaled


def test_a_time_that_is_no_text_is_refused_in_a_line():
    with pytest.raises(UsageError, match=r"HF827 .* 60\.0"):
        deadline_of(60.0, 0.0)
