"""JSMA: it ends."""

import pytest
import torch

from holdfast.attacks.evasion.jsma import Jsma
from holdfast.attacks.run import run
from holdfast.threats.goals import Target
from holdfast.threats.threats import L0
from laws.oracles import corners, linear, torch_model, weights


def unreachable():
    """Class 2 follows the others one below: it has a gradient everywhere and wins nowhere."""
    w = weights(2, 8)

    def scores(x):
        two = x @ w.to(x).T
        return torch.cat([two, two.amax(1, keepdim=True) - 1], 1)

    return torch_model(scores, 3)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("step", [1.0, 0.25, 0.01])
def test_an_unreachable_target_ends_the_search(step, pairs):
    x = corners(5, 8)
    attack = Jsma(steps=10**9, step=step, pairs=pairs)
    out = run(attack, unreachable(), x, Target(torch.full((5,), 2)), L0())
    assert out.status == ("unbroken",) * 5
    assert (out.queries <= 8 / step + 8 + 2).all()


def test_a_gradient_that_swings_ends_the_search():
    """The gradient changes its sign with every step that the values make: no value may walk back and forth."""

    def scores(x):
        wave = (20 * x.sum(1, keepdim=True)).sin()
        return torch.cat([wave * 0 + 2, wave], 1)

    out = run(Jsma(steps=10**9, step=0.07), torch_model(scores, 2), corners(5, 8), Target(torch.ones(5).long()), L0())
    assert out.status == ("unbroken",) * 5


def test_it_ends_at_the_radius():
    x = corners(5, 8)
    out = run(Jsma(), unreachable(), x, Target(torch.full((5,), 2)), L0(3))
    assert (out.queries <= 5).all()


def test_pairs_change_two_values_a_step():
    model = linear(weights(3, 12))
    x = corners(6, 12)
    y = model.labels(x)
    one, two = run(Jsma(), model, x, y, L0()), run(Jsma(pairs=True), model, x, y, L0())
    assert (two.queries <= one.queries).all()
    assert two.queries.sum() < one.queries.sum()
    assert (two.distance("l0") <= one.distance("l0") + 1).all()
