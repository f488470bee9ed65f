"""Robust boosting of trees: the loss of a cut by brute force, the certificate against exact distances, XOR."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import minmax_scale

import holdfast as hf
from cases.training import hints
from holdfast.core.errors import DataError, ThreatError
from holdfast.defenses.training.robust_boosting import RobustBoosting
from holdfast.learning.robust_boosting import RobustBoostingClassifier, _cuts, _ends, _Growing, stump_loss
from holdfast.learning.robust_stumps import RobustStumpsClassifier


@pytest.fixture(scope="module")
def cancer():
    """Breast cancer in 8 columns: rows to learn from, and 60 others."""
    x, y = load_breast_cancer(return_X_y=True)
    x = minmax_scale(x)[:, :8]
    return x[:300], y[:300], x[300:360], y[300:360]


@pytest.fixture(scope="module")
def made(cancer):
    return RobustBoostingClassifier(radius=0.05, trees=10, depth=4).fit(cancer[0], cancer[1])


def test_the_certificate_is_never_more_than_the_exact_distance(cancer, made):
    x, y = cancer[2:]
    found = hf.exact_distance(hf.wrap(made, (0, 1)), torch.from_numpy(x), torch.from_numpy(y))
    assert bool(found.proven.all())
    exact, certified = found.distance.numpy(), np.zeros(len(x))
    for radius in np.linspace(0, 0.3, 61):
        certified = np.where(made.least_margin(x, y, radius) > 0, radius, certified)
    assert (certified <= exact).all()
    assert (certified[exact > 0] > 0).any()
    assert (certified[exact == 0] == 0).all()
    assert (made.least_margin(x, y, 0.0) > 0).sum() == (made.predict(x) == y).sum()
    assert certified[exact > 0].mean() > 0.5 * exact[exact > 0].mean(), "a bound, and no idle one"


def test_of_one_tree_the_certificate_is_exact(cancer):
    x, y = cancer[2:]
    one = RobustBoostingClassifier(radius=0.05, trees=1, depth=5).fit(cancer[0], cancer[1])
    exact = hf.exact_distance(hf.wrap(one, (-2, 3)), torch.from_numpy(x), torch.from_numpy(y)).distance.numpy()
    inside = (exact > 0) & np.isfinite(exact)
    assert inside.sum() > 20
    for row, label, distance in zip(x[inside], y[inside], exact[inside], strict=True):
        below, above = (one.least_margin(row[None], [label], distance + step)[0] for step in (-1e-9, 1e-9))
        assert below > 0 >= above


@settings(max_examples=15)
@given(
    chance=st.integers(0, 2**20),
    columns=st.integers(1, 4),
    trees=st.integers(1, 4),
    depth=st.integers(1, 3),
    learned=st.lists(st.floats(0, 0.3), min_size=4, max_size=4),
    steps=st.integers(2, 20),
)
def test_on_any_data_no_certificate_exceeds_the_exact_distance(chance, columns, trees, depth, learned, steps):
    """Data on a coarse grid, so that rows, ends of balls and cuts coincide; columns have radii of their own."""
    draw = np.random.default_rng(chance)
    x, y = draw.integers(0, steps + 1, (12, columns)) / steps, np.arange(12) % 2
    made = RobustBoostingClassifier(radius=np.array(learned[:columns]), trees=trees, depth=depth, thresholds=8)
    made.fit(x, y)
    found = hf.exact_distance(hf.wrap(made, (-2, 3)), torch.from_numpy(x), torch.from_numpy(y))
    assert bool(found.proven.all())
    exact = found.distance.numpy()
    for radius in {0.0, *exact[np.isfinite(exact)].tolist()}:
        margin = made.least_margin(x, y, radius)
        assert not (margin[exact < radius] > 0).any()
        assert trees > 1 or not (margin[exact > radius + 1e-9] < 0).any(), "of one tree the bound is exact"
    right, plain = made.predict(x) == y, made.least_margin(x, y, 0.0)
    assert (plain[right] >= 0).all()
    assert (plain[~right] <= 0).all()


def test_what_it_kept_while_it_learned_is_its_certificate(cancer, made):
    assert np.allclose(made.margin_, made.least_margin(cancer[0], cancer[1]), atol=1e-12)
    assert np.exp(-made.margin_).sum() < 0.7 * len(made.margin_)


def test_the_closed_form_of_a_cut_is_the_least_of_a_grid():
    draw = np.random.default_rng(0)
    weights = np.linspace(-16, 16, 641)
    for zeros in itertools.product((0, 1), repeat=3):
        parts = [(draw.random((2, 1)) + 0.1) * keep for keep in zeros]
        parts[0][0], parts[1][1] = 0.3, 0.2  # neither class is missing
        (pl, nl), (pr, nr), (pb, nb) = (part[:, 0] for part in parts)
        v, r = np.meshgrid(weights, weights)
        positive = pl * np.exp(-v) + pr * np.exp(-v - r) + pb * np.maximum(np.exp(-v), np.exp(-v - r))
        negative = nl * np.exp(v) + nr * np.exp(v + r) + nb * np.maximum(np.exp(v), np.exp(v + r))
        best = (positive + negative).min()
        assert best - 0.01 <= stump_loss(*parts)[0] <= best + 1e-9


def test_weighing_the_leaves_lowers_the_robust_loss_of_the_tree(cancer):
    x, y = cancer[:2]
    sign = 2.0 * y - 1
    low, high = _ends(x, np.full(8, 0.05))
    growing = _Growing(low, high, sign, np.ones(len(y)), _cuts(low, high, 30, np.random.default_rng(0)), 4)
    tree = growing.tree()
    leaves = [node for node, f in enumerate(growing.feature) if f < 0]
    reached = [growing.reached[node] for node in leaves]

    def loss(values):
        worst = np.full(len(y), np.inf)
        for inside, value in zip(reached, values, strict=True):
            worst[inside] = np.minimum(worst[inside], sign[inside] * value)
        return np.exp(-worst).sum() + growing.smooth * 2 * np.cosh(values).sum()

    found = tree.value[leaves, 0]
    assert loss(found) < loss([growing._alone(inside) for inside in reached])
    for leaf, step in itertools.product(range(len(found)), (-0.2, 0.2)):
        moved = found.copy()
        moved[leaf] += step
        assert loss(found) <= loss(moved) + 0.02 * loss(found), "no leaf alone is far from its best"
    assert set(np.concatenate(reached)) == set(range(len(y)))
    assert sum(map(len, reached)) > len(y), "balls reach several leaves"


def test_deeper_trees_see_what_stumps_cannot():
    """Two columns of which only both together tell the class, far enough apart for the ball."""
    draw = np.random.default_rng(0)
    corners = draw.integers(0, 2, (200, 2))
    x, y = 0.2 + 0.6 * corners + 0.02 * draw.standard_normal((200, 2)), corners.sum(1) % 2
    x[:20] = draw.random((20, 2))  # without a few strangers no first cut would help
    deep = RobustBoostingClassifier(radius=0.1, trees=10, depth=2).fit(x[:100], y[:100])
    flat = RobustStumpsClassifier(radius=0.1, stumps=20).fit(x[:100], y[:100])
    assert (deep.least_margin(x[100:], y[100:]) > 0).mean() == 1
    assert (flat.least_margin(x[100:], y[100:]) > 0).mean() < 0.6


def test_it_is_an_estimator_and_the_seed_is_all_chance(cancer):
    learner = RobustBoostingClassifier(radius=0.05, trees=2, depth=3, thresholds=5, seed=1)
    one, two = (clone(learner).fit(cancer[0], cancer[1]) for _ in range(2))
    other = clone(learner).set_params(seed=2).fit(cancer[0], cancer[1])
    assert np.array_equal(one.predict_proba(cancer[2]), two.predict_proba(cancer[2]))
    assert not np.array_equal(one.predict_proba(cancer[2]), other.predict_proba(cancer[2]))
    assert len(one.trees_.roots) == 2
    assert len(one.trees_.feature) <= 2 * (2**4 - 1)


def test_where_no_cut_helps_there_is_one_answer():
    x, y = np.full((20, 2), 0.5), np.arange(20) % 2
    made = RobustBoostingClassifier(radius=0.1, trees=3).fit(x, y)
    assert made.least_margin(x, y).tolist() == [0] * 20
    assert set(made.predict(x)) == {0}


def test_a_column_of_one_value_that_may_not_move_is_passed_over(cancer):
    x, y = cancer[0][:80].copy(), cancer[1][:80]
    x[:, 3] = 0.5
    radius = np.full(8, 0.05)
    radius[3] = 0
    made = RobustBoostingClassifier(radius=radius, trees=3, depth=2).fit(x, y)
    assert 3 not in made.trees_.feature
    assert (made.least_margin(x, y) > 0).any()
    alone = RobustBoostingClassifier(radius=0.0, trees=3).fit(x[:, 3:4], y)
    assert (alone.least_margin(x[:, 3:4], y) > 0).sum() == 0


def test_other_threats_classes_and_labels_are_one_line(cancer, made):
    data = hints(40)
    with pytest.raises(ThreatError, match="^HF316 "):
        RobustBoosting(threat=hf.L2(0.1)).fit(data)
    with pytest.raises(DataError, match="^HF155 "):
        RobustBoosting(trees=1).fit(hf.Dataset(data.x, torch.arange(40) % 3))
    with pytest.raises(ThreatError, match="HF305"):
        made.least_margin(cancer[2][:2], [0, 7])
