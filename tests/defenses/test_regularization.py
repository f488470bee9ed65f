"""Penalties, noise and augmentation: closed forms, and the laws of learners that change one training."""

import copy
import dataclasses
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, one_hot

import holdfast as hf
from cases.distillation import DISTILLATION
from cases.regularization import REGULARIZATION, TINY
from holdfast.core.errors import ModelError, Stop
from holdfast.core.progress import BatchDone, Note
from holdfast.data import Dataset
from holdfast.defenses.regularization._augmentations import autocontrast, equalize, posterize, solarize, warp
from holdfast.defenses.regularization._chance import dirichlet
from holdfast.defenses.regularization._networks import changed
from holdfast.defenses.regularization.aug_mix import AugMix, _jensen_shannon, _Mixture
from holdfast.defenses.regularization.cut_mix import CutMix, _Cut
from holdfast.defenses.regularization.dropout import Dropout, _Drop, _Insert
from holdfast.defenses.regularization.early_stopping import EarlyStopping
from holdfast.defenses.regularization.input_gradient import InputGradient, _Flat
from holdfast.defenses.regularization.jacobian_regularization import JacobianRegularization, _Stiff
from holdfast.defenses.regularization.l1_penalty import L1Penalty, _Shrinking
from holdfast.defenses.regularization.l2_penalty import L2Penalty, _Ridge
from holdfast.defenses.regularization.label_smoothing import LabelSmoothing
from holdfast.defenses.regularization.mixup import Mixup, _Mixed
from holdfast.defenses.regularization.spectral_normalization import SpectralNormalization, _Fix, _Normalize
from holdfast.defenses.regularization.weight_decay import WeightDecay
from holdfast.learning.objective import CrossEntropy, Step
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model
from holdfast.models.prepared import prepared
from holdfast.models.source import source_of
from holdfast.threats.space import Box, space_of

every = pytest.mark.parametrize("case", [*REGULARIZATION, *DISTILLATION], ids=str)
PLAIN = Train(network="mlp", width=32, epochs=10, batch=64, rate=0.1, smoothing=0.0, average=0.9)


def toy(n=96, seed=0, size=8):
    """Bright on the left, on the right, or in the middle."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, size, size, generator=draw) * 0.6
    for k in range(3):
        x[y == k, :, :, 2 * k : 2 * k + 3] += 0.4
    return Dataset(x, y)


@pytest.fixture(scope="module")
def digits():
    found = hf.data.load("digits")
    return found.train.take(torch.arange(600)), found.test


def inside(model):
    return source_of(model).ask.net


def same(first, second):
    a, b = inside(first).state_dict(), inside(second).state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def step_of(net, x, y, *, harder=None, seed=0, smoothing=0.0, classes=3):
    harder = x if harder is None else harder
    return Step(net, net, x, harder, y, smoothing, classes, 0.0, torch.Generator().manual_seed(seed))


def small(inputs=6, classes=3):
    draw = torch.Generator().manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, classes))
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=draw)
    x = torch.rand(7, inputs, generator=draw)
    return net, x, torch.arange(7) % classes


# The laws of these learners


@every
def test_the_seed_decides_and_the_process_stays_as_it_is(case):
    data = toy()
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, again, other = (case.learner.fit(data, seed=s) for s in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    assert first.name == "mlp"
    assert first.classes == 3
    assert not inside(first).training
    assert torch.isfinite(first.scores(data.x)).all()


@every
def test_switched_off_it_is_the_plain_training_bit_for_bit(case):
    plain = TINY.fit(toy())
    assert not same(plain, case.learner.fit(toy()))
    if case.off is None:
        assert case.why
        return
    assert same(plain, case.off.fit(toy()))


@every
@pytest.mark.parametrize("when", [1, 3])
def test_an_interrupted_training_resumes_bit_for_bit(case, when, tmp_path):
    """The third epoch is the first of the second training, where a teacher learns before a student."""
    of = dataclasses.replace(TINY, checkpoint=str(tmp_path / "state.pt"))
    seen = []

    def listen(event):
        seen.extend([event] if isinstance(event, BatchDone) else [])
        if len(seen) == when:
            raise Stop

    kept = dataclasses.replace(case.learner, of=of)
    try:
        kept.fit(toy(), on_event=listen)
    except Stop:
        torch.rand(7)
    assert same(case.learner.fit(toy()), kept.fit(toy()))


TRAINED = [
    AugMix(of=PLAIN),
    CutMix(of=PLAIN),
    Dropout(of=PLAIN),
    Dropout(of=PLAIN, where="all", share=0.2),
    EarlyStopping(of=PLAIN),
    InputGradient(of=PLAIN, strength=0.03),
    JacobianRegularization(of=PLAIN),
    L1Penalty(of=PLAIN),
    L2Penalty(of=PLAIN),
    LabelSmoothing(of=PLAIN),
    Mixup(of=PLAIN),
    SpectralNormalization(of=PLAIN, bound=2.0),
    WeightDecay(of=PLAIN),
]


@pytest.mark.parametrize("learner", TRAINED, ids=lambda one: type(one).__name__)
def test_it_learns_digits(learner, digits):
    train, test = digits
    model = learner.fit(train)
    assert (model.predict(test.x) == test.y).double().mean() > 0.85


# Penalties


def test_the_weights_that_are_penalized_are_those_that_decay():
    net, x, y = small()
    plain = CrossEntropy()(step_of(net, x, y))
    weights = [net[1].weight, net[3].weight]
    l1 = _Shrinking(0.3, CrossEntropy())(step_of(net, x, y))
    l2 = _Ridge(0.3, CrossEntropy())(step_of(net, x, y))
    torch.testing.assert_close(l1 - plain, 0.3 * sum(w.abs().sum() for w in weights))
    torch.testing.assert_close(l2 - plain, 0.15 * sum(w.square().sum() for w in weights))


def test_the_squared_penalty_and_the_decay_are_one_method():
    of = dataclasses.replace(TINY, epochs=4)
    first, second = (inside(one.fit(toy())).state_dict() for one in (L2Penalty(of=of), WeightDecay(of=of, decay=1e-3)))
    other = inside(L2Penalty(of=of, strength=2e-3).fit(toy())).state_dict()
    assert all(torch.allclose(first[k], second[k], atol=1e-6) for k in first)
    assert not all(torch.allclose(first[k], other[k], atol=1e-6) for k in first)


def test_the_jacobian_penalty_is_the_norm_of_the_jacobian():
    net, x, y = small()
    wide = Box((-1.0, 3.0))
    exact = torch.stack([(torch.autograd.functional.jacobian(net, row[None])[0] * 4).square().sum() for row in x])
    every_axis = _Stiff(0.2, 3, wide, CrossEntropy())
    leaf = x.clone().requires_grad_()
    found = every_axis.norm(net(leaf), leaf, torch.Generator())
    torch.testing.assert_close(found, exact)
    torch.testing.assert_close(every_axis(step_of(net, x, y)) - CrossEntropy()(step_of(net, x, y)), 0.1 * exact.mean())
    few, draw = _Stiff(0.2, 2, wide, CrossEntropy()), torch.Generator().manual_seed(0)
    drawn = torch.stack([few.norm(net(leaf), leaf, draw).detach() for _ in range(300)])
    assert drawn.std(0).min() > 0
    torch.testing.assert_close(drawn.mean(0), exact, rtol=0.15, atol=0.0)


def test_the_jacobian_penalty_reaches_the_weights():
    net, x, y = small()
    weight = net[1].weight
    (found,) = torch.autograd.grad(_Stiff(1.0, 9, Box(), lambda step: 0.0)(step_of(net, x, y)), weight)

    def exact(w):
        hidden = x @ w.T + net[1].bias
        return 0.5 * (net[3].weight[None] * (1 - hidden.tanh().square())[:, None] @ w).square().sum((1, 2)).mean()

    (wanted,) = torch.autograd.grad(exact(weight), weight)
    torch.testing.assert_close(found, wanted)


def test_the_input_gradient_penalty_agrees_with_finite_differences():
    net, x, y = small()
    found = _Flat(0.5, Box((0.0, 2.0)), lambda step: 0.0)(step_of(net, x, y, smoothing=0.1))
    deep, x64 = copy.deepcopy(net).double(), x.double()
    slopes = torch.zeros_like(x64)
    for k in range(x.shape[1]):
        away = torch.zeros_like(x64)
        away[:, k] = 1e-5
        ends = [cross_entropy(deep(x64 + s * away), y, reduction="none", label_smoothing=0.1).detach() for s in (1, -1)]
        slopes[:, k] = (ends[0] - ends[1]) / 2e-5
    wanted = 0.5 * (2 * slopes).square().sum(1).mean()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)


def test_the_input_gradient_penalty_reaches_the_weights():
    """Of a linear model the gradient is W^T (p - y)."""
    net = nn.Linear(4, 3)
    x, y = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
    (found,) = torch.autograd.grad(_Flat(1.0, Box(), CrossEntropy())(step_of(net, x, y)), net.weight)
    scores = net(x)
    slopes = (scores.softmax(1) - one_hot(y, 3)) @ net.weight
    (wanted,) = torch.autograd.grad(cross_entropy(scores, y) + slopes.square().sum(1).mean(), net.weight)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("objective", [_Flat, _Stiff])
def test_slopes_are_measured_in_widths_of_the_box(objective):
    net, x, y = small()
    wide = nn.Sequential(nn.Flatten(), _Shrunk(), net)
    more = (3,) if objective is _Stiff else ()
    one = objective(1.0, *more, Box(), CrossEntropy())(step_of(net, x, y))
    other = objective(1.0, *more, Box((0.0, 255.0)), CrossEntropy())(step_of(wide, x * 255, y))
    torch.testing.assert_close(one, other)


class _Shrunk(nn.Module):
    def forward(self, x):
        return x / 255


@pytest.mark.parametrize("learner", [InputGradient(), JacobianRegularization()], ids=lambda one: type(one).__name__)
def test_the_network_is_asked_once_for_the_loss_and_the_penalty(learner):
    net, x, y = small()
    asked = []
    step = dataclasses.replace(step_of(net, x, y), logits=lambda z: asked.append(1) or net(z))
    objective = _Flat(0.1, Box(), CrossEntropy()) if isinstance(learner, InputGradient) else None
    (objective or _Stiff(0.1, 1, Box(), CrossEntropy()))(step)
    assert len(asked) == 1


def test_penalties_add_up_over_other_objectives():
    net, x, y = small()
    both = _Ridge(0.3, _Mixed(1.0, CrossEntropy()))(step_of(net, x, y, seed=4))
    mixed = _Mixed(1.0, CrossEntropy())(step_of(net, x, y, seed=4))
    l2 = _Ridge(0.3, lambda step: 0.0)(step_of(net, x, y))
    torch.testing.assert_close(both, mixed + l2)
    of = dataclasses.replace(TINY, objective=_Mixed(1.0, CrossEntropy()))
    assert not same(L2Penalty(of=of, strength=0.1).fit(toy()), L2Penalty(of=TINY, strength=0.1).fit(toy()))


# Mixtures


@pytest.mark.parametrize("hardened", [False, True])
def test_mixup_is_the_cross_entropy_of_mixed_inputs_and_mixed_labels(hardened):
    net, x, y = small()
    harder = (x + 0.1).clamp(0, 1) if hardened else None
    found = _Mixed(0.7, CrossEntropy())(step_of(net, x, y, harder=harder, seed=8))
    draw = torch.Generator().manual_seed(8)
    share, order = float(dirichlet(0.7, 1, 2, draw)[0, 0]), torch.randperm(7, generator=draw)
    used = x if harder is None else harder
    labels = share * one_hot(y, 3) + (1 - share) * one_hot(y[order], 3)
    wanted = -(labels * net(share * used + (1 - share) * used[order]).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(found, wanted)
    assert 0.01 < share < 0.99


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_moments_of_the_dirichlet_distribution(alpha):
    draw = torch.Generator().manual_seed(0)
    shares = dirichlet(alpha, 20000, 3, draw)
    torch.testing.assert_close(shares.sum(1), torch.ones(20000, dtype=torch.float64))
    torch.testing.assert_close(shares.mean(0), torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.01, rtol=0)
    variance = (1 / 3) * (2 / 3) / (3 * alpha + 1)
    torch.testing.assert_close(shares.var(0), torch.full((3,), variance, dtype=torch.float64), atol=0.0, rtol=0.05)


def test_cut_mix_pastes_one_rectangle_and_shares_the_label_by_area():
    data, shares = toy(12), []
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    for seed in range(12):
        asked = []
        step = dataclasses.replace(
            step_of(net, data.x, data.y, seed=seed), logits=lambda z, asked=asked: asked.append(z) or net(z)
        )
        found = _Cut(1.0, 1.0, CrossEntropy())(step)
        (made,) = asked
        pasted = (made != data.x).any(0)[0]
        draw = torch.Generator().manual_seed(seed)
        torch.rand((), generator=draw, dtype=torch.float64)  # whether to cut
        area = 1 - float(dirichlet(1.0, 1, 2, draw)[0, 0])
        torch.rand(2, generator=draw, dtype=torch.float64)  # where
        order = torch.randperm(12, generator=draw)
        assert torch.equal(made[..., pasted], data.x[order][..., pasted])
        rows, columns = pasted.any(1), pasted.any(0)
        assert torch.equal(pasted, rows[:, None] & columns[None])
        share = 1 - float(pasted.double().mean())
        assert share >= 1 - area - 1e-9
        labels = share * one_hot(data.y, 3) + (1 - share) * one_hot(data.y[order], 3)
        torch.testing.assert_close(found, -(labels * net(made).log_softmax(1)).sum(1).mean())
        shares.append(share)
    assert len(set(shares)) > 5
    assert min(shares) < 0.8


@pytest.mark.parametrize("learner", [CutMix(of=TINY), AugMix(of=TINY)], ids=lambda one: type(one).__name__)
def test_tables_are_refused_by_what_needs_pictures(learner):
    with pytest.raises(ModelError, match="HF264"):
        learner.fit(Dataset(torch.rand(20, 5), torch.arange(20) % 2))


# AugMix


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 10)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_mixtures_stay_in_the_box_and_belong_to_the_generator(bounds, shape, dtype):
    x = torch.rand(40, *shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    x = bounds[0] + (bounds[1] - bounds[0]) * x
    x[0], x[1] = bounds
    mixture = _Mixture(10.0, 3, 3, 1.0, space_of(x, bounds))
    first, again, other = (mixture(x, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == dtype
    assert first.shape == x.shape
    assert space_of(x, bounds).validate(first).all()
    assert ((first != x).flatten(1).any(1)).double().mean() > 0.9


def test_the_divergence_is_that_of_three_answers_from_their_mean():
    scores = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)) * 3
    parts = [one.softmax(1) for one in scores]
    log_mean = (sum(parts) / 3).log()
    wanted = sum(kl_div(log_mean, part, reduction="batchmean") for part in parts) / 3
    torch.testing.assert_close(_jensen_shannon(scores.unbind()), wanted)
    far = torch.tensor([[200.0, 0.0, 0.0]])
    assert float(_jensen_shannon((far, far.roll(1, 1), far.roll(2, 1)))) == pytest.approx(float(np.log(3)))


def shown():
    """Large pictures whose values are whole numbers of 255, as files have them, so that histograms are fine."""
    draw = torch.Generator().manual_seed(2)
    return torch.randint(30, 220, (2, 1, 260, 250), generator=draw).double() / 255


@pytest.mark.parametrize(
    ("ours", "theirs", "off"),
    [
        (autocontrast, lambda ops, image: ops.autocontrast(image), 1),
        (equalize, lambda ops, image: ops.equalize(image), 3),
        (posterize, lambda ops, image: ops.posterize(image, 3), 0),
        (solarize, lambda ops, image: ops.solarize(image, 179), 0),
    ],
    ids=["autocontrast", "equalize", "posterize", "solarize"],
)
def test_shades_are_those_of_pillow(ours, theirs, off):
    image, operations = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageOps")
    x = shown()
    found = ours(x, torch.full((2,), 0.3, dtype=torch.float64)) * 255
    wanted = [np.asarray(theirs(operations, image.fromarray((row[0] * 255).round().byte().numpy()))) for row in x]
    assert (found[:, 0] - torch.from_numpy(np.stack(wanted)).double()).abs().max() <= off + 1e-6


def test_flat_pictures_keep_their_shade():
    x = torch.full((2, 3, 5, 5), 0.4)
    assert torch.equal(autocontrast(x, torch.ones(2)), x)
    assert torch.equal(equalize(x, torch.ones(2)), x)


def test_warps_move_turn_and_shear():
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 6] = 1.0  # two to the right of the middle

    def at(way, level, sign=1.0):
        out = warp(x, torch.tensor([level]), torch.tensor([sign]), torch.tensor([way]))[0, 0]
        rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
        return [round(float((out * place).sum() / out.sum()), 2) for place in (rows, columns)]

    assert at(3, 1.0) == [4, 3]  # a third of nine
    assert at(4, 1.0, -1.0) == [7, 6]
    assert at(1, 1.0) == [4, 6]  # on the middle row nothing shears
    assert at(2, 1.0) == [pytest.approx(3.4, abs=0.01), 6]
    turned = at(0, 1.0)
    wanted = [4 - 2 * np.sin(np.pi / 6), 4 + 2 * np.cos(np.pi / 6)]
    assert turned == pytest.approx(wanted, abs=0.2)


# Networks that are changed while they learn


def test_dropout_drops_that_share_in_front_of_that_layer_and_only_while_learning():
    seen = []

    class Seen(nn.Linear):
        def forward(self, x):
            seen.append((self.training, float((x == 0).double().mean())))
            return super().forward(x)

    def network(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.Sigmoid(), Seen(200, classes))

    model = Dropout(of=dataclasses.replace(TINY, network=network), share=0.3).fit(toy())
    assert {round(share, 1) for training, share in seen if training} == {0.3}
    assert {share for training, share in seen if not training} == {0.0}
    assert not any(layer._forward_pre_hooks for layer in inside(model).modules())
    assert torch.equal(model.scores(toy().x), model.scores(toy().x))


def hooked(network, where):
    net = Train(network=network, width=2)._network(toy(size=16))
    _Insert(0.5, where)(net)
    return [name for name, m in net.named_modules() if any(isinstance(h, _Drop) for h in m._forward_pre_hooks.values())]


@pytest.mark.parametrize("network", ["cnn", "mlp", "resnet18", "preact18", "vgg11"])
def test_dropout_finds_the_layers_of_networks_by_name(network):
    assert hooked(network, "last") == ["head"]
    every_layer = hooked(network, "all")
    assert every_layer[-1] == "head"
    assert len(every_layer) == {"cnn": 5, "mlp": 2, "resnet18": 20, "preact18": 20, "vgg11": 8}[network]
    net = Train(network=network, width=6)._network(toy(size=16)).train()
    _Insert(0.5, "all")(net)
    x = toy(6, size=16).x
    assert not torch.equal(net(x), net(x))


@pytest.mark.parametrize("learner", [Dropout(), SpectralNormalization()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_what_comes_back_is_a_plain_network_that_can_be_saved_and_prepared(learner, network, tmp_path):
    of = dataclasses.replace(TINY, network=network, width=4)
    model = dataclasses.replace(learner, of=of).fit(toy())
    assert inside(model).state_dict().keys() == inside(of.fit(toy())).state_dict().keys()
    assert type(inside(model).head) is nn.Linear
    assert (prepared(model, toy().x).swift is not None) == (network == "cnn")
    path = tmp_path / "model.safetensors"
    save_model(model, path, {"network": network, "width": 4, "classes": 3, "shape": [1, 8, 8]})
    assert torch.equal(load_model(path).scores(toy().x), model.scores(toy().x))


@pytest.mark.parametrize("learner", [Dropout(), SpectralNormalization()], ids=lambda one: type(one).__name__)
def test_a_training_may_start_from_a_model_which_stays_as_it_is(learner):
    start = dataclasses.replace(TINY, epochs=6).fit(toy())
    before = copy.deepcopy(inside(start).state_dict())
    of = dataclasses.replace(TINY, start=start, rate=1e-7, average=0.0)
    state = torch.get_rng_state()
    model = dataclasses.replace(learner, of=of).fit(toy())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in inside(start).state_dict().items())
    assert source_of(model).ask.mean == source_of(start).ask.mean
    for name, value in inside(model).state_dict().items():
        was = before[name]
        if isinstance(learner, SpectralNormalization) and value.dim() > 1:
            was = was / torch.linalg.matrix_norm(was, 2)
        torch.testing.assert_close(value, was, atol=1e-4, rtol=1e-4)


def test_a_network_without_layers_is_refused():
    class Bare(nn.Module):
        def __init__(self, shape, classes):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(64, classes))

        def forward(self, x):
            return x.flatten(1) @ self.weight

    def one(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    for learner, network in ((Dropout(), Bare), (SpectralNormalization(), Bare), (Dropout(where="all"), one)):
        with pytest.raises(ModelError, match="HF265"):
            dataclasses.replace(learner, of=dataclasses.replace(TINY, network=network)).fit(toy())


@pytest.mark.parametrize(("network", "bound"), [("mlp", 1.0), ("mlp", 3.0), ("cnn", 1.0)])
def test_no_layer_stretches_by_more_than_the_bound(network, bound):
    of = dataclasses.replace(TINY, network=network, width=4, epochs=4, average=0.9)
    net = inside(SpectralNormalization(of=of, bound=bound).fit(toy()))
    found = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(found) > 2
    for layer in found:
        largest = torch.linalg.svdvals(layer.weight.detach().flatten(1).double())[0]
        assert float(largest) == pytest.approx(bound, abs=1e-5)
        if isinstance(layer, nn.Conv2d):
            assert stretch(layer) <= bound * 3 + 1e-4  # the root of the kernel size


def stretch(conv, size=8):
    """The norm of the convolution itself, by power iteration."""
    x = torch.rand(1, conv.in_channels, size, size, generator=torch.Generator().manual_seed(0))
    for _ in range(40):
        x = (x / x.norm()).detach().requires_grad_()
        out = conv(x)
        (x,) = torch.autograd.grad(out.square().sum() / 2, x)
    return float(x.norm().sqrt())


def test_plain_weights_answer_as_the_normalized_ones_did():
    of = dataclasses.replace(TINY, epochs=8, average=0.9)
    model = changed(of, _Normalize(1.0, 1), 0).fit(toy())
    before = model.scores(toy().x)
    _Fix(1.0)(inside(model))
    after = model.scores(toy().x)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    assert before.abs().max() > 1


# Stopping early


def test_early_stopping_goes_on_while_the_score_rises():
    scores, seen = iter([0.5, 0.9, 0.7, 0.8, 0.9]), []
    of = dataclasses.replace(TINY, epochs=10, judge=lambda model, part: next(scores))
    EarlyStopping(of=of, patience=2).fit(toy(), on_event=seen.append)
    assert [e.done for e in seen if isinstance(e, BatchDone)] == [1, 2, 3, 4]
    assert any(isinstance(e, Note) and "epoch 2" in e.text for e in seen)
    lengths = []
    of = dataclasses.replace(TINY, judge=lambda model, part: lengths.append(len(part)) or 0.5)
    EarlyStopping(of=of, holdout=0.25).fit(toy())
    EarlyStopping(of=of).fit(toy(), validation=toy(10))
    assert lengths == [24, 24, 10, 10]


def test_smoothing_and_decay_take_the_place_of_those_of_the_plain_training():
    of = dataclasses.replace(TINY, smoothing=0.5, weight_decay=0.5)
    assert same(LabelSmoothing(of=of, share=0.2).fit(toy()), dataclasses.replace(of, smoothing=0.2).fit(toy()))
    assert same(WeightDecay(of=of, decay=0.1).fit(toy()), dataclasses.replace(of, weight_decay=0.1).fit(toy()))
