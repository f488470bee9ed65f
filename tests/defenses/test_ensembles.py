"""Ensembles: who is in them, what they learn from, what they minimize, and that attacks see through all members."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import holdfast as hf
from cases.ensembles import ENSEMBLES, ONE
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import DataError, ModelError
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import drawn
from holdfast.defenses.ensembles.adaptive_diversity import Diverse, entropy, volume
from holdfast.defenses.ensembles.bagging import Bagging
from holdfast.defenses.ensembles.boosting import Boosting, reweighted
from holdfast.defenses.ensembles.stacking import Stacking, parts, regression
from holdfast.defenses.ensembles.voting import Voting
from holdfast.learning.fit import Fit
from holdfast.learning.learner import Learner
from holdfast.models.settle import fingerprint

every = pytest.mark.parametrize("case", ENSEMBLES, ids=str)


def clouds(n=120, classes=3, seed=0):
    """Classes around corners of the unit square."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centers = torch.tensor([[0.2, 0.2], [0.8, 0.2], [0.5, 0.8], [0.2, 0.8]])[:classes]
    return Dataset((centers[y] + 0.1 * torch.randn(n, 2, generator=draw)).clamp(0, 1), y)


@every
def test_it_learns_repeats_itself_and_leaves_everything_as_it_was(case):
    data, state = clouds(), torch.get_rng_state()
    before = data.x.clone()
    model, again = case.learner.fit(data, 3), case.learner.fit(data, 3)
    other = case.learner.fit(data, 4)
    assert (model.predict(data.x) == data.y).double().mean() > 0.8
    assert torch.equal(model.answer(data.x).scores, again.answer(data.x).scores)
    assert fingerprint(model, (2,)) == fingerprint(again, (2,)) != fingerprint(other, (2,))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(data.x, before)


@every
def test_gradients_go_through_every_member(case):
    data = clouds()
    model = case.learner.fit(data, 0)
    x = data.x[:20].double()
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.answer(leaf, gradient=True).scores[:, 1].sum(), leaf)
    step = 1e-4
    for j in range(2):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[j] = step
        ends = [model.answer(x + s * shift).scores[:, 1].double() for s in (1, -1)]
        seen = (ends[0] - ends[1]) / (2 * step)
        assert ((seen - slope[:, j]).abs() < 0.02 * slope.norm(dim=1) + 5e-2).double().mean() > 0.8
    assert "broken" in run(Pgd(steps=10), model, data.x, data.y, "linf:0.3").status


def test_a_bootstrap_sample_repeats_rows_and_copies_share_a_group():
    data = clouds(200)
    one, again = drawn(data, 5), drawn(data, 5)
    assert torch.equal(one.x, again.x)
    assert len(one) == len(data)
    left_out = len(data) - len(torch.unique(one.groups))
    assert 0.25 < left_out / len(data) < 0.5  # (1 - 1/n)^n is near exp(-1)
    for group in torch.unique(one.groups)[:20]:
        assert len(torch.unique(one.x[one.groups == group], dim=0)) == 1


def test_weights_choose_the_rows():
    data = clouds(400)
    weights = torch.where(torch.arange(400) < 100, 9.0, 1.0)
    share = float((drawn(data, 0, weights).groups < 100).double().mean())
    assert share == pytest.approx(0.75, abs=0.07)


def test_members_of_a_bag_differ():
    model = Bagging(of=ONE, members=2).fit(clouds(), 0)
    members = model.labels.source.ask.members
    assert len({fingerprint(m, (2,)) for m in members}) == 2


def test_the_first_weights_are_those_of_scikit_learn():
    """SAMME by AdaBoostClassifier on stumps: the same errors, the same votes."""
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    data = clouds(150, seed=2)
    theirs = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=3, random_state=0)
    theirs.fit(data.x.numpy(), data.y.numpy())
    weights = torch.ones(150, dtype=torch.float64) / 150
    for stump, error, said in zip(theirs.estimators_, theirs.estimator_errors_, theirs.estimator_weights_, strict=True):
        wrong = torch.from_numpy(stump.predict(data.x.numpy()) != data.y.numpy())
        assert float(weights[wrong].sum()) == pytest.approx(error)
        weights, ours = reweighted(weights, wrong, 3)
        assert ours == pytest.approx(said)


def test_a_member_that_guesses_says_nothing():
    weights, said = reweighted(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([True, True, False]), 2)
    assert said == 0.0
    assert weights.tolist() == pytest.approx([1 / 3] * 3)
    _, sure = reweighted(torch.ones(3) / 3, torch.zeros(3, dtype=torch.bool), 3)
    assert math.isfinite(sure)
    assert sure > 10


def test_boosting_beats_one_stump():
    from sklearn.tree import DecisionTreeClassifier

    data, fresh = clouds(300, classes=4), clouds(300, classes=4, seed=1)
    stump = Fit(estimator=DecisionTreeClassifier(max_depth=1))
    one, many = stump.fit(data, 0), Boosting(of=stump, members=15, vote="labels").fit(data, 0)
    right = [float((m.predict(fresh.x) == fresh.y).double().mean()) for m in (one, many)]
    assert right[1] > right[0] + 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rote(Learner):
    """Knows what it has seen by heart, and nothing else."""

    def fit(self, dataset, seed=0, on_event=None):
        seen = {tuple(row.tolist()): int(label) for row, label in zip(dataset.x, dataset.y, strict=True)}

        def says(x):
            rows = [seen.get(tuple(float(v) for v in row), -1) for row in x]
            out = np.full((len(x), dataset.n_classes), 1 / dataset.n_classes)
            for i, label in enumerate(rows):
                if label >= 0:
                    out[i] = 0.01 / (dataset.n_classes - 1)
                    out[i, label] = 0.99
            return out

        return hf.models.settle.settle(hf.wrap(says, output="probabilities", classes=dataset.n_classes), dataset.x)


def test_stacking_hears_members_on_what_they_have_not_seen():
    """A member that learns by heart looks perfect on its own data; out of fold it says nothing and gets no weight."""
    data = clouds(120)
    model = Stacking(of=(Rote(), ONE), folds=3).fit(data, 0)
    weight = model.labels.source.ask.weight
    assert weight[:3].abs().max() < 1e-3
    assert weight[3:].abs().max() > 0.05


def test_folds_never_split_a_group():
    data = dataclasses.replace(clouds(60), groups=torch.arange(60) // 4)
    part = parts(data, 3, 0)
    assert all(len(torch.unique(part[data.groups == g])) == 1 for g in range(15))
    assert torch.bincount(part).tolist() == [20, 20, 20]
    with pytest.raises(DataError, match="HF109"):
        parts(data, 16, 0)


def test_the_regression_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    data = clouds(90)
    said = data.x.double()
    weight, bias = regression(said, data.y, 3, 1e-2)
    theirs = LogisticRegression(C=1 / (2 * 1e-2 * 90), tol=1e-10, max_iter=2000).fit(said.numpy(), data.y.numpy())
    ours = (said @ weight + bias).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(said.numpy()), atol=1e-4)


def test_diversity_is_the_entropy_and_the_volume_of_the_paper():
    draw = torch.Generator().manual_seed(0)
    logits, y = torch.randn(3, 4, 5, generator=draw).double(), torch.tensor([0, 4, 2, 2])
    p = logits.softmax(2).numpy()
    for i in range(4):
        mean = p[:, i].mean(0)
        assert float(entropy(logits)[i]) == pytest.approx(-(mean * np.log(mean)).sum())
        rest = np.delete(p[:, i], int(y[i]), axis=1)
        rows = rest / np.linalg.norm(rest, axis=1, keepdims=True)
        assert float(volume(logits, y)[i]) == pytest.approx(np.log(np.linalg.det(rows @ rows.T)), abs=0.02)


def test_without_its_terms_adp_is_the_sum_of_the_members_losses():
    data = clouds()
    learner = ENSEMBLES[-1].learner
    model = learner.fit(data, 0)
    net = model.labels.source.ask.net
    from holdfast.learning.objective import Step

    step = Step(
        net=net, logits=net, x=data.x, harder=data.x, y=data.y, smoothing=0.0, classes=3, done=0.0,
        draw=torch.Generator(),
    )  # fmt: skip
    want = sum(cross_entropy(member(data.x), data.y) for member in net.members)
    assert float(Diverse(alpha=0.0, beta=0.0)(step)) == pytest.approx(float(want), rel=1e-5)
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize("make", [lambda: Voting(of=(ONE,)), lambda: Stacking(of=(ONE,))], ids=["vote", "stack"])
def test_one_learner_is_no_ensemble(make):
    with pytest.raises(ModelError, match="HF209"):
        make()
