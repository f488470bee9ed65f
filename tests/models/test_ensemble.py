"""Ensembles behind `wrap`."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import ModelError
from holdfast.data.dataset import Dataset
from holdfast.defenses.validation.range_check import RangeCheck
from holdfast.evaluation.replay import recheck
from holdfast.evaluation.store import Folder
from holdfast.evaluation.suites import aware, published
from holdfast.models.ensemble import Head, from_members, soft, together_of
from holdfast.models.settle import fingerprint, settle
from holdfast.models.stage import Stage
from holdfast.models.weights import fit_weights
from holdfast.models.wrap import wrap
from holdfast.threats.literals import parse
from holdfast.threats.space import Box


def members(n=3, classes=4):
    torch.manual_seed(0)
    return [nn.Linear(5, classes) for _ in range(n)]


@pytest.fixture
def x():
    return torch.rand(30, 5, generator=torch.Generator().manual_seed(1))


def test_mean_of_probabilities(x):
    nets = members()
    model = settle(wrap(nets), x)
    want = torch.stack([net(x).softmax(1) for net in nets]).mean(0)
    assert torch.allclose(model.scores(x).exp(), want, atol=1e-6)
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(model.module(leaf)[:, 1].sum(), leaf)
    step = 1e-3
    for j in range(5):
        shift = torch.zeros(5)
        shift[j] = step
        slope = (model.scores(x + shift)[:, 1] - model.scores(x - shift)[:, 1]) / (2 * step)
        assert torch.allclose(slope, g[:, j], atol=1e-3)


def test_mean_of_logits_with_mixed_endings(x):
    nets = members()
    model = settle(wrap([nets[0], nn.Sequential(nets[1], nn.Softmax(1)), nets[2]], vote="logits"), x)
    assert torch.allclose(model.scores(x), torch.stack([net(x) for net in nets]).mean(0), atol=1e-6)


def test_majority_ties_go_to_the_lowest_class(x):
    nets = members(2)
    model = settle(wrap(nets, vote="labels"), x)
    first, second = (net(x).argmax(1) for net in nets)
    assert torch.equal(model.labels(x), torch.minimum(first, second))
    assert model.scores is None
    assert model.module is None
    assert model.classes == 4


def test_members_of_other_kinds(x):
    from sklearn.neighbors import KNeighborsClassifier

    nets = members()
    y = nets[0](x).argmax(1).clamp(max=3)
    y[:4] = torch.arange(4)
    neighbors = KNeighborsClassifier().fit(x.double().numpy(), y.numpy())
    model = settle(wrap([nets[0], neighbors]), x)
    assert model.module is None
    want = (nets[0](x).softmax(1) + torch.from_numpy(neighbors.predict_proba(x.double().numpy()))) / 2
    assert torch.allclose(model.scores(x).exp(), want, atol=1e-6)


def test_all_members_are_borrowed(x):
    nets = [net.train() for net in members()]
    model = settle(wrap(nets), x)
    with model.borrowed():
        assert not any(net.training for net in nets)
    assert all(net.training for net in nets)


def test_the_fingerprint_sees_every_member(x):
    nets = members()
    before = fingerprint(settle(wrap(nets), x), (5,))
    with torch.no_grad():
        nets[2].bias[0] += 1e-6
    assert fingerprint(settle(wrap(nets), x), (5,)) != before


@pytest.mark.parametrize(("given", "vote"), [([], "probabilities"), (members(1), "logits"), (members(2), "loudest")])
def test_impossible_ensembles_are_refused(given, vote):
    with pytest.raises(ModelError, match="HF209"):
        wrap(given, vote=vote)


def test_members_with_different_classes_are_refused(x):
    with pytest.raises(ModelError, match="HF209"):
        settle(wrap([nn.Linear(5, 3), nn.Linear(5, 4)]), x)


def test_scores_of_members_that_only_decide_cannot_be_averaged(x):
    with pytest.raises(ModelError, match="HF209"):
        wrap([wrap(lambda x: x, output="labels", classes=3), members()[0]])


def test_weighted_means_are_numpys_averages(x):
    nets = members()
    p = torch.stack([net(x).softmax(1) for net in nets]).detach().double().numpy()
    z = torch.stack([net(x) for net in nets]).detach().double().numpy()
    model = settle(wrap(nets, weights=[2, 0, 6]), x)
    assert np.allclose(model.scores(x).exp().double().numpy(), np.average(p, axis=0, weights=[2, 0, 6]), atol=1e-6)
    logits = settle(wrap(nets, weights=[2, 0, 6], vote="logits"), x)
    assert np.allclose(logits.scores(x).double().numpy(), np.average(z, axis=0, weights=[2, 0, 6]), atol=1e-6)
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(model.module(leaf)[:, 1].sum(), leaf)
    assert torch.isfinite(g).all()
    assert model.stages == ("vote of probabilities weighted 0.25 0 0.75",)


def test_equal_weights_are_no_weights(x):
    nets = members()
    for vote in ("probabilities", "logits"):
        plain, same = (settle(wrap(nets, vote=vote, weights=w), x) for w in (None, [1, 1, 1]))
        assert torch.allclose(plain.scores(x), same.scores(x), atol=1e-6)
        other = settle(wrap(nets, vote=vote, weights=[1, 1, 2]), x)
        assert fingerprint(other, (5,)) != fingerprint(same, (5,))


class Says(nn.Module):
    """One class for every input."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def forward(self, x):
        return nn.functional.one_hot(torch.full((len(x),), self.said), 4).float()


@pytest.mark.parametrize(
    ("said", "weights", "decided"),
    [
        ((2, 1, 3), [1, 1, 1], 1),
        ((3, 3, 1), [0.1, 0.2, 0.3], 1),  # 0.1 + 0.2 > 0.3 in floating point
        ((1, 1, 3), [0.1, 0.2, 0.31], 3),
        ((2, 1, 3), [5, 1, 1], 2),
    ],
)
def test_weighted_votes_and_their_ties(x, said, weights, decided):
    nets = [Says(one) for one in said]
    model = settle(wrap(nets, vote="labels", weights=weights, output="labels", classes=4), x)
    assert (model.labels(x) == decided).all()


@pytest.mark.parametrize(
    "weights", [[1, 1], [1, -1, 1], [0, 0, 0], [1, float("nan"), 1], [float("inf"), 1, 1], ["a", 1, 1], "abc"]
)
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ModelError, match="HF267") as caught:
        wrap(members(), weights=weights)
    assert "\n" not in str(caught.value).split(" Fix")[0]


def test_weights_are_for_lists():
    with pytest.raises(ModelError, match="HF207"):
        wrap(members()[0], weights=[1])


@pytest.mark.parametrize("vote", ["probabilities", "logits"])
def test_fitted_weights_are_the_best_on_the_simplex(x, vote):
    from scipy.optimize import minimize

    nets = members()
    y = torch.where(torch.arange(30) % 3 == 0, nets[1](x).argmax(1), nets[0](x).argmax(1))
    model = fit_weights(wrap([net.double() for net in nets], vote=vote), x.double(), y)

    def loss(w):
        answers = [net(x.double()).detach() for net in nets]
        if vote == "logits":
            return float(nn.functional.cross_entropy(sum(a * b for a, b in zip(w, answers, strict=True)), y))
        mixed = sum(a * b.softmax(1) for a, b in zip(w, answers, strict=True))
        return float(-mixed.gather(1, y[:, None]).log().mean())

    best = minimize(
        loss,
        [1 / 3] * 3,
        method="SLSQP",
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    weights = together_of(model).weights
    assert sum(weights) == pytest.approx(1)
    assert loss(weights) <= best.fun + 1e-6
    assert loss(weights) < loss([1 / 3] * 3) - 1e-3


def test_weights_cannot_be_fitted_to_a_majority(x):
    with pytest.raises(ModelError, match="HF267"):
        fit_weights(wrap(members(), vote="labels"), x, torch.zeros(30, dtype=torch.int64))


def test_the_soft_twin_has_the_same_members_and_a_gradient(x):
    nets = members()
    hard = settle(wrap(nets, vote="labels", weights=[3, 1, 1]), x)
    twin = settle(soft(hard), x)
    assert hard.module is None
    assert twin.module is not None
    assert torch.equal(twin.scores(x), settle(wrap(nets, weights=[3, 1, 1]), x).scores(x))
    assert soft(twin) is twin
    with pytest.raises(ModelError, match="HF268"):
        soft(wrap(nets[0]))


def test_a_soft_twin_stays_behind_its_stages(x):
    from holdfast.defenses.preprocessing.bit_depth import BitDepth

    twin = settle(soft(wrap(members(), vote="labels") | BitDepth(bits=2)), x)
    assert twin.guards == ("bit_depth(bits=2)",)
    assert twin.module is not None


# Members that reject


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bright(Stage):
    """Rejects what is bright in one feature."""

    feature: int
    above: float = 0.5

    def suspicion(self, x, space):
        return 3 * (x[:, self.feature] ** 2 - self.above**2)


def rejecting(vote, weights=None, features=(0, 1, 2), plain=0):
    """Members that each look at another feature, and some that reject nothing."""
    nets = members(len(features) + plain)
    made = [wrap(net) | Bright(feature=k) for net, k in zip(nets, features, strict=False)]
    return wrap([*made, *map(wrap, nets[len(features) :])], vote=vote, weights=weights)


def test_a_linear_model_on_labels_is_refused(x):
    head = Head(torch.zeros(6, 3), torch.zeros(3))
    with pytest.raises(ModelError, match="HF209"):
        from_members([wrap(net) for net in members(2)], Box((0.0, 1.0)), vote="labels", head=head)


def test_what_is_known_of_stages_before_members_is_used_against_the_ensemble(x):
    part = Dataset(x, torch.arange(len(x)) % 2, bounds=(0, 1))
    one = settle(wrap(members(1)[0]), x)
    guarded = one | RangeCheck(levels=0, fpr=0.5).fit(one, part)
    both = settle(from_members([guarded, guarded], one.space), x)
    assert torch.equal(both.mended(x + 0.3), guarded.mended(x + 0.3))
    assert published(both, parse("linf:0.1")) == published(guarded, parse("linf:0.1")) != ()


def of_each(x, features=(0, 1, 2)):
    return torch.stack([Bright(feature=k).suspicion(x, None) for k in features])


@pytest.mark.parametrize("plain", [0, 2])
@pytest.mark.parametrize("weights", [None, [1, 2, 3], [3, 0, 1], [0.1, 0.2, 0.3]])
def test_a_majority_of_members_rejects(x, weights, plain):
    full = None if weights is None else [*weights, *[0.5] * plain]
    shares = torch.tensor(full if full is not None else [1.0] * (3 + plain), dtype=torch.float64)
    model = settle(rejecting("labels", full, plain=plain), x)
    against = (shares[:3, None] * (of_each(x) > 0)).sum(0)
    expected = against > shares.sum() / 2 + 1e-9
    assert torch.equal(model.suspicion(x) > 0, expected)
    assert expected.any() or plain
    assert torch.equal(model.answer(x).suspicion, model.suspicion(x))
    assert model.stages[0].endswith(", rejecting by majority")


@pytest.mark.parametrize("vote", ["probabilities", "logits"])
def test_other_votes_reject_by_the_mean_suspicion_of_members_that_have_one(x, vote):
    model = settle(rejecting(vote, [1, 2, 3, 9], plain=1), x)
    expected = (of_each(x) * torch.tensor([1, 2, 3.0])[:, None] / 6).sum(0)
    assert torch.allclose(model.suspicion(x), expected, atol=1e-6)
    assert torch.allclose(settle(rejecting(vote), x).suspicion(x), of_each(x).mean(0), atol=1e-6)
    assert model.stages[0].endswith(", rejecting by mean suspicion")


def test_an_ensemble_of_members_that_accept_everything_rejects_nothing(x):
    assert settle(wrap(members()), x).suspicion is None
    alone = settle(rejecting("labels", features=(0,), plain=1), x)
    assert (alone.suspicion(x) == -torch.inf).all(), "one of two is no majority"
    silent = settle(rejecting("probabilities", [0, 1], features=(0,), plain=1), x)
    assert (silent.suspicion(x) == -torch.inf).all(), "the only one that rejects has no weight"


@pytest.mark.parametrize("vote", ["probabilities", "labels"])
def test_the_common_suspicion_has_its_exact_gradient(x, vote):
    model, x = settle(rejecting(vote), x), x.double()
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(model.suspicion(leaf).sum(), leaf)
    for j in range(5):
        shift = torch.zeros(5, dtype=torch.float64)
        shift[j] = 1e-6
        slope = (model.suspicion(x + shift) - model.suspicion(x - shift)) / 2e-6
        assert torch.allclose(slope, g[:, j], atol=1e-6)
    assert (g != 0).any(1).all()


def test_a_suspicion_that_is_no_number_rejects(x):
    broken = dataclasses.replace(wrap(members()[0]), suspicion=lambda x: x[:, 0] * torch.nan)
    silent = dataclasses.replace(wrap(members()[1]), suspicion=lambda x: -x[:, 0].abs() * torch.inf)
    model = settle(wrap([broken, silent]), x)
    assert (model.suspicion(x) == torch.inf).all()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Moody(Bright):
    """Never twice of the same opinion."""

    random = True

    def suspicion(self, x, space):
        return super().suspicion(x, space) + 0.01 * torch.rand(len(x)).to(x)


def test_an_ensemble_whose_suspicion_wavers_is_random(x):
    model = settle(wrap([wrap(net) | Moody(feature=0) for net in members(2)]), x)
    assert model.random


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dark(Bright):
    """Rejects what is dark in one feature, which is where attacks on these members go."""

    def suspicion(self, x, space):
        return 0.2 - x[:, self.feature]


class Brightness(nn.Module):
    """Class 0 above a weighted mean of 0.35, class 1 below."""

    def __init__(self, seed):
        super().__init__()
        w = 1 + torch.rand(5, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("w", 10 * w / w.sum())

    def forward(self, x):
        z = (x - 0.35) @ self.w
        return torch.stack([z, -z], 1)


def attacked(vote):
    """An ensemble whose members reject what is darker than need be, and inputs that all accept."""
    nets = [Brightness(k) for k in range(3)]
    x = 0.45 + 0.1 * torch.rand(24, 5, generator=torch.Generator().manual_seed(0))
    model = settle(wrap([wrap(net) | Dark(feature=k) for k, net in enumerate(nets)], vote=vote), x)
    data = hf.Dataset(x, torch.zeros(24, dtype=torch.long), classes=range(2))
    assert not (model.suspicion(x) > 0).any()
    plain = hf.run(Pgd(steps=20), settle(wrap(nets), x), x, data.y, "linf:0.4", perturb=True)
    assert plain.success.all()
    assert (model.suspicion(plain.strongest) > 0).all(), "what does not know it is caught"
    return model, data


def test_an_audit_must_be_wrong_and_accepted_by_the_vote(tmp_path):
    model, data = attacked("probabilities")
    done = hf.audit(model, data, threat="linf:0.4", suite=Pgd(steps=20, step=0.1), out=tmp_path / "run")
    assert done.samples["status"].to_pylist().count("broken") > 20
    assert recheck(Folder(tmp_path / "run"), model, data).holds, "every stored input is wrong and accepted"
    assert any("must be accepted by the vote of" in line for line in aware(model))


def test_a_majority_is_attacked_through_decisions_or_its_soft_twin():
    model, data = attacked("labels")
    for out in (
        hf.run(HopSkipJump(steps=3, samples=20), model, data.x, data.y, "linf:0.4"),
        hf.transfer(Pgd(steps=20, step=0.1), soft(model), model, data.x, data.y, "linf:0.4"),
    ):
        assert out.success.double().mean() > 0.8
        assert (model.suspicion(out.adversarial[out.success]) <= 0).all()
