"""A budget is a number of samples: as many as surely fit, fixed once."""

import dataclasses

import pytest

from evaluation.world import data, model
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import HoldfastError, UsageError
from holdfast.core.progress import Note
from holdfast.evaluation import budget
from holdfast.evaluation.audit import plan as measured
from holdfast.evaluation.budget import affordable, seconds_of
from holdfast.evaluation.decide import decided

ASKED = {"threat": "linf:0.2", "suite": Pgd(steps=4), "batch": 256}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), (" 1.5M ", 90), ("0.5s", 0.5)]
)
def test_times(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["10", "m", "10 minutes", "-5m", "0s", "1e3s", "10m!", "", "5d", "5m5m", "1m1h", "9" * 400 + "h", "99999h"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match="HF827"):
        seconds_of(text)


@pytest.fixture
def two_seconds_each(monkeypatch):
    def plan(*args, **more):
        found = measured(*args, **more)
        return dataclasses.replace(found, seconds=2.0 * found.samples)

    monkeypatch.setattr(budget, "plan", plan)


@pytest.mark.parametrize(
    ("text", "limit", "count"), [("21s", None, 10), ("21s", 6, 6), ("1h", None, 40), ("2s", None, 1)]
)
def test_as_many_as_surely_fit(two_seconds_each, tmp_path, text, limit, count):
    found, told = affordable(model()[0], data(40), budget=text, out=tmp_path / "a", limit=limit, **ASKED)
    assert found == count
    assert (
        told == f"{text} of the model's passes on this machine = {count} of 40 samples, if they withstand every attack"
    )


def test_not_one_sample(two_seconds_each, tmp_path):
    with pytest.raises(UsageError, match="at least 2s for one sample"):
        affordable(model()[0], data(40), budget="1s", out=tmp_path / "a", limit=None, **ASKED)


def test_the_number_is_fixed_and_the_same_command_continues_it(two_seconds_each, tmp_path, monkeypatch):
    notes = []

    def run(text):
        listen = lambda event: notes.append(event.text) if isinstance(event, Note) else None  # noqa: E731
        return decided(
            model()[0],
            data(40),
            decide=None,
            budget=text,
            out=tmp_path / "a",
            limit=None,
            new=False,
            on_event=listen,
            **ASKED,
        )

    assert run("21s").summary.data.n == 10
    assert run("41s").summary.data.n == 10
    assert notes[0].startswith("21s of the model's passes on this machine = 10 of 40")
    assert notes[-1] == "this run was begun with 10 of 40 samples and keeps that number"
    assert run("21s").summary.complete


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"budget": ""}, "HF827 The budget"),
        ({"budget": 0}, "HF827 The budget"),
        ({"budget": 10}, "HF827 The budget"),
        ({"deadline": ""}, "HF827 The deadline"),
        ({"deadline": 5}, "HF827 The deadline"),
        ({"decide": ""}, "HF826"),
        ({"decide": 5}, "HF826"),
        ({"threat": []}, "HF301"),
        ({"threat": 5}, "HF301"),
        ({"threat": ["linf:0.1", 5]}, "HF301"),
    ],
)
def test_what_says_nothing_or_is_of_another_kind_is_refused_in_one_line(given, error, tmp_path):
    from holdfast.api import audit

    asked = {"threat": "linf:0.1", "suite": "pgd(steps=2)", "out": tmp_path / "a"}
    with pytest.raises(HoldfastError, match=error) as refused:
        audit(model()[0], data(8), **{**asked, **given})
    assert "\n" not in refused.value.line()
    assert not (tmp_path / "a").exists()
