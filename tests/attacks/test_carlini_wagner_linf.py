"""Carlini-Wagner in Linf: its objective by hand, thresholds, flat models."""

import math

import torch

from holdfast.attacks.evasion.carlini_wagner_linf import CarliniWagnerLinf
from holdfast.attacks.run import run
from holdfast.geometry.cube import Cube
from holdfast.threats.space import Box
from holdfast.threats.threats import Linf
from laws.oracles import corners, linear, setting, torch_model


def asked(model, x, y, attack):
    """Every point the attack asks about."""
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    run(attack, torch_model(spy, model.classes, model.space), x, y, Linf())
    return torch.cat(seen[1:])


def test_first_moves_by_hand():
    """Adam's first step is its length in v for every value with a slope, whatever the slope."""
    w = torch.tensor([[0.0, 0.0, 0.0], [3.0, -0.5, 0.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.4]), space=Box((-2.0, 2.0)))
    x = torch.zeros(1, 3, dtype=torch.float64)
    points = asked(model, x, torch.tensor([0]), CarliniWagnerLinf(steps=3, searches=1))
    reach = 0.4 / 4  # the plane at 1.4 / 3.5, in widths of the box
    v = torch.tensor([[0.1 * reach, -0.1 * reach, 0.0]]).double()
    assert torch.allclose(points[2], Cube(x * 0 - 2, x * 0 + 2, x).point(v)[0], rtol=1e-5)


def test_within_the_threshold_nothing_pulls_back_and_beyond_it_all_does():
    """Where the goal is reached beyond the threshold, values below the threshold stay and the others return."""
    model = linear(torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double(), torch.tensor([0.0, -0.2]))
    x = torch.zeros(1, 2, dtype=torch.float64)
    spied = asked(model, x, torch.tensor([0]), CarliniWagnerLinf(steps=200, searches=12))
    out = run(CarliniWagnerLinf(steps=200, searches=12), model, x, torch.tensor([0]), Linf())
    assert abs(out.distance("linf").item() - 0.1) < 1e-3
    assert (spied >= 0).all()


def test_more_thresholds_come_nearer():
    model, x, y = setting(n=8)
    far = [run(CarliniWagnerLinf(searches=k), model, x, y, Linf()).distance("linf") for k in (1, 4, 16)]
    assert (far[1] < far[0]).all()
    assert (far[2] < far[1]).all()


def test_a_search_that_succeeds_ends_early():
    model, x, y = setting(n=4)
    out = run(CarliniWagnerLinf(steps=1000, searches=1), model, x, y, Linf())
    assert out.success.all()
    assert (out.queries < 100).all()


def test_a_flat_model_ends_unbroken():
    flat = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z) + 0 * z.sum(1, keepdim=True), 2)
    attack = CarliniWagnerLinf(steps=5, searches=3)
    out = run(attack, flat, corners(3, 5), torch.zeros(3, dtype=torch.long), Linf(math.inf))
    assert set(out.status) == {"unbroken"}
    assert (out.queries == 16).all()
    assert torch.isfinite(out.strongest).all()
