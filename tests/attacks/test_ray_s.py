"""RayS: its blocks, what a turn does, when it ends."""

import itertools

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.ray_s import RayS, blocks
from holdfast.attacks.run import run
from holdfast.models.wrap import wrap
from holdfast.threats.threats import Linf
from laws.oracles import linear, torch_model, weights


def test_blocks_are_halved_down_to_single_values():
    found = [(b.start, b.stop) for b in itertools.islice(blocks(6), 1 + 2 + 3 + 6 + 6)]
    assert found[:6] == [(0, 6), (0, 3), (3, 6), (0, 2), (2, 4), (4, 6)]
    assert found[6:12] == found[12:] == [(i, i + 1) for i in range(6)]
    assert [(b.start, b.stop) for b in itertools.islice(blocks(1), 3)] == [(0, 1)] * 3


def test_the_first_corner_and_the_first_turns_by_hand():
    """<w, x> > -2 with w = (-4, -4, 1, 1): all down at first, then the first half up, which is no help, the second."""
    w = torch.tensor([[-4.0, -4.0, 1.0, 1.0]], dtype=torch.float64)
    x = torch.full((1, 4), 0.5, dtype=torch.float64)
    model, y = linear(w, 2.0), torch.zeros(1, dtype=torch.long)
    first = run(RayS(steps=1, halvings=20), model, x, y, Linf())
    assert first.distance("linf").item() == pytest.approx(1 / 6, abs=1e-5)  # -3 + 6 r = -2
    assert int(first.queries) == 1 + 20 + 1
    second = run(RayS(steps=2, halvings=20), model, x, y, Linf())
    assert second.distance("linf").item() == pytest.approx(1 / 10, abs=1e-5)  # -3 + 10 r = -2
    assert int(second.queries) == 1 + 20 + 1 + 1 + 20


def test_turns_that_change_nothing_do_not_keep_a_row_going():
    """Three values count, thirteen do not: their turns reach the goal at the same radius, and no nearer."""
    w = torch.zeros(1, 16, dtype=torch.float64)
    w[0, :3] = torch.tensor([-4.0, 3.0, -2.0])
    x = torch.full((1, 16), 0.5, dtype=torch.float64)
    out = run(RayS(halvings=20), linear(w, -0.5 * w.sum() - 1.0), x, torch.zeros(1).long(), Linf())
    assert out.distance("linf").item() == pytest.approx(1 / 9, abs=1e-5)
    assert int(out.queries) < 5000 / 5


def test_it_finds_the_best_corner_of_a_line_and_ends():
    w, x = weights(1, 40), torch.full((3, 40), 0.5, dtype=torch.float64)
    model = linear(w, -0.5 * w.sum() - 20)
    out = run(RayS(halvings=16), model, x, torch.zeros(3).long(), Linf())
    assert np.allclose(out.distance("linf"), 20 / w.abs().sum(), rtol=1e-3)
    assert (out.queries < 2500).all()


def test_a_plain_function_of_labels_is_enough():
    x = np.full((5, 16), 0.25)

    def predict(batch):
        return (batch[:, :8].sum(1) - batch[:, 8:].sum(1) > 1).astype(np.int64)

    out = run(RayS(), wrap(predict, bounds=(0, 1), classes=2), x, predict(x), Linf(0.1, queries=400))
    assert out.success.all()


def test_without_a_goal_in_reach_it_ends():
    model = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    out = run(RayS(), model, torch.rand(2, 5, dtype=torch.float64), torch.zeros(2).long(), Linf())
    assert out.status == ("unbroken",) * 2
    assert (out.queries < 50 + 40).all()
