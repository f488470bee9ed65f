"""Ensembles behind `wrap`."""

import pytest
import torch
from torch import nn

from holdfast.core.errors import ModelError
from holdfast.models.settle import fingerprint, settle
from holdfast.models.wrap import wrap


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
    from sklearn.naive_bayes import GaussianNB

    nets = members()
    y = nets[0](x).argmax(1).clamp(max=3)
    y[:4] = torch.arange(4)
    bayes = GaussianNB().fit(x.double().numpy(), y.numpy())
    model = settle(wrap([nets[0], bayes]), x)
    assert model.module is None
    want = (nets[0](x).softmax(1) + torch.from_numpy(bayes.predict_proba(x.double().numpy()))) / 2
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


@pytest.mark.parametrize("vote", ["probabilities", "logits", "labels"])
def test_weights_count(x, vote):
    nets, w = members(), torch.tensor([0.5, 0.3, 0.2])
    model = settle(wrap(nets, vote=vote, weights=[5, 3, 2]), x)
    z = torch.stack([net(x) for net in nets])
    if vote == "labels":
        votes = torch.nn.functional.one_hot(z.argmax(2), 4) * w[:, None, None]
        assert torch.equal(model.labels(x), votes.sum(0).argmax(1))
        return
    want = (w[:, None, None] * (z if vote == "logits" else z.softmax(2))).sum(0)
    assert torch.allclose(model.scores(x) if vote == "logits" else model.scores(x).exp(), want, atol=1e-6)
    assert fingerprint(model, (5,)) != fingerprint(settle(wrap(nets, vote=vote), x), (5,))


def test_all_weight_on_one_member_is_that_member(x):
    nets = members()
    model = settle(wrap(nets, weights=[0, 1, 0]), x)
    assert torch.allclose(model.scores(x), nets[1](x).log_softmax(1), atol=1e-6)


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [0, 0, 0], [1, float("nan"), 1]], ids=str)
def test_weights_that_make_no_vote_are_refused(weights):
    with pytest.raises(ModelError, match="HF209"):
        wrap(members(), weights=weights)
    with pytest.raises(ModelError, match="HF207"):
        wrap(members()[0], weights=weights)


def test_an_ensemble_is_searched_on_copies_of_its_members():
    from holdfast.models.networks import build
    from holdfast.models.prepared import prepared

    torch.manual_seed(0)
    nets = [build("cnn", shape=(1, 12, 12), classes=3, width=4).eval() for _ in range(2)]
    x = torch.rand(10, 1, 12, 12)
    model = settle(wrap(nets), x)
    fast = prepared(model, x)
    assert fast.swift is not None
    assert torch.allclose(fast.swift.ask(x), model.scores(x), atol=1e-5)
    assert prepared(settle(wrap(nets, vote="labels"), x), x).swift is None
    mixed = settle(wrap([nets[0], nn.Sequential(nn.Flatten(), nn.Linear(144, 3))]), x)
    assert prepared(mixed, x).swift is None


@pytest.mark.parametrize("kind", ["vote", "bag", "boost", "stack"])
def test_meta_estimators_of_scikit_learn(kind):
    from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    x = torch.rand(120, 3, generator=torch.Generator().manual_seed(0)).double()
    y = ((x.sum(1) * 1.99).long() % 3).numpy()
    pair = [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3, random_state=0))]
    made = {
        "vote": lambda: VotingClassifier(pair, voting="soft"),
        "bag": lambda: BaggingClassifier(DecisionTreeClassifier(max_depth=3), 4, random_state=0),
        "boost": lambda: AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=4, random_state=0),
        "stack": lambda: StackingClassifier(pair, cv=3),
    }[kind]().fit(x.numpy(), y)
    model = settle(wrap(made), x)
    assert torch.equal(model.predict(x), torch.from_numpy(made.predict(x.numpy())))
    assert model.scores is not None
