"""A model out of reach in the middle of an audit, or one that fails on samples: what counts, and what is repaired."""

import os

import pytest
import torch

import holdfast as hf
from evaluation.audits import essence, run
from evaluation.world import Means
from holdfast.attacks.evasion.square import Square
from holdfast.cli import result
from holdfast.core.progress import Note
from holdfast.evaluation import manifest
from holdfast.evaluation.masking import limits
from holdfast.models import line
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
        cap = 0 if fault else 200
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
