"""Recipes of adversarial training against literal formulas and literal loops."""

import copy
import dataclasses
import typing

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import holdfast as hf
from cases.training import FEW, NONE, PLAIN, hints
from holdfast.core.errors import ModelError
from holdfast.core.params import parameters
from holdfast.core.progress import StageDone
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe
from holdfast.defenses.training._worst import Worst
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining
from holdfast.defenses.training.free_adversarial_training import FreeAdversarialTraining
from holdfast.defenses.training.gaussian_augmentation import GaussianAugmentation
from holdfast.defenses.training.mart import Mart
from holdfast.defenses.training.trades import Trades
from holdfast.defenses.training.weight_perturbation import WeightPerturbation
from holdfast.learning.learner import Learner
from holdfast.learning.objective import CrossEntropy, Step
from holdfast.learning.schedule import one_cycle
from holdfast.learning.train import Train, _mixed
from holdfast.models.source import source_of
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box, Image

THREATS = [hf.Linf(0.1), hf.L2(0.5), hf.L1(1.5), hf.L0(3)]


def tiny(seed=3, features=8, classes=3):
    """A network with a batch norm."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, classes))


def step_of(net, x, harder, y, **more):
    fields = {"smoothing": 0.0, "classes": 3, "done": 0.5, "draw": torch.Generator()} | more
    return Step(net=net, logits=net, x=x, harder=harder, y=y, **fields)


def batch(n=20, features=8, classes=3):
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(n, features, generator=draw)
    return x, (x + 0.1 * torch.randn(n, features, generator=draw)).clamp(0, 1), torch.arange(n) % classes


def softmax(z):
    z = np.exp(z - z.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def objective(recipe):
    return recipe.training(hints(), 0).objective


def answers(net, x):
    """Probabilities in training mode, float64."""
    with torch.no_grad():
        return softmax(copy.deepcopy(net).train()(x).double().numpy())


def test_the_loss_of_trades_is_its_formula():
    net, (x, harder, y) = tiny(), batch()
    clean, hard = answers(net, x), answers(net, harder)
    natural = -np.log(clean[np.arange(20), y]).mean()
    apart = (clean * np.log(clean / hard)).sum() / 20
    for beta in (0.0, 6.0):
        found = float(objective(Trades(beta=beta))(step_of(net.train(), x, harder, y)).detach())
        assert found == pytest.approx(natural + beta * apart, rel=1e-5)
    assert apart > 1e-3


def test_the_loss_of_mart_is_its_formula():
    net, (x, harder, y) = tiny(), batch()
    clean, hard = answers(net, x), answers(net, harder)
    rows = np.arange(20)
    others = hard.copy()
    others[rows, y] = 0
    boosted = -np.log(hard[rows, y]) - np.log(1.0001 - others.max(1))
    weighted = (clean * np.log(clean / hard)).sum(1) * (1 - clean[rows, y])
    for weight in (0.0, 5.0):
        found = float(objective(Mart(weight=weight))(step_of(net.train(), x, harder, y)).detach())
        assert found == pytest.approx((boosted + weight * weighted).mean(), rel=1e-5)


def test_both_terms_of_trades_teach():
    """The clean answers are no constant of the second term."""
    net, (x, harder, y) = tiny(), batch()
    net.eval()
    loss = objective(Trades(beta=3.0))(step_of(net, x, harder, y))
    found = torch.autograd.grad(loss, net[0].weight)[0]
    clean, hard = net(x).log_softmax(1), net(harder).log_softmax(1)
    by_hand = cross_entropy(net(x), y) + 3 * (clean.exp() * (clean - hard)).sum(1).mean()
    torch.testing.assert_close(found, torch.autograd.grad(by_hand, net[0].weight)[0])


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("momentum", [0.0, 0.7], ids=str)
def test_worst_inputs_raise_their_loss_inside_the_region(threat, momentum):
    net, (x, _, y) = tiny().eval(), batch()
    space = Box()
    for loss, start in (("cross-entropy", "anywhere"), ("divergence", "near")):
        worst = Worst(threat=threat, space=space, steps=6, step=0.5, momentum=momentum, loss=loss, start=start)
        found = worst(net, x, y, torch.Generator().manual_seed(0))
        assert torch.equal(found, worst(net, x, y, torch.Generator().manual_seed(0)))
        assert threat.around(x, space).contains(found).all()
        with torch.no_grad():
            clean, hard = net(x).log_softmax(1), net(found).log_softmax(1)
        rise = clean - hard if loss == "cross-entropy" else clean.exp() * (clean - hard)
        value = rise.gather(1, y[:, None])[:, 0] if loss == "cross-entropy" else rise.sum(1)
        assert (value > 0).double().mean() >= 0.95


def test_the_inner_attack_with_momentum_is_its_formula():
    net, (x0, _, y) = tiny().eval(), batch()
    worst = Worst(threat=hf.Linf(0.1), space=Box(), steps=4, step=0.4, momentum=0.8)
    found = worst(net, x0, y, torch.Generator().manual_seed(0))
    x = dataclasses.replace(worst, steps=0)(net, x0, y, torch.Generator().manual_seed(0))  # the start
    m = torch.zeros_like(x)
    for _ in range(4):
        leaf = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(cross_entropy(net(leaf), y, reduction="sum"), leaf)
        m = 0.8 * m + g / g.abs().sum(1, keepdim=True)
        x = torch.clamp(torch.clamp(x + 0.04 * m.sign(), x0 - 0.1, x0 + 0.1), 0, 1)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-6)
    still = dataclasses.replace(worst, momentum=0.0)(net, x0, y, torch.Generator().manual_seed(0))
    assert not torch.allclose(found, still)


def test_weight_perturbation_is_perturb_step_restore():
    """Three steps of plain gradient descent, beside weights that are moved and put back by hand."""
    x, harder, y = batch()
    mine, theirs = tiny(), tiny()
    train = objective(Trades(beta=2.0))
    moved = WeightPerturbation(of=Trades(beta=2.0), radius=0.3).training(hints(), 0).objective
    for _ in range(3):
        before = [p.detach().clone() for p in mine.parameters()]
        loss = moved(step_of(mine.train(), x, harder, y))
        assert all(torch.equal(a, b) for a, b in zip(before, mine.parameters(), strict=True))
        slopes = torch.autograd.grad(loss, list(mine.parameters()))
        with torch.no_grad():
            for p, g in zip(mine.parameters(), slopes, strict=True):
                p -= 0.1 * g

        theirs.train()
        first = torch.autograd.grad(train(step_of(theirs, x, harder, y)), list(theirs.parameters()))
        statistics = copy.deepcopy(dict(theirs.named_buffers()))
        away = [
            0.3 * p.norm() * g / g.norm() if p.dim() > 1 else torch.zeros_like(p)
            for p, g in zip(theirs.parameters(), first, strict=True)
        ]
        with torch.no_grad():
            for p, v in zip(theirs.parameters(), away, strict=True):
                p += v
        second = torch.autograd.grad(train(step_of(theirs, x, harder, y)), list(theirs.parameters()))
        with torch.no_grad():
            for p, v, g in zip(theirs.parameters(), away, second, strict=True):
                p -= v + 0.1 * g
            for name, value in theirs.named_buffers():
                value.copy_(statistics[name])
        for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert int(mine[1].num_batches_tracked) == 6  # two passes a step, of clean and of harder inputs


def test_weights_stay_during_the_warm_up():
    net, (x, harder, y) = tiny(), batch()
    made = WeightPerturbation(radius=0.3, warm_up=0.4).training(hints(), 0).objective
    losses = [float(made(step_of(net, x, harder, y, done=done)).detach()) for done in (0.1, 0.5)]
    plain = float(CrossEntropy()(step_of(net, x, harder, y)).detach())
    assert losses[0] == plain
    assert losses[1] > plain


def test_free_training_is_its_loop():
    """Replays, one backward pass for both, a perturbation that lives on: against the loop of the paper."""
    data = hints()
    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    of = Train(
        start=wrap(net, data.bounds), epochs=6, batch=30, momentum=0.0, weight_decay=0.0, smoothing=0.0, average=0.0
    )
    made = FreeAdversarialTraining(of=of, threat=hf.Linf(0.1), replays=3, step=0.6).fit(data, 7)

    d, done = torch.zeros(30, 4), 0
    for epoch in range(2):
        order = torch.randperm(100, generator=torch.Generator().manual_seed(_mixed(7, epoch)))[:90]
        for rows in torch.split(order, 30):
            for _ in range(3):
                d.requires_grad_()
                loss = cross_entropy(net((data.x[rows] + d).clamp(0, 1)), data.y[rows])
                *slopes, slope = torch.autograd.grad(loss, [*net.parameters(), d])
                with torch.no_grad():
                    for p, g in zip(net.parameters(), slopes, strict=True):
                        p -= one_cycle(done, 18, 0.1) * g
                    d = (d + 0.06 * slope.sign()).clamp(-0.1, 0.1)
                done += 1
    learned = source_of(made).ask.net.state_dict()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(learned[name], value, rtol=1e-5, atol=1e-6)
    assert float(d.abs().max()) == pytest.approx(0.1)


@pytest.mark.parametrize("threat", THREATS[:3], ids=str)
def test_a_perturbation_that_is_carried_stays_in_the_ball(threat):
    made = FreeAdversarialTraining(threat=threat, replays=2).changes(hints())["objective"]
    net, memory = tiny(features=4, classes=2), {}
    x, y = hints().x, hints().y
    for _ in range(3):
        made(step_of(net, x, x, y, memory=memory)).backward()
        d = memory["perturbation"]
        assert (d.flatten(1).norm(p=threat.p, dim=1) <= threat.radius * (1 + 1e-5)).all()
    assert (d.flatten(1).norm(p=threat.p, dim=1) >= 0.5 * threat.radius).all()


def test_fast_training_takes_one_long_step_and_with_noise_leaves_the_ball():
    net, (x, _, y) = tiny().eval(), batch()
    asked = []

    def ask(z):
        asked.append(z)
        return net(z)

    data = Dataset(x, y)
    fast = FastAdversarialTraining(threat=hf.Linf(0.1)).changes(data)["perturb"]
    inside = fast(ask, x, y, torch.Generator().manual_seed(0))
    assert len(asked) == 1
    assert hf.Linf(0.1).around(x).contains(inside).all()
    noisy = FastAdversarialTraining(threat=hf.Linf(0.1), noise=2.0, step=1.0).changes(data)["perturb"]
    outside = noisy(ask, x, y, torch.Generator().manual_seed(0))
    assert len(asked) == 2
    start = asked[1].detach()
    assert hf.Linf(0.2).around(x).contains(start).all()
    leaf = start.clone().requires_grad_()
    (g,) = torch.autograd.grad(cross_entropy(net(leaf), y), leaf)
    torch.testing.assert_close(outside, (start + 0.1 * g.sign()).clamp(0, 1))
    assert not hf.Linf(0.2).around(x).contains(outside).all()


RECIPES = [AdversarialTraining, FreeAdversarialTraining, FastAdversarialTraining, Trades, Mart]


@pytest.mark.parametrize("kind", [*RECIPES, WeightPerturbation], ids=lambda kind: kind.__name__)
def test_a_checkpoint_knows_every_setting(kind):
    """The identity of a training differs where any field of its recipe does."""
    data = hints(20)
    own = kind()

    def identity(recipe):
        return recipe.training(data, 0)._identity(data, 0)

    others = [] if kind is WeightPerturbation else [dataclasses.replace(own, threat=hf.Linf(0.3))]
    for p in parameters(kind):
        value = getattr(own, p.name)
        if p.kind is int:
            others.append(dataclasses.replace(own, **{p.name: value + 1}))
        elif p.kind is float:
            others.append(dataclasses.replace(own, **{p.name: value + 0.25}))
        elif typing.get_origin(p.kind) is typing.Literal:
            others += [dataclasses.replace(own, **{p.name: v}) for v in typing.get_args(p.kind) if v != value]
    seen = [identity(one) for one in (own, *others)]
    assert len(set(seen)) == len(seen) >= 3
    assert identity(kind()) == seen[0]


@pytest.mark.parametrize("kind", RECIPES, ids=lambda kind: kind.__name__)
def test_a_radius_is_needed(kind):
    assert issubclass(kind, Recipe)
    with pytest.raises(ModelError, match="HF260"):
        kind(threat=hf.L2())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watching(Learner):
    """Learns as another does, and keeps what it was given."""

    of: Learner
    seen: list
    made: list

    def fit(self, dataset, seed=0, on_event=lambda event: None):
        self.seen.append(dataset)
        self.made.append(self.of.fit(dataset, seed, on_event))
        return self.made[-1]


def test_rounds_add_rows_that_broke_the_model_before():
    from sklearn.tree import DecisionTreeClassifier

    data = dataclasses.replace(hints(60), ids=torch.arange(60) * 3, groups=torch.arange(60) // 2)
    tree = hf.Fit(estimator=DecisionTreeClassifier(max_depth=4))
    watching = Watching(of=tree, seen=[], made=[])
    notes = []
    rounds = AdversarialRounds(of=watching, threat=hf.Linf(0.1), rounds=2, attack=FEW, samples=25)
    model = rounds.fit(data, 0, notes.append)
    assert model is watching.made[-1]
    sizes = [len(one) for one in watching.seen]
    assert len(sizes) == 3
    assert 60 == sizes[0] < sizes[1] < sizes[2]
    assert max(np.diff(sizes)) <= 25
    ended = [(e.stage, e.broken, e.total) for e in notes if isinstance(e, StageDone)]
    assert ended == [(f"round {k + 1}", sizes[k + 1] - sizes[k], 25) for k in range(2)]
    for before, now, model in zip(watching.seen, watching.seen[1:], watching.made, strict=False):
        assert torch.equal(now.x[: len(before)], before.x)
        fresh = now.take(slice(len(before), None))
        assert (model.predict(fresh.x) != fresh.y).all()
        for x, y, group in zip(fresh.x, fresh.y, fresh.groups, strict=True):
            near = (data.x - x).abs().amax(1) <= 0.1 + 1e-6
            assert (near & (data.y == y) & (data.groups == group)).any()
    assert len(set(watching.seen[-1].ids.tolist())) == sizes[-1]


def test_rounds_end_where_nothing_breaks():
    from sklearn.tree import DecisionTreeClassifier

    watching = Watching(of=hf.Fit(estimator=DecisionTreeClassifier(max_depth=1)), seen=[], made=[])
    AdversarialRounds(of=watching, threat=hf.Linf(1e-6), rounds=3, attack=FEW, samples=10).fit(hints(40))
    assert len(watching.seen) == 1


def test_noise_has_its_deviation_and_stays_in_the_box():
    data = Dataset(torch.full((400, 3), 5.0), torch.arange(400) % 2, bounds=(0.0, 10.0), groups=torch.arange(400) // 4)
    watching = Watching(of=PLAIN, seen=[], made=[])
    wide = GaussianAugmentation(of=watching, sigma=1.5, copies=2)
    wide.fit(data, 3)
    (seen,) = watching.seen
    assert len(seen) == 1200
    assert torch.equal(seen.x[:400], data.x)
    assert torch.equal(seen.groups[400:800], data.groups)
    noise = seen.x[400:] - 5
    assert float(noise.std()) == pytest.approx(1.5, rel=0.1)
    assert abs(float(noise.mean())) < 0.1
    assert not torch.equal(noise[:400], noise[400:])
    dataclasses.replace(wide, sigma=20.0).fit(data, 3)
    assert float(watching.seen[1].x.min()) == 0
    assert float(watching.seen[1].x.max()) == 10


def test_images_are_made_harder_too():
    """Channels, height and width; another range; a network by name with batch norms."""
    draw = torch.Generator().manual_seed(2)
    x = torch.rand(24, 1, 6, 6, generator=draw) * 255
    data = Dataset(x, torch.arange(24) % 2, bounds=(0.0, 255.0))
    assert isinstance(data.space, Image)
    of = Train(network="cnn", width=2, epochs=1, batch=12)
    for kind in RECIPES:
        model = kind(of=of, threat=hf.Linf(8.0)).fit(data)
        assert torch.isfinite(model.answer(x).scores).all()
    assert NONE.radius == 0
