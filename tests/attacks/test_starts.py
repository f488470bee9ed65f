"""Starts of decision attacks: a random point that reaches the goal, and bisection toward the input."""

import pytest
import torch

from holdfast.attacks.probe import Probe
from holdfast.attacks.starts import between, bisect, start
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Evade, Wrong
from holdfast.threats.threats import L0, L1, L2, Linf
from laws.oracles import linear


def probe_of(model, x, threat, goal=None):
    goal = goal or Wrong(torch.zeros(len(x), dtype=torch.long))
    return Probe(model, x, goal, threat.around(x), Draw(0, "test", list(range(len(x))), x), stop=False)


@pytest.mark.parametrize("threat", [Linf(), L2(), L1(), L0()], ids=str)
def test_a_start_reaches_the_goal_and_rows_without_one_end(threat):
    x, model = torch.full((3, 8), 0.25, dtype=torch.float64), linear(torch.ones(1, 8, dtype=torch.float64), -2.4)
    probe = probe_of(model, x, threat, Evade(torch.tensor([0, 0, 1]), source=0, into=1))
    there = start(probe, 20)
    assert (model.labels(there[:2]) == 1).all()
    assert probe.alive.tolist() == [True, True, False]
    assert probe.queries[2] == 20
    assert (probe.queries[:2] < 20).all()


def test_bisection_ends_at_the_boundary_and_asks_once_a_halving():
    x = torch.full((2, 4), 0.5, dtype=torch.float64)
    model = linear(torch.ones(1, 4, dtype=torch.float64), -2.4)
    for threat, far in ((L2(), 0.2), (Linf(), 0.1)):
        probe = probe_of(model, x, threat)
        near = bisect(probe, torch.ones_like(x), 12)
        assert (model.labels(near) == 1).all()
        assert probe.region.distance(near).tolist() == pytest.approx([far] * 2, abs=2 * 0.5 / 2**12)
        assert (probe.queries == 12).all()


def test_the_way_is_a_segment_but_a_growing_cube_in_linf():
    x, far = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 0.25]], dtype=torch.float64)
    half, model = torch.tensor([0.5], dtype=torch.float64), linear(torch.ones(1, 2, dtype=torch.float64), -5.0)
    assert between(probe_of(model, x, L2()), far, half).tolist() == [[0.5, 0.125]]
    assert between(probe_of(model, x, Linf()), far, half).tolist() == [[0.5, 0.25]]
    assert torch.equal(between(probe_of(model, x, L2()), far, torch.ones(1)), far)
