"""Audits of models that the memory holds few rows of, with torch's own failures."""

import os
import weakref

import pytest
import torch
from torch import nn

from evaluation.audits import FEW, run
from evaluation.world import Means, digits
from holdfast.core.progress import Note
from holdfast.data.dataset import Dataset
from holdfast.evaluation import manifest
from holdfast.evaluation.audit import audit
from holdfast.evaluation.masking import limits
from holdfast.models.model import Model
from holdfast.models.wrap import wrap
from holdfast.threats.space import Image


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(limits, "SAMPLES", 8)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # durability has tests of its own


class Narrow(nn.Module):
    """Class means that `most` rows fit; watches what refused passes had made."""

    def __init__(self, most, refuse):
        super().__init__()
        self.net, self.most, self.refuse = Means(), most, refuse
        self.made, self.held = [], 0

    def forward(self, x):
        if len(x) > self.most:
            made = x * 1.0
            self.made.append(weakref.ref(made))
            self.refuse()
        self.held += sum(each() is not None for each in self.made)
        return self.net(x)


def accelerator():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


def processor():
    torch.empty(10**15)


@pytest.mark.parametrize("refuse", [accelerator, processor])
def test_memory_that_runs_out_halves_the_batch_and_is_said_once(tmp_path, refuse):
    net, events = Narrow(3, refuse), []
    folder = run(tmp_path / "a", of=wrap(net, (0, 1), output="logits"), batch=16, on_event=events.append)
    assert [e.text for e in events if isinstance(e, Note)] == [
        "memory ran out: the batch was halved to 2 rows; results do not depend on it"
    ]
    assert any("halved to 2" in line for line in folder.summary.provenance.circumstances)
    assert folder.samples.to_pylist() == run(tmp_path / "b").samples.to_pylist()
    assert not folder.summary.coverage.errors
    assert net.made
    assert not net.held, "a smaller batch waits until the larger one has let go of its memory"


def test_a_company_that_memory_does_not_hold_is_not_asked_about(tmp_path):
    s = run(tmp_path / "a", of=wrap(Narrow(3, processor), (0, 1), output="logits"), batch=16).summary
    checks = {c.name: c for c in s.masking.checks}
    assert checks["company"].state == "not_applicable"
    assert "three strangers" in checks["company"].text
    assert checks["determinism"].state == "passed"


def test_rows_too_large_for_the_memory_are_told_as_failed_samples(tmp_path):
    net = Means()

    def scores(x):
        if bool((x[:, :, 0, 0] == 1).any()):
            raise MemoryError("one is too many")
        return net(x)

    x, y = digits()
    x = x[1000:1020].clone()
    x[3, :, 0, 0] = 1.0
    m = Model(Image((0.0, 1.0)), 10, scores=lambda x: scores(x).detach(), module=scores, name="Means")
    made = Dataset(x, y[1000:1020], name="digits", split="test", ids=torch.arange(1000, 1020))
    s = audit(m, made, threat="linf:0.05", suite=FEW, out=tmp_path / "a", batch=4).summary
    assert [(e.sample, e.reason) for e in s.coverage.errors] == [(1003, "MemoryError: one is too many")]
