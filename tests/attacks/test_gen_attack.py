"""GenAttack: the first generation, what stays, how parents are chosen, the exact budget, nothing to find."""

import math

import pytest
import torch

from holdfast.attacks.evasion import gen_attack
from holdfast.attacks.evasion.gen_attack import GenAttack
from holdfast.attacks.run import run
from holdfast.threats.goals import Target
from holdfast.threats.threats import Linf
from laws.oracles import setting, torch_model


def asked(attack, perturb=True):
    """All points of one search on a plane, `(points, 12)`, and the margins there."""
    model, x, y = setting(classes=1, n=1)
    seen = []

    def spy(z):
        seen.append(z.clone())
        return model.scores(z)

    one = torch_model(spy, 2, model.space)
    run(attack, one, x, y, Linf(0.2, knowledge="scores", queries=10_000), perturb=perturb)
    points = torch.cat(seen[1:])
    scores = model.scores(points)
    return x, points, scores[:, y[0]] - scores[:, 1 - y[0]]


def test_without_mutation_children_hold_their_parents_values(monkeypatch):
    monkeypatch.setattr(gen_attack, "RARE", 0.0)
    _, points, _ = asked(GenAttack(steps=1, samples=5, mutation=0.0))
    first, children = points[:5], points[5:9]
    assert (children[:, None] == first).any(1).all()


def test_a_cold_choice_takes_the_best_member_twice(monkeypatch):
    monkeypatch.setattr(gen_attack, "RARE", 0.0)
    _, points, margins = asked(GenAttack(steps=1, samples=5, mutation=0.0, temperature=1e-9))
    assert (points[5:9] == points[margins[:5].argmin()]).all()


def test_the_best_member_stays():
    """Cold, so that every child is the best point so far but for the values that mutate, about half."""
    _, points, margins = asked(GenAttack(steps=20, samples=5, temperature=1e-9))
    for begin in range(5, 85, 4):
        best = points[margins[:begin].argmin()]
        assert (points[begin : begin + 4] == best).double().mean() > 0.2


def test_mutations_are_as_long_as_said():
    """Before any plateau 0.4 of the radius, in half of the values."""
    _, points, margins = asked(GenAttack(steps=1, samples=200, temperature=1e-9))
    best = points[margins[:200].argmin()]
    moved = (points[200:399] - best).abs()
    assert 0.35 * 0.2 < moved.max() <= 0.4 * 0.2 + 1e-9
    assert (moved > 0).double().mean().item() == pytest.approx(0.5, abs=0.1)


def test_chances_choose_by_their_sizes():
    chance = torch.tensor([[0.2, 0.5, 0.3]])
    u = torch.tensor([[0.0, 0.19, 0.2, 0.69, 0.7, 0.999]])[:, None]
    assert GenAttack()._chosen(chance, u)[0, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_a_value_comes_from_a_parent_by_its_odds(monkeypatch):
    """Two members, nine times as likely one as the other: a child of both has nine tenths of the first."""
    monkeypatch.setattr(gen_attack, "RARE", 0.0)
    first = []

    def ranked(z):
        """The first point asked about is ahead by the log of nine, in units where the input's margin is 5."""
        first.append(z.clone())
        ahead = len(first) == 2
        margin = 5.0 - (math.log(9.0) if ahead else 0.0)
        return torch.tensor([margin, 0.0]).to(z).expand(len(z), 2)

    x = torch.full((1, 2000), 0.5, dtype=torch.float64)
    attack = GenAttack(steps=1, samples=2, mutation=0.0, temperature=1.0)
    monkeypatch.setattr(GenAttack, "_chosen", lambda self, chance, u: torch.tensor([[[0], [1]]]))
    run(attack, torch_model(ranked, 2), x, torch.zeros(1, dtype=torch.long), Linf(0.1, knowledge="scores"))
    _, better, _, child = first[:4]
    assert (child == better).double().mean().item() == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("better", [True, False])
def test_progress_begins_the_wait_for_a_plateau_anew(monkeypatch, better):
    """Three generations without progress make a plateau; where every second one brings some there is none."""
    monkeypatch.setattr(gen_attack, "PATIENCE", 3)
    seen, plateaus, mutated = [], [], GenAttack._mutated

    def spy(attack, probe, x, count):
        plateaus.append(int(count))
        return mutated(attack, probe, x, count)

    def scores(z):
        """Two points begin, then one a generation."""
        seen.append(z)
        return torch.tensor([1.0 - 1e-3 * (len(seen) // 2 if better else 0), 0.0]).to(z).expand(len(z), 2)

    monkeypatch.setattr(GenAttack, "_mutated", spy)
    x, y = torch.full((1, 12), 0.5, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    run(GenAttack(steps=13, samples=2), torch_model(scores, 2), x, y, Linf(0.1, knowledge="scores"))
    assert plateaus == ([0] * 13 if better else [k // 3 for k in range(13)])


@pytest.mark.parametrize("queries", [3, 10, 19, 40])
def test_the_count_is_exact(queries):
    """Ten, then nine a generation: the best member is not asked again."""
    _, x, _ = setting()
    constant = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    y, threat = torch.zeros(len(x), dtype=torch.long), Linf(0.2, knowledge="scores", queries=queries)
    out = run(GenAttack(steps=2), constant, x, y, threat)
    assert set(out.status) == {"unbroken"}
    assert (out.queries == min(queries, 28)).all()
    assert GenAttack(steps=2).passes() == 28


def test_plateaus_shorten_mutations(monkeypatch):
    monkeypatch.setattr(gen_attack, "PATIENCE", 1)
    lengths = []

    def constant(z):
        lengths.append(z.clone())
        return torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2)

    x = torch.full((1, 400), 0.5, dtype=torch.float64)
    run(GenAttack(steps=30, samples=2), torch_model(constant, 2), x, torch.zeros(1, dtype=torch.long), Linf(0.1))
    best = lengths[1][0]
    early, late = (lengths[k][0] - best for k in (2, -1))
    assert (early != 0).sum() > 150
    assert (late != 0).sum() < 80


def test_a_target_is_reached():
    model, x, _ = setting(classes=5)
    target = model.scores(x).argsort(1, descending=True)[:, 1]
    out = run(GenAttack(steps=200), model, x, Target(target), Linf(0.4, knowledge="scores"))
    assert out.success.double().mean() > 0.7
    assert (model.labels(out.adversarial)[out.success] == target[out.success]).all()
