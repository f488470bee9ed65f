"""Training under several threats against literal loops."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import holdfast as hf
from cases.training import PLAIN, hints
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import ModelError, ParameterError
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Withstands
from holdfast.defenses.training._worst import Worst
from holdfast.defenses.training.multi_norm import MultiNorm
from holdfast.evaluation.defending.chain import chain
from holdfast.learning.objective import Step
from holdfast.learning.train import Train
from holdfast.threats.space import Box

THREATS = (hf.Linf(0.1), hf.L2(0.25))


def net(seed=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3))


def batch(n=20):
    """Far from the edges of the box."""
    return 0.3 + 0.4 * torch.rand(n, 8, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 3


def perturb(combine, **more):
    x, y = batch()
    recipe = MultiNorm(threat=THREATS[0], threats=THREATS[1:], combine=combine, steps=3, step=0.5, **more)
    return recipe.changes(Dataset(x, y))["perturb"]


def apart(draw):
    """The worst inputs under each threat, one attack after the other from the same generator."""
    ask, (x, y) = net(), batch()
    return [Worst(threat=one, space=Box(), steps=3, step=0.5)(ask, x, y, draw) for one in THREATS]


def test_the_highest_loss_wins_row_by_row():
    ask, (x, y) = net(), batch()
    found = perturb("max")(ask, x, y, torch.Generator().manual_seed(5))
    points, chosen = apart(torch.Generator().manual_seed(5)), []
    for row in range(20):
        losses = [float(cross_entropy(ask(one[row][None]), y[row][None]).detach()) for one in points]
        chosen.append(losses.index(max(losses)))
        assert torch.equal(found[row], points[chosen[-1]][row])
    assert set(chosen) == {0, 1}


def test_the_average_is_the_mean_of_the_losses():
    ask, (x, y) = net(), batch()
    made = MultiNorm(threat=THREATS[0], threats=THREATS[1:], combine="average", steps=3, step=0.5).changes(
        Dataset(x, y)
    )
    harder = made["perturb"](ask, x, y, torch.Generator().manual_seed(5))
    step = Step(ask, ask, x, harder, y, 0.1, 3, 0.0, torch.Generator())
    each = [cross_entropy(ask(one), y, label_smoothing=0.1) for one in apart(torch.Generator().manual_seed(5))]
    torch.testing.assert_close(made["objective"](step), sum(each) / 2)
    assert abs(float((each[0] - each[1]).detach())) > 1e-3


def test_one_threat_is_drawn_for_each_batch():
    ask, (x, y) = net(), batch()
    taken = []
    for seed in range(30):
        found = perturb("random")(ask, x, y, torch.Generator().manual_seed(seed))
        lies = [bool(one.around(x).contains(found).all()) for one in THREATS]
        assert sum(lies) == 1  # in one ball, and some row is outside the other
        taken.append(lies.index(True))
    assert 5 < sum(taken) < 25


def test_the_steepest_is_the_loop_of_its_paper():
    ask, (x0, y) = net(), batch()
    found = perturb("steepest")(ask, x0, y, torch.Generator())
    d = torch.zeros_like(x0)
    for _ in range(3):
        leaf = (x0 + d).requires_grad_()
        (g,) = torch.autograd.grad(cross_entropy(ask(leaf), y, reduction="sum"), leaf)
        square = (d + 0.05 * g.sign()).clamp(-0.1, 0.1)
        ball = d + 0.125 * g / g.norm(dim=1, keepdim=True)
        ball = ball * (0.25 / ball.norm(dim=1, keepdim=True)).clamp(max=1)
        losses = [cross_entropy(ask(x0 + one), y, reduction="none") for one in (square, ball)]
        d = torch.where((losses[0] >= losses[1])[:, None], square, ball)
    torch.testing.assert_close(found, x0 + d, rtol=0, atol=1e-5)
    inside = torch.stack([one.around(x0).contains(found) for one in THREATS])
    assert inside.any(0).all()
    assert not inside.all(0).all()


def test_a_sample_holds_where_it_holds_under_each_threat():
    data = hints(60)
    model = dataclasses.replace(PLAIN, epochs=4).fit(data)
    threats = (hf.Linf(0.02), hf.L2(0.04))
    judge = MultiNorm(threat=threats[0], threats=threats[1:]).training(data, 3).judge
    assert isinstance(judge, Withstands)
    attack = Pgd(steps=10, step=0.25)
    held = [[s == "unbroken" for s in run(attack, model, data.x, data.y, one, seed=3).status] for one in threats]
    assert judge(model, data).score == pytest.approx(sum(a and b for a, b in zip(*held, strict=True)) / 60)
    assert held[0] != held[1]


def test_every_threat_needs_a_radius_and_is_one():
    with pytest.raises(ModelError, match="HF260"):
        MultiNorm(threats=(hf.L2(),))
    with pytest.raises(ParameterError, match="HF001 The 'threats' parameter of MultiNorm"):
        MultiNorm(threats=("l2:1",))


def test_threats_are_read_from_text_and_told():
    made = chain("multi_norm(threats=['l2:1.5', 'l1:8'], combine='random')", Train(epochs=3), hf.Linf(0.15))
    assert made.learner == MultiNorm(
        of=Train(epochs=3), threat=hf.Linf(0.15), threats=(hf.L2(1.5), hf.L1(8)), combine="random"
    )
    assert str(made) == "multi_norm(threats=['l2:3/2', 'l1:8'], combine='random')"
    assert chain(str(made), Train(epochs=3), hf.Linf(0.15)) == made


def test_a_checkpoint_knows_the_threats_and_how_they_come_together():
    data = hints(20)
    kinds = [MultiNorm(combine=one) for one in ("max", "average", "random", "steepest")]
    kinds += [MultiNorm(threats=()), MultiNorm(threats=(hf.L2(0.5), hf.L1(11.0)))]
    assert len({one.training(data, 0)._identity(data, 0) for one in kinds}) == len(kinds)
