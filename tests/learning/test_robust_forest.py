"""Robust splits against brute force over moves and thresholds, CART at radius zero, and the forest behind `wrap`."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.tree import DecisionTreeClassifier

import holdfast as hf
from cases.training import hints
from holdfast.core.errors import DataError, ParameterError, ThreatError
from holdfast.defenses.training.robust_boosting import RobustBoosting
from holdfast.defenses.training.robust_splitting import RobustSplitting
from holdfast.defenses.training.robust_stumps import RobustStumps
from holdfast.learning.robust_boosting import RobustBoostingClassifier
from holdfast.learning.robust_forest import RobustForestClassifier
from holdfast.learning.robust_split import split, worst
from holdfast.learning.robust_stumps import RobustStumpsClassifier

GRID = np.linspace(0, 1, 41)


def gini(a, b):
    return 0.0 if a + b == 0 else (a + b) * (1 - (a / (a + b)) ** 2 - (b / (a + b)) ** 2)


def by_brute_force(left, free, right):
    """The highest impurity over a grid of shares that go left."""
    moves = itertools.product(GRID * free[0], GRID * free[1])
    return max(gini(left[0] + a, left[1] + b) + gini(right[0] + free[0] - a, right[1] + free[1] - b) for a, b in moves)


def parts(low, high, label, cut):
    """Of each class what stays left, may go either way and stays right, by definition."""
    kinds = (high <= cut, (low <= cut) & (high > cut), low > cut)
    return tuple(np.array([(kind & (label == c)).sum() for c in (0, 1)], float) for kind in kinds)


def test_the_worst_moves_are_those_of_brute_force():
    draw = np.random.default_rng(0)
    for _ in range(25):
        left, free, right = draw.integers(0, 6, (3, 2)).astype(float)
        found, zero, one = worst(left, free, right, free * draw.random(2))
        said = gini(left[0] + zero, left[1] + one) + gini(right[0] + free[0] - zero, right[1] + free[1] - one)
        assert found == pytest.approx(said, abs=1e-12)
        assert -1e-12 <= zero <= free[0] + 1e-12
        assert -1e-12 <= one <= free[1] + 1e-12
        best = by_brute_force(left, free, right)
        assert best - 1e-9 <= found <= best + 0.02


def test_an_attacker_who_need_not_move_does_not():
    left, free, right = np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.array([3.0, 3.0])
    assert worst(left, free, right, np.array([1.0, 1.0])) == (6.0, 1.0, 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_is_the_best_of_all(seed):
    draw = np.random.default_rng(seed)
    at, label = draw.integers(0, 12, 9).astype(float), draw.integers(0, 2, 9)
    low, high = at - 1.5, at + 1.5
    impurity, cut, zero, one = split(low, at, high, label, 1.0)
    ends = np.unique(np.concatenate([low, high]))
    every = [by_brute_force(*parts(low, high, label, t)) for t in (ends[:-1] + ends[1:]) / 2]
    assert min(every) - 1e-9 <= impurity <= min(every) + 0.02
    left, free, _ = parts(low, high, label, cut)
    assert (left - 1e-9 <= [zero, one]).all()
    assert ([zero, one] <= left + free + 1e-9).all()


def test_without_a_radius_it_is_cart():
    draw = np.random.default_rng(3)
    x = draw.normal(size=(80, 3))
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    ours = RobustForestClassifier(radius=0.0, trees=1, depth=2).fit(x, y)
    theirs = DecisionTreeClassifier(max_depth=2, random_state=0).fit(x, y)
    assert np.allclose(ours.predict_proba(x), theirs.predict_proba(x))


def test_one_split_is_as_robust_as_the_best_stump_of_all():
    data = hints(60)
    x, y = data.x.double().numpy(), data.y.numpy()
    model = hf.wrap(RobustForestClassifier(radius=0.1, trees=1, depth=1).fit(x, y), (0, 1))
    held = (hf.exact_distance(model, data.x, data.y).distance > 0.1).double().mean()
    every = []
    for f in range(4):
        for cut in np.unique(np.concatenate([x[:, f] - 0.1, x[:, f], x[:, f] + 0.1])):
            under, over = x[:, f] + 0.1 <= cut, x[:, f] - 0.1 > cut
            every += [(np.where(y == k, under, over)).mean() for k in (0, 1)]
    assert float(held) >= max(every) - 0.02  # Gini and errors need not agree to the last sample


def test_it_is_an_estimator_that_wrap_reads():
    data = hints(60)
    x, names = data.x.double().numpy(), np.array(["no", "yes"])[data.y.numpy()]
    forest = clone(RobustForestClassifier(radius=np.full(4, 0.05), trees=3, depth=3)).fit(x, names)
    assert set(forest.predict(x)) == {"no", "yes"}
    model = hf.wrap(forest, (0, 1))
    assert "3 trees" in str(model.trees())
    assert torch.equal(model.predict(data.x), torch.from_numpy((forest.predict(x) == "yes").astype(int)))
    assert bool(hf.exact_distance(model, data.x[:5], data.y[:5]).proven.all())


def test_other_threats_and_classes_are_one_line():
    data = hints(40)
    for threat in (hf.L2(0.1), hf.Linf()):
        with pytest.raises(ThreatError, match="^HF316 "):
            RobustSplitting(threat=threat, trees=1).fit(data)
    three = hf.Dataset(data.x, torch.arange(40) % 3)
    with pytest.raises(DataError, match="^HF155 "):
        RobustSplitting(trees=1).fit(three)


def test_a_class_without_samples_takes_no_other_ones_name():
    """Of the classes 0, 1, 2 the trees would call the last 1."""
    data = hints(40)
    gap = hf.Dataset(data.x, data.y * 2, classes=("a", "b", "c"))
    for learner in (RobustSplitting(trees=1), RobustStumps(stumps=1), RobustBoosting(trees=1)):
        with pytest.raises(DataError, match="^HF155 .*3 classes"):
            learner.fit(gap)


ESTIMATORS = [RobustForestClassifier(trees=1), RobustStumpsClassifier(stumps=1), RobustBoostingClassifier(trees=1)]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_rows_and_labels_and_radii_that_do_not_fit(estimator):
    x, y = hints(40).x.double().numpy(), hints(40).y.numpy()
    with pytest.raises(ValueError, match="inconsistent"):
        clone(estimator).fit(x, y[:30])
    for radius in (-0.1, np.nan, np.inf, np.ones(3)):
        with pytest.raises(ParameterError, match="^HF001 The 'radius' parameter"):
            clone(estimator).set_params(radius=radius).fit(x, y)
    with pytest.raises(NotFittedError):
        clone(estimator).predict(x)
