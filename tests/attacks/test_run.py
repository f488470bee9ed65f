"""The driver by itself: what it tells while it works."""

import pytest
import torch

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import Stop
from holdfast.core.progress import BatchDone
from laws.oracles import setting, torch_model


def test_every_batch_is_told_with_what_holds_so_far():
    model, x, y = setting(n=16)
    events = []
    out = run(Pgd(steps=3), model, x, y, "linf:0.1", batch=6, on_event=events.append)
    held = [out.status[:n].count("unbroken") for n in (6, 12, 16)]
    assert events == [BatchDone("Pgd", n, 16, h, n) for n, h in zip((6, 12, 16), held, strict=True)]
    assert 0 < held[-1] < 16


def test_a_listener_may_stop_it():
    model, x, y = setting(n=8)

    def enough(event):
        raise Stop

    with pytest.raises(Stop):
        run(Pgd(steps=3), model, x, y, "linf:0.1", batch=4, on_event=enough)


class Fickle:
    """Says wrong at every second look."""

    def __init__(self):
        self.looks = 0

    def __call__(self, x):
        self.looks += 1
        first = torch.ones(len(x), dtype=x.dtype) if self.looks % 2 else -torch.ones(len(x), dtype=x.dtype)
        return torch.stack([first, torch.zeros_like(first)], 1) + 0 * x.sum(1, keepdim=True)


def test_a_success_that_the_model_does_not_repeat_is_none():
    x, looks = torch.rand(3, 4, dtype=torch.float64), Fickle()
    out = run(Pgd(steps=1, random_start=False), torch_model(looks, 2), x, torch.zeros(3, dtype=int), "linf:0.1")
    assert looks.looks == 3  # at the inputs, one step that finds the other class, and the verification that does not
    assert out.status == ("unbroken",) * 3
    assert out.confirmed.tolist() == [0.0] * 3
    assert torch.equal(out.adversarial, x)
    assert out.checks.tolist() == [1] * 3
