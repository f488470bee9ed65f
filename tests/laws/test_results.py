"""Laws 1, 2, 3, 9, 10: what an attack returns."""

import dataclasses
import math

import pytest
import torch

from cases.evasion import CASES
from holdfast.attacks.attack import Attack
from holdfast.attacks.eot import Eot
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.threats.goals import Accepted, Evade, Target, Wrong
from holdfast.threats.threats import L0, L1, L2, Linf
from laws.oracles import alone, corners, linear, setting, small_net, torch_model, weights

every = pytest.mark.parametrize("case", [c.brief for c in CASES], ids=map(str, CASES))


def lengths(x, x0, p):
    d = (x.double() - x0.double()).flatten(1)
    return (d != 0).sum(1).double() if p == 0 else torch.linalg.vector_norm(d, p, dim=1)


@every
@pytest.mark.parametrize("world", ["line", "net"])
def test_01_inside(case, world):
    if world == "line":
        model, x = setting(dtype=torch.float32)[0], corners(16, 12).float()
    else:
        model, x = small_net(), corners(8, 3, 8, 8).float()
    out = run(case.attack, model, x, model.labels(x), case.bounded)
    for z in (out.adversarial, out.strongest):
        slack = 2**-24 if case.threat.p == math.inf else 0 if case.threat.p == 0 else 1e-6 * case.bounded.radius
        assert (lengths(z, x, case.threat.p) <= case.bounded.radius + slack).all()
        assert ((z >= 0) & (z <= 1)).all()


class Sloppy(Attack):
    """Asks far outside the region, all the time."""

    norms = (math.inf, 2.0, 1.0, 0.0)

    def search(self, probe):
        for i in probe.steps(30):
            g = probe.slope(probe.x0 + 0.1 * i * torch.ones_like(probe.x0)).gradient
            probe.margin(probe.x0 + i * g)
            probe.margins(torch.stack([probe.x0 - i * g, probe.x0 + 5.0], 1))


class SloppyMinimal(Sloppy):
    minimal = True


@pytest.mark.parametrize("attack", [Sloppy(), SloppyMinimal()], ids=["bounded", "minimal"])
@pytest.mark.parametrize("threat", [Linf(0.15), L2(0.5), L1(1.5), L0(3)], ids=str)
@pytest.mark.parametrize("perturb", [False, True])
def test_01_what_lies_outside_never_counts(attack, threat, perturb):
    model, x, y = setting()
    out = run(attack, model, x, y, threat, perturb=perturb)
    region = threat.around(x)
    assert region.contains(out.adversarial).all()
    assert region.contains(out.strongest).all()


@every
def test_02_true_on_the_original_alone(case):
    model = small_net()
    x = corners(24, 3, 8, 8).float()
    y = model.labels(x)
    out = run(case.attack, model, x, y, case.threat)
    assert out.success.any()
    for i in out.success.nonzero()[:, 0]:
        assert model.labels(out.adversarial[i : i + 1])[0] != y[i]


@every
def test_02_a_success_is_clearer_than_the_noise(case):
    model, x, y = setting(n=8)
    out = run(case.attack, dataclasses.replace(model, noise=0.5), x, y, case.threat)
    margins = Wrong(y).margins(model.answer(out.adversarial)).amin(1)[:, 0]
    assert (margins[out.success] < -0.5).all()


@pytest.mark.parametrize("case", CASES, ids=str)  # at their length: noise hides what little a short attack finds
def test_02_random_models_are_asked_repeatedly(case):
    """A model whose noise alone flips decisions near the boundary: a claim needs most of ten fresh passes."""
    model, x, y = setting()
    g = torch.Generator().manual_seed(0)
    shaky = torch_model(lambda z: model.module(z) + 2 * torch.randn(len(z), 3, generator=g).to(z), 3, random=True)
    out = run(case.attack, shaky, x, y, case.threat)
    claimed = ~out.confirmed.isnan()
    assert claimed.any()
    assert (out.confirmed[out.success] > 0.5).all()
    assert (out.checks[claimed] >= 20).all()
    assert not out.success[claimed & (out.confirmed <= 0.5)].any()


def test_02_a_lucky_pass_ends_no_row():
    """Right on average everywhere, wrong in one pass of six: the search goes on to its end, and nothing is claimed."""
    _, x, y = setting(classes=2)
    g = torch.Generator().manual_seed(0)
    fickle = torch_model(
        lambda z: torch.randn(len(z), 1, generator=g).to(z) + 2 * y[: len(z), None] - 1, 2, random=True
    )
    out = run(Pgd(), fickle, x[:1], y[:1], Linf(0.1))
    seen = [run(Pgd(), fickle, x[:1], y[:1], Linf(0.1), seed=s) for s in range(20)]
    assert out.status[0] in ("wrong", "unbroken")
    assert {s.status[0] for s in seen} <= {"wrong", "unbroken"}
    assert all(int(s.queries[0]) == 41 for s in seen if s.status[0] == "unbroken")
    assert any(s.status[0] == "unbroken" and int(s.checks[0]) for s in seen)


def test_02_a_bare_majority_ends_no_row():
    """Wrong in most passes only deep in the ball: the search must get there, whatever luck it has on the way.

    A search that takes six lucky passes of ten for a success stops half-way, and verification calls the row unbroken.
    """
    g = torch.Generator().manual_seed(0)

    def noisy(z):
        share = (z[:, 0] > 0.5) * (0.3 + 0.65 * (z[:, 0] - 0.5) / 0.3)
        wrong = torch.rand(len(z), generator=g).to(z) < share
        return torch.stack([1 - 2 * wrong.to(z) + 0 * z[:, 0], 0.01 * (z[:, 0] - 0.5)], 1)

    x, y = torch.full((100, 1), 0.5, dtype=torch.float64), torch.zeros(100, dtype=torch.long)
    attack = Eot(Pgd(steps=30, step=0.05, random_start=False), samples=10)
    out = run(attack, torch_model(noisy, 2, random=True), x, y, Linf(0.3))
    assert (out.confirmed > 0.5).sum() == out.success.sum() >= 90


@every
def test_03_nearest_ever_asked_is_returned(case):
    model, x, y = setting()
    for i in range(3):
        seen = []

        def spy(z, seen=seen):
            seen.append(z.detach().clone())
            return model.module(z)

        out = run(case.attack, torch_model(spy, 3), x[i : i + 1], y[i : i + 1], case.threat, perturb=True)
        z = torch.cat(seen)
        region = case.threat.around(x[i : i + 1].expand(len(z), -1))
        won = region.contains(z) & (model.labels(z) != y[i])
        expected = region.distance(z)[won].min().item() if won.any() else math.inf
        assert out.distance(case.threat.norm)[0].item() == expected


@every
def test_09_already_wrong_is_no_success(case):
    model, x, y = setting()
    wrong = y.clone()
    wrong[::2] = (y[::2] + 1) % 3
    out = run(case.attack, model, x, wrong, case.bounded)
    assert [s == "wrong" for s in out.status] == [i % 2 == 0 for i in range(16)]
    assert not out.success[::2].any()
    assert torch.equal(out.adversarial[::2], x[::2])
    assert (out.queries[::2] == 0).all()


@every
@pytest.mark.parametrize("kind", ["cut", "zero", "not finite"])
def test_09_no_gradient_no_error_no_nan(case, kind):
    """A constant model, one whose gradient is zero, one whose gradient is NaN: no NaN is asked or returned."""
    model, x, y = setting()

    def healthy(z):
        assert not z.isnan().any()
        return z

    flat = torch.tensor([1.0, 0.0, 0.5])
    scores = {
        "cut": lambda z: flat.to(healthy(z)).expand(len(z), 3),
        "zero": lambda z: flat.to(z) + 0 * healthy(z).flatten(1).sum(1)[:, None],
        "not finite": lambda z: model.module(healthy(z)) + (0 * z.flatten(1).sum(1)[:, None]).sqrt(),
    }[kind]
    labels = y if kind == "not finite" else torch.zeros(16, dtype=torch.long)
    out = run(case.attack, torch_model(scores, 3), x, labels, case.threat)
    assert not out.strongest.isnan().any()
    assert not out.adversarial.isnan().any()
    if kind != "not finite":
        assert set(out.status) == {"unbroken"}
    if "module" in case.attack.needs:
        counted = out.bad_gradients if kind == "not finite" else out.zero_gradients
        assert torch.equal(counted, out.gradients)
        assert ((counted > 0) | out.success).all()  # a row may fall to an attack that needs none


@every
def test_09_a_model_without_a_number_is_an_error(case):
    model, x, y = setting()
    sick = torch_model(
        lambda z: torch.where((z[:, :1] == x[0, 0]) & (z[:, 1:2] == x[0, 1]), torch.nan, model.module(z)), 3
    )
    out = run(case.attack, sick, x, y, case.threat)
    assert out.status[0] == "error"
    assert "error" not in out.status[1:]
    assert not out.strongest.isnan().any()


@every
def test_10_target_means_the_target(case):
    model, x, y = setting()
    t = (y + 1) % 3
    out = run(case.attack, model, x, Target(t), case.threat)
    assert out.success.any()
    assert (model.labels(out.adversarial[out.success]) == t[out.success]).all()
    one_hot = torch.nn.functional.one_hot(y, 3)
    plain, hot, column = (run(case.attack, model, x, labels, case.bounded) for labels in (y, one_hot, y[:, None]))
    assert plain.status == hot.status == column.status


@every
def test_10_evasion_counts_only_from_source_into_target(case):
    model, x, y = setting()
    out = run(case.attack, model, x, Evade(y, source=0, into=2), case.threat)
    assert out.success.any()
    assert (y[out.success] == 0).all()
    assert (model.labels(out.adversarial[out.success]) == 2).all()


@every
def test_10_detector(case):
    model, x, y = setting()
    v = weights(1, 12, seed=4)
    guarded = dataclasses.replace(model, suspicion=lambda z: (z.flatten(1) @ v.to(z).T)[:, 0] - 3)
    out = run(case.attack, guarded, x, Wrong(y) & Accepted(), case.threat)
    won = out.adversarial[out.success]
    assert len(won)
    assert (model.labels(won) != y[out.success]).all()
    assert (guarded.suspicion(won) < 0).all()


def test_ties_are_decided_as_the_model_decides_them():
    """A vote that ends even goes to the lower class, as argmax has it; the upper class is then already wrong."""
    even = alone(linear(torch.zeros(2, 3, dtype=torch.float64)))
    x = torch.full((2, 3), 0.5, dtype=torch.float64)
    out = run(CASES[0].attack, even, x, torch.tensor([0, 1]), Linf(0.1))
    assert out.status == ("unbroken", "wrong")


@every
def test_no_more_questions_than_the_attack_says_before_the_start(case):
    """`--budget` and the estimate stand on it."""
    model, x, y = setting()
    for threat, perturb in ((case.threat, True), (case.bounded, False)):
        asked = int(run(case.attack, model, x, y, threat, perturb=perturb).queries.max())
        assert asked <= 1.1 * case.attack.passes() + 10
