"""Repeat, FirstOf, Eot: what they add to what they wrap."""

import json
import math

import pytest
import torch

import holdfast.attacks
from holdfast.attacks.attack import Attack
from holdfast.attacks.eot import Eot
from holdfast.attacks.evasion.ddn import Ddn
from holdfast.attacks.evasion.deep_fool import DeepFool
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.evasion.noise import Noise
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.first_of import FirstOf
from holdfast.attacks.repeat import Repeat
from holdfast.attacks.run import run
from holdfast.core.errors import ParameterError
from holdfast.core.records import config, revive
from holdfast.threats.threats import L2, Linf
from laws.oracles import balanced, corners, linear, setting, torch_model, weights

WRAPPED = [
    Repeat(Pgd(steps=10), 3),
    FirstOf((Noise(samples=5), Pgd())),
    Eot(Pgd(), 4),
    Repeat(FirstOf((Noise(), Eot(Pgd(step=0.2), 2))), 2),
]


@pytest.mark.parametrize("attack", WRAPPED, ids=lambda a: type(a).__name__)
def test_a_wrapper_is_a_configuration(attack):
    document = json.loads(json.dumps(config(attack)))
    assert revive(document, lambda name: getattr(holdfast.attacks, name)) == attack


def test_needs_norms_and_kind_are_those_of_what_is_wrapped():
    both = FirstOf((HopSkipJump(), Ddn()))
    assert both.needs == {"labels", "module"}
    assert both.norms == (2.0,)
    assert both.minimal
    assert both.scheduled
    mixed = FirstOf((Noise(), Ddn()))
    assert not mixed.minimal
    assert Repeat(Noise()).norms == (math.inf, 2.0, 1.0, 0.0)
    assert Repeat.norms == () == FirstOf.norms, "a class serves any norm that it is given"
    assert Repeat.needs == frozenset()


@pytest.mark.parametrize("value", [(), (1,), [Pgd()], None], ids=repr)
def test_first_of_wants_attacks(value):
    with pytest.raises(ParameterError, match="HF001 The 'attacks' parameter of FirstOf"):
        FirstOf(value)


class Quitter(Attack):
    """Tries one random point and gives the row up."""

    norms = (math.inf,)

    def search(self, probe):
        probe.margin(probe.region.sample(probe.draw))
        probe.finish(probe.alive)


def test_repeat_tries_again_what_was_given_up_with_other_numbers():
    model, x, y = setting(n=64)
    one, ten = run(Quitter(), model, x, y, Linf(0.3)), run(Repeat(Quitter(), 10), model, x, y, Linf(0.3))
    assert 0 < one.success.sum() < ten.success.sum()
    assert (ten.queries[~ten.success & (ten.queries > 0)] == 10).all()
    assert (ten.queries[ten.success] < 10).any(), "a broken row is not tried again"
    wrong = run(Repeat(Quitter(), 3), model, x, (y + 1) % 3, Linf(0.3))
    assert (wrong.queries[[s == "wrong" for s in wrong.status]] == 0).all()


def test_repeat_does_not_bring_back_a_spent_budget():
    model, x, y = setting()
    out = run(Repeat(Quitter(), 10), model, x, y, Linf(0.001, queries=4))
    assert (out.queries == 4).all()


def test_first_of_asks_the_next_only_where_the_first_failed():
    model, x, y = setting(n=64)
    first = run(Noise(samples=10), model, x, y, Linf(0.15))
    out = run(FirstOf((Noise(samples=10), Pgd())), model, x, y, Linf(0.15))
    spared = out.gradients == 0
    assert torch.equal(spared, out.success & (out.queries <= 10))
    assert (spared.sum() - first.success.sum()).abs() <= 12  # other random numbers, about as many
    assert out.success.sum() > first.success.sum()


def test_first_of_takes_every_row_to_the_strongest_point():
    model, x, y = setting(classes=2, n=64)
    pgd, both = (run(a, model, x, y, Linf(0.15), perturb=True) for a in (Pgd(), FirstOf((Noise(samples=10), Pgd()))))
    assert (both.gradients == 40).all()
    assert torch.allclose(both.margin, pgd.margin, atol=1e-6)  # a plane: both end in the best corner


def noisy(strength):
    """A linear model with an honest decision whose gradient drowns in noise that is new in every pass."""
    x, w = corners(48, 40), weights(2, 40)
    base, g = linear(w, balanced(w, x)), torch.Generator().manual_seed(7)

    def scores(z):
        n = strength * torch.randn(z.shape, generator=g, dtype=z.dtype)
        wave = (n * (z - z.detach())).flatten(1).sum(1, keepdim=True)  # zero, with gradient n
        return base.module(z) + torch.cat([wave, -wave], 1)

    return torch_model(scores, 2, random=True), base, x


def test_eot_averages_a_random_gradient_away():
    model, base, x = noisy(12.0)
    y = base.labels(x)
    radius = 0.06
    exact = run(Pgd(steps=10), base, x, y, Linf(radius)).success.sum()
    plain = run(Pgd(steps=10), model, x, y, Linf(radius))
    mean = run(Eot(Pgd(steps=10), 32), model, x, y, Linf(radius))
    assert plain.success.sum() < 0.75 * exact
    assert mean.success.sum() > 0.85 * exact
    assert (mean.gradients[~mean.success] == 320).all(), "every pass is counted"


def test_eot_spends_the_budget_exactly():
    model, base, x = noisy(12.0)
    out = run(Eot(Pgd(steps=10), 8), model, x, base.labels(x), Linf(1e-4, queries=37))
    assert (out.queries == 37).all()


def test_eot_averages_each_boundary():
    """An attack that asks for several gradients at once gets their means too: its steps fall less short."""
    model, base, x = noisy(12.0)
    y, attack = base.labels(x), DeepFool(steps=5)
    plain, mean = (run(a, model, x, y, L2()).margin.median() for a in (attack, Eot(attack, 16)))
    assert mean < plain / 5
