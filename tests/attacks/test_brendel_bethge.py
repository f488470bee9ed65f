"""Brendel-Bethge: where a step ends, planes solved in one step, flat models, no start."""

import math

import pytest
import torch

from holdfast.attacks.evasion.brendel_bethge import BrendelBethge
from holdfast.attacks.run import run
from holdfast.threats.goals import Target
from holdfast.threats.threats import L1, L2, Linf
from laws.oracles import corners, linear, nearest, setting, torch_model, weights


@pytest.mark.parametrize("threat", [Linf(), L2(), L1()], ids=str)
def test_a_plane_takes_few_steps(threat):
    """With a trust radius as long as the way there, the nearest point of plane and box is one step away."""
    x, w = corners(8, 12), weights(1, 12)
    model = linear(w, -(x @ w.T).mean())
    y = model.labels(x)
    out = run(BrendelBethge(steps=3, step=1.0), model, x, y, threat)
    assert out.success.all()
    for i in range(8):
        v = (w[0] * (1 if y[i] == 1 else -1)).numpy()
        least = nearest(v, x[i].numpy(), float(model.scores(x)[i, 1].abs()), threat.p)
        assert out.distance(threat.norm)[i].item() <= 1.03 * least + 1e-4


def test_a_step_goes_beyond_the_boundary_by_the_overshoot():
    """On a plane in the middle of the box, margins shrink by the overshoot's tenth with every step."""
    w = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    model, seen = linear(w, torch.tensor([0.0, -1.1])), []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    x = torch.full((1, 2), 0.3, dtype=torch.float64)
    run(BrendelBethge(steps=4, step=1.0), torch_model(spy, 2), x, torch.tensor([0]), L2())
    margins = (1.1 - torch.cat(seen).sum(1))[-6:]
    assert (margins[-4:] < 0).all()
    for before, after in zip(margins[-5:-2], margins[-4:-1], strict=True):
        beyond = 0.1 * before.abs() + 1e-5 * math.sqrt(2)
        assert beyond / 2 - 1e-9 <= -after <= 3 * beyond / 2 + 1e-9


@pytest.mark.parametrize("threat", [Linf(), L2()], ids=str)
def test_few_steps_lead_all_the_way(threat):
    """From noise in 300 values to the nearest point of a plane, with the defaults but for 30 steps."""
    x, w = corners(4, 300), weights(1, 300)
    model = linear(w, -(x @ w.T).mean())
    y = model.labels(x)
    out = run(BrendelBethge(steps=30), model, x, y, threat)
    for i in range(4):
        v = (w[0] * (1 if y[i] == 1 else -1)).numpy()
        least = nearest(v, x[i].numpy(), float(model.scores(x)[i, 1].abs()), threat.p)
        assert out.distance(threat.norm)[i].item() <= 1.05 * least


def test_steps_cross_a_boundary_that_bends_away_from_every_plane():
    """Folds lift the margin beside each iterate: who believes the planes alone ends each of 40 steps short of it."""
    inside = []

    def folded(z):
        mean = z.mean(1, keepdim=True)
        margin = 0.8 - mean + 0.05 * (20 * (z - mean)).abs().tanh().mean(1, keepdim=True)
        inside.extend((margin < 0)[:, 0].tolist())
        return torch.cat([margin, -margin], 1)

    x = 0.3 + 0.3 * corners(2, 50)
    out = run(BrendelBethge(steps=40), torch_model(folded, 2), x, torch.tensor([0, 0]), L2())
    assert out.success.all()
    assert sum(inside[-82:-2]) >= 30


def test_no_start_is_no_error():
    model, x, y = setting(n=4)
    low = torch_model(lambda z: torch.cat([model.module(z), model.module(z)[:, :1] * 0 - 99], 1), 4)
    out = run(BrendelBethge(tries=7), low, x, Target(torch.full((4,), 3)), L2())
    assert set(out.status) == {"unbroken"}
    assert (out.queries == 7 + 20).all()


def test_a_target_that_noise_never_meets_is_climbed_to():
    """Class 2 wins only in a corner of 20 values."""
    corner = torch_model(lambda z: torch.stack([0 * z[:, 0], 0 * z[:, 0] - 1, z.sum(1) - 19], 1), 3)
    x = torch.full((3, 20), 0.4, dtype=torch.float64)
    out = run(BrendelBethge(tries=5, steps=30), corner, x, Target(torch.full((3,), 2)), L2())
    assert out.success.all()
    assert torch.allclose(out.distance("l2"), torch.full((3,), 11 / math.sqrt(20), dtype=torch.float64), rtol=1e-3)


def test_flat_steps_walk_toward_the_input_and_back_to_the_nearest_success():
    steps = torch_model(lambda z: (z.sum(1, keepdim=True) > 3).to(z) * 2 - 1 + 0 * z.sum(1, keepdim=True), 2)
    x = torch.full((5, 5), 0.3, dtype=torch.float64)
    out = run(BrendelBethge(steps=20), steps, x, torch.zeros(5, dtype=torch.long), L2())
    assert out.success.all()
    assert (out.adversarial.sum(1) > 3).all()
