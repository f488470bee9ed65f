"""Carlini-Wagner in L0: the value that mattered least is forbidden first, and what is forbidden is put back exactly."""

import torch

from holdfast.attacks.evasion.carlini_wagner_l0 import CarliniWagnerL0
from holdfast.attacks.run import run
from holdfast.threats.threats import L0
from laws.oracles import corners, linear, setting, torch_model


def asked(model, x, y, attack):
    """Every point the attack asks about."""
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    run(attack, torch_model(spy, model.classes, model.space), x, y, L0())
    return torch.cat(seen[1:])


def test_the_lightest_values_are_forbidden_first():
    """Weights 1 to 8, a goal that the two heaviest reach: every round is without the lightest of those left."""
    w = torch.arange(1.0, 9.0).double()
    model = linear(torch.stack([0 * w, w]), torch.tensor([0.0, -14.5]))
    x, y = torch.zeros(1, 8, dtype=torch.float64), torch.tensor([0])
    attack = CarliniWagnerL0(share=0.3)
    points = asked(model, x, y, attack)
    sets = torch.unique_consecutive(points[2:] != 0, dim=0)
    counts = sets.sum(1).tolist()
    assert counts[:5] == [8, 6, 5, 4, 3]
    assert all(s[8 - n :].all() for s, n in zip(sets[:5], counts[:5], strict=True))
    assert run(attack, model, x, y, L0()).distance("l0").item() == 2


def test_a_row_ends_when_it_can_do_without_no_value():
    model, x, y = setting(n=8)
    out = run(CarliniWagnerL0(rounds=10**6), model, x, y, L0())
    assert out.success.all()
    assert (out.queries < 2000).all()


def test_the_constant_grows_until_the_goal_is_reached():
    model, x, y = setting(n=6)
    weak = run(CarliniWagnerL0(rounds=1, constant=1e-3), model, x, y, L0())
    more = run(CarliniWagnerL0(rounds=40, constant=1e-3), model, x, y, L0())
    assert not weak.success.all()
    assert more.success.all()


def test_a_flat_model_ends_unbroken():
    flat = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z) + 0 * z.sum(1, keepdim=True), 2)
    out = run(CarliniWagnerL0(steps=5, rounds=3), flat, corners(3, 5), torch.zeros(3, dtype=torch.long), L0())
    assert set(out.status) == {"unbroken"}
    assert (out.queries == 16).all()
