"""Learners of ensembles against their papers' formulas, scikit-learn, numpy and finite differences."""

import dataclasses
import inspect
import random

import numpy as np
import pytest
import torch

import holdfast as hf
from cases.ensembles import ENSEMBLES, SMALL
from holdfast.core.errors import DataError, ModelError, ParameterError
from holdfast.defenses.ensembles._members import bag, draw_of, folds
from holdfast.defenses.ensembles.adaptive_diversity import entropy, log_det
from holdfast.defenses.ensembles.boosting import Boosting, weight_of
from holdfast.defenses.ensembles.stacking import Stacking, head_of
from holdfast.learning.learner import Learner
from holdfast.models.ensemble import soft, together_of
from holdfast.models.settle import settle

every = pytest.mark.parametrize("case", ENSEMBLES, ids=str)
CLASSES = 4


def blobs(n=160, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % CLASSES
    centers = torch.rand(CLASSES, 5, generator=torch.Generator().manual_seed(9))
    x = (centers[y] + 0.12 * torch.randn(n, 5, generator=draw)).clamp(0, 1)
    return hf.Dataset(x.to(dtype), y, classes=tuple("abcd"))


@pytest.fixture(scope="module")
def data():
    return blobs()


@pytest.fixture(scope="module")
def made(data):
    return {str(case): case.learner.fit(data, 0) for case in ENSEMBLES}


def test_every_ensemble_of_the_catalog_has_a_row():
    from holdfast.core.lazy import catalog

    names = set(catalog("holdfast.defenses", "ensembles"))
    assert names == {str(case) for case in ENSEMBLES}
    assert all(not inspect.isabstract(type(case.learner)) for case in ENSEMBLES)


@every
def test_members_differ_and_the_same_seed_gives_the_same_model(case, data, made):
    model = made[str(case)]
    digests = [member.parameters() for member in together_of(model).members]
    assert len(set(digests)) == len(digests) >= 2
    torch.manual_seed(77)
    np.random.seed(77)
    random.seed(77)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    again = case.learner.fit(data, 0)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    assert again.parameters() == model.parameters()
    assert case.learner.fit(data, 1).parameters() != model.parameters()


@every
def test_the_gradient_through_all_members_is_the_finite_difference(case, data, made):
    model = made[str(case)]
    x = data.x[:6].double()

    def value(rows):
        nets = together_of(model)
        answers = []
        for member in nets.members:
            inside = member.labels.source.ask
            wide = dataclasses.replace(inside, net=inside.net.double())
            answers.append(wide(rows))
        return nets.combined(answers)[:, 1]

    with model.borrowed():
        leaf = x.clone().requires_grad_()
        (exact,) = torch.autograd.grad(value(leaf).sum(), leaf)
        for j in range(5):
            shift = torch.zeros(5, dtype=torch.float64)
            shift[j] = 1e-6
            numeric = (value(x + shift) - value(x - shift)) / 2e-6
            torch.testing.assert_close(numeric, exact[:, j], rtol=1e-4, atol=1e-6)
        for member in together_of(model).members:
            member.labels.source.ask.net.float()
        leaf = data.x[:6].clone().requires_grad_()
        (seen,) = torch.autograd.grad(model.module(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(seen.double(), exact, rtol=1e-3, atol=1e-4)
    assert torch.equal(model.module(data.x), model.scores(data.x))


@every
def test_the_ensemble_is_attacked_jointly(case, data, made):
    model = made[str(case)]
    part = data.take(slice(0, 24))
    out = hf.run(hf.attacks.Pgd(steps=5), model, part.x, model.predict(part.x), "linf:0.6")
    assert "broken" in out.status
    assert out.gradients.sum() > 0


@pytest.mark.parametrize("classes", [2, 4])
def test_boosting_stumps_is_scikit_learns_adaboost(classes):
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    data = blobs(200)
    data = dataclasses.replace(data, y=data.y % classes, classes=tuple("abcd"[:classes]))
    x, y = data.x.double().numpy(), data.y.numpy()
    want = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=6, random_state=0).fit(x, y)
    learner = Boosting(of=hf.Fit(estimator=DecisionTreeClassifier(max_depth=1)), members=6, vote="labels")
    model = learner.fit(data, 0)
    assert len(want.estimator_weights_) == 6
    weights = np.array(together_of(model).weights)
    np.testing.assert_allclose(weights, want.estimator_weights_ / want.estimator_weights_.sum(), rtol=1e-9)
    assert (model.predict(data.x).numpy() == want.predict(x)).all()


def test_samme_by_hand():
    assert weight_of(0.25, 100, 3) == pytest.approx(np.log(3) + np.log(2))
    assert weight_of(0.0, 10, 2) == pytest.approx(np.log(19))
    assert weight_of(2 / 3, 10, 3) == pytest.approx(0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guessing(Learner):
    """Says class 0; no better than chance."""

    def fit(self, dataset, seed=0, on_event=None):
        return hf.wrap(lambda x: np.zeros(len(x), dtype=int), output="labels", classes=dataset.n_classes)


def test_boosting_refuses_members_that_guess(data):
    with pytest.raises(ModelError, match="HF269"):
        Boosting(of=Guessing(), members=3, vote="labels").fit(data)


def test_bags_are_seeded_drawn_with_replacement_and_keep_copies_together(data):
    one, same, other = (bag(data, draw_of(seed, "bag", 0), len(data)) for seed in (0, 0, 1))
    assert torch.equal(one.ids, same.ids)
    assert not torch.equal(one.ids, other.ids)
    assert 0.5 < len(one.ids.unique()) / len(data) < 0.75
    assert torch.equal(one.x, data.x[one.ids])
    assert torch.equal(one.groups, one.ids)
    first, second = one.divide(0.5, 0)
    assert not set(first.ids.tolist()) & set(second.ids.tolist())
    heavy = torch.full((len(data),), 1e-9, dtype=torch.float64)
    heavy[:8] = 1.0
    assert set(bag(data, draw_of(0, "bag", 0), 50, heavy).ids.tolist()) <= set(range(8))
    with pytest.raises(DataError, match="HF109"):
        bag(data, draw_of(0, "bag", 0), 2)


def test_folds_spread_classes_and_keep_groups_whole(data):
    fold = folds(data, 5, 0)
    counts = torch.stack([(fold[data.y == c]).bincount(minlength=5) for c in range(CLASSES)])
    assert (counts == len(data) // CLASSES // 5).all()
    grouped = dataclasses.replace(data, groups=torch.arange(len(data)) // 8)
    fold = folds(grouped, 5, 0)
    assert all(len(fold[grouped.groups == g].unique()) == 1 for g in range(20))
    with pytest.raises(DataError, match="HF109"):
        folds(grouped, 21, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory(Learner):
    """Certain of the samples that it has seen, and of nothing else."""

    seen: list = dataclasses.field(default_factory=list)

    def fit(self, dataset, seed=0, on_event=None):
        self.seen.append(set(dataset.ids.tolist()))
        table = {tuple(row.tolist()): int(y) for row, y in zip(dataset.x, dataset.y, strict=True)}

        def said(x):
            rows = np.full((len(x), dataset.n_classes), 1 / dataset.n_classes)
            for i, row in enumerate(x):
                if tuple(row.tolist()) in table:
                    rows[i] = np.eye(dataset.n_classes)[table[tuple(row.tolist())]]
            return rows

        return hf.wrap(said, output="probabilities", classes=dataset.n_classes)


def test_stacking_learns_from_answers_to_unseen_samples_only(data):
    learner = Stacking(of=(Memory(), Memory()), folds=4)
    answers = learner.unseen(data, 0)
    torch.testing.assert_close(answers, torch.full_like(answers, 1 / CLASSES))
    assert all(len(seen) == 120 for seen in learner.of[0].seen)
    head = head_of(answers, data.y, CLASSES, learner.penalty)
    assert head.weight.abs().max() < 1e-6, "a leak would give the memory all the weight"


def test_the_meta_learner_is_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    draw = torch.Generator().manual_seed(0)
    answers = torch.rand(2, 90, 3, generator=draw, dtype=torch.float64).softmax(2)
    y = (answers[0].argmax(1) + (torch.rand(90, generator=draw) < 0.3)) % 3
    head = head_of(answers, y, 3, 0.01)
    rows = answers.movedim(0, 1).flatten(1).numpy()
    want = LogisticRegression(C=1 / (0.01 * 90), tol=1e-10, max_iter=5000).fit(rows, y.numpy())
    shown = head(answers).softmax(1).numpy()
    np.testing.assert_allclose(shown, want.predict_proba(rows), atol=1e-5)


def test_log_det_and_entropy_are_numpys():
    draw = np.random.default_rng(0)
    p = draw.dirichlet(np.ones(5), size=(3, 7))
    y = draw.integers(5, size=7)
    got = log_det(torch.from_numpy(p), torch.from_numpy(y)).numpy()
    for i in range(7):
        rows = np.delete(p[:, i], y[i], axis=1)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        assert got[i] == pytest.approx(np.log(np.linalg.det(rows @ rows.T + 1e-6 * np.eye(3))), rel=1e-6)
    np.testing.assert_allclose(entropy(torch.from_numpy(p[0])).numpy(), -(p[0] * np.log(p[0])).sum(1), rtol=1e-9)


def test_adaptive_diversity_makes_wrong_answers_differ(data):
    from holdfast.defenses.ensembles.adaptive_diversity import AdaptiveDiversity

    base = dataclasses.replace(SMALL, epochs=8, rate=0.05, smoothing=0.0)

    def spread(beta):
        model = AdaptiveDiversity(of=base, members=2, alpha=0.0, beta=beta).fit(data, 0)
        p = torch.stack([member.scores(data.x).softmax(1) for member in together_of(model).members])
        return float(log_det(p.double(), data.y).mean()), float((model.predict(data.x) == data.y).double().mean())

    (without, _), (with_it, right) = spread(0.0), spread(2.0)
    assert with_it > without + 0.5
    assert right > 0.8


def test_the_joint_attack_on_the_soft_twin_carries_over_to_the_majority(data):
    base = dataclasses.replace(SMALL, epochs=6, rate=0.05)
    model = hf.defenses.Voting(of=(base,), members=3, vote="labels").fit(data, 0)
    assert model.module is None
    twin = soft(model)
    part = data.take(slice(0, 60))
    run = hf.transfer(hf.attacks.Pgd(steps=10), twin, model, part.x, part.y, "linf:0.3")
    right = torch.tensor([status != "wrong" for status in run.status])
    signs = torch.randint(2, part.x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    random = model.predict((part.x + 0.3 * signs).clamp(0, 1)) != part.y  # asked once a row, as the transfer asks
    rate, control = run.status.count("broken") / int(right.sum()), float(random[right].double().mean())
    assert rate > 0.8
    assert control < rate - 0.2


@pytest.mark.parametrize("vote", ["probabilities", "labels"])
def test_weighted_votes_are_scikit_learns(data, vote):
    from sklearn.ensemble import VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.tree import DecisionTreeClassifier

    plain = hf.Dataset(data.x.flatten(1).double(), data.y)
    makers = LogisticRegression(C=0.01), GaussianNB(), DecisionTreeClassifier(max_depth=2, random_state=0)
    of = tuple(hf.Fit(estimator=maker) for maker in makers)
    voting = hf.defenses.Voting(of=of, members=1, weights=(4.0, 3.0, 2.0), vote=vote)
    x, y = plain.x.numpy(), plain.y.numpy()
    how = "hard" if vote == "labels" else "soft"
    theirs = VotingClassifier(list(zip("abc", makers, strict=True)), voting=how, weights=[4, 3, 2]).fit(x, y)
    model = settle(voting.fit(plain, 0), plain.x)
    assert model.predict(plain.x).tolist() == theirs.predict(x).tolist()
    if vote == "probabilities":
        np.testing.assert_allclose(model.scores(plain.x).softmax(1), theirs.predict_proba(x), atol=1e-6)


def test_voting_weights_are_given_or_fitted(data):
    voting = hf.defenses.Voting
    given = voting(of=(SMALL,), members=2, weights=(3.0, 1.0)).fit(data, 0)
    assert together_of(given).weights == (0.75, 0.25)
    strong = dataclasses.replace(SMALL, epochs=8, rate=0.05)
    fitted = voting(of=(SMALL, strong), members=1, holdout=0.25).fit(data, 0)
    weights = together_of(fitted).weights
    assert weights[1] > 0.6


@pytest.mark.parametrize("kind", ["Voting", "Bagging", "Boosting", "AdaptiveDiversity"])
def test_one_member_is_refused(kind):
    with pytest.raises(ModelError, match="HF269"):
        getattr(hf.defenses, kind)(members=1)


def test_impossible_trainings_are_refused(data):
    with pytest.raises(ModelError, match="HF269"):
        hf.defenses.AdaptiveDiversity(of=SMALL, members=4).fit(data)
    with pytest.raises(ModelError, match="HF269"):
        hf.defenses.AdaptiveDiversity(of=dataclasses.replace(SMALL, start=SMALL.fit(data)), members=2).fit(data)
    with pytest.raises(ParameterError, match="HF001"):
        Stacking(of=("network", "other"))
    with pytest.raises(ModelError, match="HF269"):
        Stacking(of=(SMALL,))
