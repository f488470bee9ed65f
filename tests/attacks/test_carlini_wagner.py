"""Carlini-Wagner: any bounds, inputs on their bound, levels of the scores, saturation, its state from row to row."""

import dataclasses
import math

import pytest
import torch

from holdfast.attacks.evasion.carlini_wagner import CarliniWagner
from holdfast.attacks.run import run
from holdfast.threats.goals import Target
from holdfast.threats.space import Box
from holdfast.threats.threats import L2
from laws.oracles import balanced, corners, drop, linear, nearest, torch_model, weights

BOUNDS = {
    "pixels": (0.0, 255.0),
    "signed": (-3.0, -1.0),
    "features": ((0.0, -5.0, 10.0, 0.0, 0.0, -1.0), (1.0, 5.0, 11.0, 4.0, 0.5, 1.0)),
}


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
def test_any_bounds_and_inputs_on_them(bounds):
    """All coordinates start exactly on a bound; the nearest success is known."""
    low, high = (torch.as_tensor(b, dtype=torch.float64).expand(6) for b in bounds)
    side = torch.randint(0, 2, (12, 6), generator=torch.Generator().manual_seed(2)).double()
    x, w = low + side * (high - low), weights(1, 6)
    middle = ((low + high) / 2 @ w[0]).item()
    model = linear(w, -middle, space=Box(bounds))
    y, z = model.labels(x), model.scores(x)[:, 1]
    out = run(CarliniWagner(steps=100), model, x, y, L2())
    assert out.status == ("broken",) * 12
    assert model.space.validate(out.adversarial).all()
    for i in range(12):
        scale = (high - low).numpy()  # the closed form knows the unit box: stretch it, one length at a time
        v = w[0].numpy() * (1 if y[i] == 1 else -1)
        least = _nearest(v, x[i].numpy(), low.numpy(), scale, abs(z[i].item()))
        assert out.distance("l2")[i].item() <= 1.1 * least
        assert out.distance("l2")[i].item() >= least * (1 - 1e-9)


def _nearest(v, x, low, scale, gap):
    """Least L2 length inside the box with a fall of `gap`, by bisection on the clipped ray."""
    import numpy as np

    room = np.where(v > 0, x - low, low + scale - x)
    size = np.abs(v)
    a, b = 0.0, 1e6
    for _ in range(200):
        t = (a + b) / 2
        a, b = (t, b) if size @ np.minimum(t * size, room) < gap else (a, t)
    return float(np.linalg.norm(np.minimum(b * size, room)))


def setting(shift=0.0, scale=1.0):
    x, w = corners(16, 12), weights(3, 12)
    return linear(w, balanced(w, x), shift=shift, scale=scale), x


@pytest.mark.parametrize("shift", [-50.0, -1e4, 50.0])
def test_b01_negative_scores_hide_nothing(shift):
    """The margin masks the true class by choosing, not by a product with zero."""
    base, x = setting()
    y = base.labels(x)
    attack = CarliniWagner(steps=60, searches=3)
    plain, moved = run(attack, base, x, y, L2()), run(attack, setting(shift)[0], x, y, L2())
    assert plain.status == moved.status == ("broken",) * 16
    assert torch.allclose(plain.distance("l2"), moved.distance("l2"), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_saturation_hides_nothing(scale):
    """Softmax of these scores is one-hot, or uniform, to the last bit."""
    base, x = setting()
    y = base.labels(x)
    attack = CarliniWagner(steps=60, searches=3)
    plain, scaled = run(attack, base, x, y, L2()), run(attack, setting(scale=scale)[0], x, y, L2())
    assert torch.allclose(plain.distance("l2"), scaled.distance("l2"), rtol=1e-3)


def test_b13_the_state_of_one_search_does_not_leak_into_another_row_or_run():
    model, x = setting()
    y, attack = model.labels(x), CarliniWagner(steps=40, searches=3)
    first, again = run(attack, model, x, y, L2()), run(attack, model, x, y, L2())
    assert torch.equal(first.adversarial, again.adversarial)
    moved = (first.adversarial != x).any(1)
    assert moved.all(), "every sample changed, not the last one"
    easy = first.distance("l2").argmin()
    mixed = run(attack, model, x[[int(easy), 0]], y[[int(easy), 0]], L2(), ids=[int(easy), 0])
    assert torch.allclose(mixed.adversarial[1], first.adversarial[0], atol=1e-9)


def test_confidence_goes_beyond_the_boundary():
    model, x = setting()
    y = model.labels(x)
    out = run(CarliniWagner(steps=100, searches=4, confidence=5.0), model, x, y, L2(), perturb=True)
    assert (out.margin <= -4.9).all()


def test_targets_out_of_reach_end_unbroken():
    """Class 2 never wins: its score is a constant below the others."""
    w = weights(2, 8)

    def scores(z):
        two = z @ w.to(z).T
        return torch.cat([two, two.amin(1, keepdim=True) - 1], 1)

    model = dataclasses.replace(torch_model(scores, 3))
    x = corners(5, 8)
    out = run(CarliniWagner(steps=30, searches=3), model, x, Target(torch.full((5,), 2)), L2())
    assert out.status == ("unbroken",) * 5


def test_the_closed_forms_agree():
    """The bisection above against the oracle of the laws, in the unit box."""
    x, w = corners(4, 6).numpy(), weights(1, 6)[0].numpy()
    for row in x:
        gap = 0.7 * drop(w, row, 10.0, 2)
        assert abs(_nearest(w, row, 0 * row, 0 * row + 1, gap) - nearest(w, row, gap, 2)) < 1e-6


def test_a_value_that_cannot_move_changes_nothing():
    """Its box is a point wide (an immutable feature): the same points, but for that value, as without it."""

    class Fixed(Box):
        def limits(self, x):
            low, high = torch.zeros_like(x), torch.ones_like(x)
            low[:, 2] = high[:, 2] = 0.25
            return low, high

    w = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    free = torch_model(lambda z: z @ w.T - 2.5, 2, Box((0.0, 1.0)))
    held = torch_model(lambda z: z[:, :2] @ w.T - 2.5, 2, Fixed((0.0, 1.0)))
    x = torch.tensor([[0.2, 0.3], [0.6, 0.1], [0.0, 0.5]], dtype=torch.float64)
    with_it = torch.cat([x, torch.full((3, 1), 0.25, dtype=torch.float64)], 1)
    y = torch.zeros(3, dtype=torch.long)
    attack = CarliniWagner(steps=40, searches=3)
    one, other = run(attack, free, x, y, L2(math.inf)), run(attack, held, with_it, y, L2(math.inf))
    assert one.success.all()
    assert torch.equal(one.adversarial, other.adversarial[:, :2])
    assert (other.adversarial[:, 2] == 0.25).all()
