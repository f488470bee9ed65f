"""Zoo: two steps by hand, slopes at the bounds, the sweep over the values, goals that nothing reaches."""

import math

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.zoo import Zoo
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Wrong
from holdfast.threats.space import Box, space_of
from holdfast.threats.threats import L2
from laws.oracles import corners, linear, nearest, torch_model, weights

BOX = Box((-2.0, 2.0))


def test_two_steps_by_hand():
    """In a box of width 4, all values at once: the constant, the differences, Adam, the box, the falling step."""
    w, b = np.array([3.0, -2.0, 0.5]), -6.0
    model = linear(torch.from_numpy(np.stack([0 * w, w])), torch.tensor([0.0, b]), space=BOX)
    start, seen = np.array([0.25, -1.99, 0.5]), []

    def spy(z):
        seen.append(z.detach().numpy().copy())
        return model.module(z)

    attack = Zoo(steps=3, searches=1, step=0.8, samples=6, constant=2.0, confidence=0.5)
    run(attack, torch_model(spy, 2, BOX), torch.from_numpy(start)[None], torch.tensor([0]), L2())
    centers = [z[0] for z in seen if len(z) == 1][2:]  # after the driver's and the first question at the input
    short = -(w @ start + b) + 0.5
    slope = -4 * w  # of the shortfall, by widths
    c, reach = 2.0 * 2 * short / (slope @ slope), short * np.abs(slope).max() / (slope @ slope)
    x, m, v, expected = start, 0.0, 0.0, []
    for i in range(3):
        expected.append(x)
        g = 2 * (x - start) / 4 + c * slope * (-(w @ x + b) + 0.5 > 0)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        adam = m / (1 - 0.9 ** (i + 1)) / (np.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8)
        x = np.clip(x - 0.8 * (1 - 0.99 * i / 3) * reach * 4 * adam, -2, 2)
    assert x[1] == -2.0, "the box is not met"
    assert np.allclose(centers[:3], expected, atol=1e-6)


def test_the_slope_of_values_in_the_middle_on_a_bound_and_without_room():
    x, w = torch.tensor([[0.5, 0.0, 1.0, 0.25]], dtype=torch.float64), torch.tensor([[3.0, -2.0, 4.0, 1.0]])
    model = linear(w, -20.0)
    low, high = torch.zeros_like(x), torch.ones_like(x)
    low[0, 3] = high[0, 3] = 0.25
    region = type(L2().around(x))(x, torch.tensor([torch.inf]), low, high)
    probe = Probe(model, x, Wrong(torch.tensor([0])), region, Draw(0, "a", [0], x), stop=False)
    rise = Zoo()._rise(probe, x, torch.tensor([[3, 2, 1, 0]]), probe.alive)
    assert torch.allclose(rise, torch.tensor([[0.0, -4.0, 2.0, -3.0]], dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("samples", [1, 8, 14, 500])
def test_a_sweep_differences_every_value_once(samples):
    """The first step begins a random order; no value comes again before all have come."""
    x = corners(1, 20)
    model, seen = linear(weights(1, 20), -1000.0), []
    probe = Probe(model, x, Wrong(model.labels(x)), L2().around(x), Draw(0, "a", [0], x), stop=False)
    attack = Zoo(samples=samples, steps=math.ceil(20 / min(max(samples // 2, 1), 20)), searches=1)
    inner = attack._rise

    def spy(probe, x, values, only):
        seen.append(values[0])
        return inner(probe, x, values, only)

    object.__setattr__(attack, "_rise", spy)
    one = torch.ones(1, dtype=torch.float64)
    attack._minimize(probe, one, one, torch.full_like(x, torch.nan))
    assert sorted(torch.cat(seen).tolist()) == list(range(20))


def test_a_value_goes_on_along_the_slope_that_it_was_last_seen_to_have():
    """Two values a step: moved only when asked about, values end up to 1.6 times as far as the nearest point."""
    x, w = corners(4, 20), weights(1, 20)
    model = linear(w, -(x @ w.T).mean())
    y = model.labels(x)
    out = run(Zoo(samples=4, steps=40, searches=2), model, x, y, L2())
    for i in range(4):
        v = (w[0] * (1 if y[i] == 1 else -1)).numpy()
        least = nearest(v, x[i].numpy(), float(model.scores(x)[i, 1].abs()), 2.0)
        assert out.distance("l2")[i].item() <= 1.1 * least


def test_values_that_nobody_asked_about_come_first():
    x = corners(1, 20)
    model = linear(weights(1, 20), -1000.0)
    probe = Probe(model, x, Wrong(model.labels(x)), L2().around(x), Draw(0, "a", [0], x), stop=False)
    slope = torch.where(torch.arange(20) % 3 == 0, torch.nan, 1.0)[None]
    order = Zoo()._order(probe, slope)[0]
    assert sorted(order[:7].tolist()) == [0, 3, 6, 9, 12, 15, 18]
    assert sorted(order.tolist()) == list(range(20))


def test_beyond_the_goal_nothing_is_asked_but_the_point():
    """Where the goal is reached no slope matters: the walk back costs one question a step."""
    x = torch.full((1, 8), 0.5, dtype=torch.float64)
    model = linear(torch.stack([torch.zeros(8), torch.ones(8)]), torch.tensor([0.0, -4.2]))
    out = run(Zoo(samples=16, steps=60, searches=1), model, x, torch.tensor([0]), L2())
    assert out.success.all()
    assert out.queries.item() < 0.8 * (60 * 17 + 18)


def test_color_images_and_few_questions():
    x = corners(4, 3, 6, 6)
    model = linear(weights(3, 3, 6, 6), space=space_of(x))
    y = model.labels(x)
    out = run(Zoo(steps=60, samples=40), model, x, y, L2())
    assert out.success.all()
    few = run(Zoo(steps=60, samples=40), model, x, y, L2(queries=25))
    assert (few.queries <= 25).all()


def test_confidence_is_kept_by_the_strongest_point():
    x, w = corners(6, 12), weights(1, 12)
    model = linear(w, -(x @ w.T).mean())
    out = run(Zoo(confidence=2.0, samples=24, steps=100), model, x, model.labels(x), L2(), perturb=True)
    assert (out.margin < -2.0).all()


def test_a_flat_model_ends_unbroken():
    flat = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z) + 0 * z.sum(1, keepdim=True), 2)
    out = run(Zoo(steps=5, searches=3), flat, corners(3, 5), torch.zeros(3, dtype=torch.long), L2())
    assert set(out.status) == {"unbroken"}
    assert torch.isfinite(out.strongest).all()
