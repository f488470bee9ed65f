"""The copy that attacks search on: what it may be made of, and that it never has the last word."""

import dataclasses
import os

import pytest
import torch
from torch import nn

import holdfast as hf
from cases.evasion import CASES
from holdfast.attacks import run as driver
from holdfast.attacks.outcome import BOOKS
from holdfast.attacks.run import FEW, run
from holdfast.models import prepared as module
from holdfast.models.model import Swift
from holdfast.models.networks import build
from holdfast.models.prepared import piece_of, prepared
from holdfast.models.settle import settle
from laws.oracles import alone, linear, setting, small_net

SHAPE = (3, 16, 16)

KINDS = (  # an attack for each way to ask, nearest point or ball, each norm; `make laws` takes all
    "Pgd-linf",
    "LocalSearch-rounds=5-l2",
    "Fmn-step=10.0-l0",
    "DeepFool-l2",
    "Jsma-l0",
    "Alma-l1",
    "Nes-steps=50-linf",
    "Square-steps=200-l2",
    "RayS-steps=200-linf",
)
SOME = (
    CASES if os.environ.get("HOLDFAST_LAWS") == "full" else [next(c for c in CASES if str(c) == kind) for kind in KINDS]
)


def inputs(n=6, shape=SHAPE):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


def trained(name, **options):
    """A network whose norms have means and deviations of their own, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = build(name, shape=SHAPE, classes=5, **options)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.uniform_(layer.bias, -0.5, 0.5)
        for _ in range(3):
            net(torch.rand(32, *SHAPE))
    return net.eval()


def wrapped(net, **options):
    return settle(hf.wrap(net, bounds=(0, 1), output="logits", **options), inputs())


def norms(model):
    return [m for m in model.swift.ask.ask.ask.net.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize(("name", "left"), [("cnn", 0), ("vgg11", 0), ("resnet18", 0), ("preact18", 9)])
def test_norms_behind_convolutions_are_folded_and_the_answers_stay(name, left):
    model = wrapped(trained(name, width=4), mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    swift = prepared(model, inputs())
    assert len(norms(swift)) == left
    x = inputs(9)
    assert torch.allclose(swift.swift.ask(x), model.scores(x), rtol=1e-4, atol=1e-4)
    for fast, slow in ((swift.searched(x).scores, model.answer(x).scores),):
        assert torch.equal(fast.argmax(1), slow.argmax(1))
    assert prepared(swift, x) is swift


class Counting(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * (2 if float(x.sum()) > 0 else 1)


class Restless(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) + 0.1 * torch.randn(len(x), 5)


class Asserting(nn.Sequential):
    def forward(self, x):
        assert isinstance(x, torch.Tensor), "no tensor"  # true of every input, not of torch.fx's stand-ins
        return super().forward(x)


class Uncopied(nn.Sequential):
    def __deepcopy__(self, memo):
        raise OSError("holds a file")


class Choosy(nn.Sequential):
    def forward(self, x):
        if len(x) > 6:
            raise ValueError("six pictures at most")
        return super().forward(x)


def convolutions():
    return [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 5)]


def heard(net):
    net[0].register_forward_hook(lambda *a: None)
    return net


@pytest.mark.parametrize(
    "net",
    [
        build("mlp", shape=SHAPE, classes=5),
        Counting(*convolutions()),
        Restless(nn.Sequential(*convolutions())),
        heard(nn.Sequential(*convolutions())),
        Asserting(*convolutions()),
        Uncopied(*convolutions()),
        Choosy(*convolutions()),
    ],
    ids=["no convolution", "control flow by value", "random", "hook", "assertion", "no copy", "refuses pictures"],
)
def test_what_cannot_be_copied_is_searched_itself(net):
    model = wrapped(net.eval())
    assert prepared(model, inputs()) is model


class StraightThrough(torch.autograd.Function):
    """Eight levels forwards, nothing backwards: torch.fx sees its steps and not its slope."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x * 7) / 7

    @staticmethod
    def backward(ctx, slope):
        return slope


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, slope):
        return slope / 2


class Unusual(nn.Module):
    """A small network of which one layer is what the test wants."""

    def __init__(self, middle, channels=3, side=16):
        super().__init__()
        self.before, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.middle, self.after = middle, nn.Linear(4 * side * side, 5)

    def forward(self, x):
        return self.after(self.middle(torch.relu(self.norm(self.before(x)))).flatten(1))


class Plain(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Blind(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            rounded = torch.tanh(x)
        return rounded + x


class Droops(nn.Module):
    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.5, self.training)


class Shared(nn.Module):
    """One convolution and one norm, both used twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(self.norm(self.conv(x))))


def slopes(way, x):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(way(leaf)[:, 1].sum(), leaf)[0]


@pytest.mark.parametrize(
    ("middle", "copied"),
    [
        (lambda: Plain(StraightThrough.apply), False),
        (lambda: Plain(Halved.apply), False),
        (Blind, False),
        (lambda: Plain(lambda z: z + (torch.round(z * 7) / 7 - z).detach()), True),
        (Droops, True),
        (Shared, True),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1)), True),
    ],
    ids=["straight through", "own slope", "no gradient", "detached", "dropout", "shared layers", "weight norm"],
)
def test_unusual_layers_are_copied_with_their_slopes_or_not_at_all(middle, copied):
    model = wrapped(Unusual(middle()).eval())
    found = prepared(model, inputs())
    assert (found.swift is not None) == copied
    if copied:
        x = inputs(9)
        assert torch.allclose(found.swift.ask(x), model.module(x), rtol=1e-4, atol=1e-5)
        assert torch.allclose(slopes(found.swift.ask, x), slopes(model.module, x), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 1, 1)])
def test_gray_and_tiny_pictures_are_copied_too(shape):
    net = Unusual(nn.Identity(), shape[0], shape[1]).eval()
    model = settle(hf.wrap(net, bounds=(0, 1), output="logits"), inputs(shape=shape))
    x = inputs(5, shape)
    assert torch.allclose(prepared(model, x).swift.ask(x), model.module(x), rtol=1e-4, atol=1e-5)


def test_how_a_model_is_searched_does_not_depend_on_the_data():
    model = wrapped(trained("resnet18", width=4))
    one, other = prepared(model, inputs(1)).swift, prepared(model, torch.zeros(9, *SHAPE)).swift
    assert (one.slack, one.piece) == (other.slack, other.piece)


def test_functions_and_foreign_models_are_searched_themselves():
    assert prepared(small_net(), inputs(shape=(3, 8, 8))).swift is None


def test_a_copy_that_disagrees_is_not_used(monkeypatch):
    model = wrapped(trained("cnn", width=4))

    def wrong(net, honest=module.folded):
        made = honest(net)
        made.net.get_parameter("head.bias").data[0] += 0.1
        return made

    monkeypatch.setattr(module, "folded", wrong)
    assert prepared(model, inputs()) is model


def test_the_original_keeps_its_mode_its_layout_and_its_weights():
    net = trained("resnet18", width=4).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    prepared(wrapped(net), inputs())
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert net.stem[0].weight.is_contiguous()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_pieces_are_as_large_as_the_cache():
    assert piece_of(inputs(shape=(3, 32, 32))) == 64
    assert piece_of(inputs(n=1, shape=(3, 512, 512))) == 8


def lie(honest, y):
    """A copy that calls every point a success, with slopes of its own."""
    return lambda z: honest(z) + 3 * (z - z.detach()).sum(1, keepdim=True) - 9 * torch.nn.functional.one_hot(y, 3).to(z)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_a_copy_that_lies_breaks_nothing_and_loses_nothing(case):
    model, x, y = setting(n=4)
    y = y[:1].expand(4)  # each row of one class, so that the lie knows whom to blame
    x = x[:1].expand(4, -1).contiguous()
    never = linear(torch.zeros(3, 12), torch.nn.functional.one_hot(y[:1], 3)[0].double(), space=model.space)
    for honest in (model, never):
        liar = dataclasses.replace(honest, swift=Swift(lie(honest.module, y[:1]), 1e-9))
        plain, out = run(case.attack, honest, x, y, case.threat), run(case.attack, liar, x, y, case.threat)
        assert out.status == plain.status
        if honest is never:
            assert set(out.status) == {"unbroken"}
            assert (out.margin > 0).all()
            assert (out.queries >= plain.queries).all()


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("piece", [1, 3])
def test_pieces_change_no_bit(case, piece):
    model, x, y = setting(n=5)
    model = alone(model)
    a, b = (
        run(case.attack, dataclasses.replace(model, swift=Swift(model.module, 1e-12, p)), x, y, case.threat)
        for p in (0, piece)
    )
    assert a.status == b.status
    assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("adversarial", "margin", *BOOKS))


@pytest.mark.parametrize("case", SOME, ids=str)
def test_an_exact_copy_changes_no_result(case):
    model, x, y = setting(n=5)
    plain = run(case.attack, model, x, y, case.threat)
    out = run(case.attack, dataclasses.replace(model, swift=Swift(model.module, 1e-9)), x, y, case.threat)
    assert out.status == plain.status
    assert torch.equal(out.adversarial, plain.adversarial)
    assert torch.equal(out.queries, plain.queries)


def test_what_lies_within_the_slack_is_asked_of_the_original():
    model, x, y = setting(n=8)
    attack, threat = hf.attacks.Pgd(steps=5), "linf:0.3"
    plain = run(attack, model, x, y, threat)
    sure, unsure = (
        run(attack, dataclasses.replace(model, swift=Swift(model.module, slack)), x, y, threat) for slack in (0.0, 1e9)
    )
    assert plain.success.any()
    assert torch.equal(sure.checks, plain.checks)
    assert (unsure.checks > plain.checks).all()
    assert torch.equal(unsure.adversarial, plain.adversarial)


def test_a_query_budget_is_counted_in_questions_to_the_model_itself():
    model, x, y = setting(n=3)

    def never_asked(z):
        raise AssertionError("the copy was asked")

    swift = dataclasses.replace(model, swift=Swift(never_asked, 0.0))
    assert run(hf.attacks.Pgd(steps=5), swift, x, y, "linf:0.3,queries=3").queries.max() <= 3


def ensemble(nets, **options):
    return settle(hf.wrap(nets, bounds=(0, 1), output="logits", **options), inputs())


@pytest.mark.parametrize("options", [{}, {"vote": "logits"}, {"weights": [3, 1]}], ids=str)
def test_an_ensemble_is_searched_on_the_copies_of_its_members(options):
    model = ensemble([trained("cnn", width=4), trained("resnet18", width=4)], **options)
    found = prepared(model, inputs())
    x = inputs(9)
    assert found.swift is not None
    assert torch.allclose(found.swift.ask(x), model.module(x), rtol=1e-4, atol=1e-5)
    assert torch.allclose(slopes(found.swift.ask, x), slopes(model.module, x), rtol=1e-3, atol=1e-5)
    assert found.searched(x).scores is not None
    assert not any(isinstance(m, nn.BatchNorm2d) for ask in found.swift.ask.asks for m in ask.ask.ask.net.modules())


def test_the_copy_of_an_ensemble_is_used(monkeypatch):
    model = ensemble([trained("cnn", width=4), trained("cnn", width=4)])
    asked, honest = [], module._Together.__call__

    def counted(self, x):
        asked.append(len(x))
        return honest(self, x)

    monkeypatch.setattr(module._Together, "__call__", counted)
    x = inputs()
    out = run(hf.attacks.Pgd(steps=6), model, x, model.predict(x), "linf:0.03")
    assert len(asked) > 3
    assert set(out.status) <= {"broken", "unbroken"}


@pytest.mark.parametrize(("steps", "copies"), [(FEW, 0), (FEW + 1, 1)])
def test_few_passes_are_not_worth_a_copy(steps, copies, monkeypatch):
    made = []
    monkeypatch.setattr(driver, "prepared", lambda model, x: made.append(len(x)) or prepared(model, x))
    model, x = wrapped(trained("cnn", width=4)), inputs()
    run(hf.attacks.Pgd(steps=steps), model, x, model.predict(x), "linf:0.03")
    assert len(made) == copies


@pytest.mark.parametrize("vote", ["probabilities", "labels"])
def test_an_ensemble_with_a_member_that_cannot_be_copied_is_searched_itself(vote):
    model = ensemble([trained("cnn", width=4), build("mlp", shape=SHAPE, classes=5)], vote=vote)
    assert prepared(model, inputs()).swift is None
