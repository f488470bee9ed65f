"""The driver by itself: what it tells while it works."""

import pytest

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import Stop
from holdfast.core.progress import BatchDone
from laws.oracles import setting


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
