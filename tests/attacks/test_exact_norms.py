"""Exact distances of tree ensembles in L0, L1 and L2: brute force over all cells, and the library itself."""

import itertools

import numpy as np
import pytest
import torch

import holdfast as hf
from attacks.test_exact_distance import BOUND, random_model
from holdfast.attacks.trees import program
from models.tree_cases import CASES

NORMS = ("l0", "l1", "l2")
CLOSE = 2e-6  # of a distance: what the solver proves


def far(change, norm):
    change = np.abs(np.nan_to_num(change.astype(float)))
    return {"l0": (change > 0).sum(1).astype(float), "l1": change.sum(1), "l2": np.sqrt((change**2).sum(1))}[norm]


def cells(trees, row, bound):
    """The nearest point to a row of every cell that the thresholds cut out, `(cells, features)`."""
    cuts, above = trees.cuts(row.dtype.name)
    ways = []
    for f, value in enumerate(row):
        if np.isnan(value) or trees.categorical[f]:
            ways.append([value])
            continue
        own = (trees.feature == f) & (trees.members < 0)
        tiny = np.array([1e-35, -1e-35]).astype(np.float32)
        steps = np.concatenate([np.nextafter(tiny, np.float32(end)) for end in (np.inf, -np.inf)])
        steps = np.concatenate([tiny, steps, np.nextafter(np.array([tiny[0], 0]), 1), np.nextafter(tiny, -1)])
        near = np.concatenate([cuts[own], above[own], [value], steps if trees.zeros.any() else []])
        kept = near[np.abs(near) <= bound].astype(row.dtype).astype(float)
        between = np.unique(kept)
        ends = np.concatenate([[-np.inf], np.unique(cuts[own & (np.abs(cuts) <= bound)])])
        held = [between[np.searchsorted(ends, between) == place] for place in range(len(ends) + 1)]
        nearest = [v[np.abs(v - value).argmin()] for v in held if len(v)]
        ways.append(between if trees.zeros.any() else np.array(nearest))
    return np.array(list(itertools.product(*ways)), row.dtype)


def nearest_of(model, trees, row, label, bound, norm, below):
    """The smallest distance over all cells that are no farther than `below`."""
    points = cells(trees, row, bound)
    paid = far(points - row, norm)
    points, paid = points[paid <= below * (1 + CLOSE)], paid[paid <= below * (1 + CLOSE)]
    said = model.predict(torch.from_numpy(points), batch=max(len(points), 1)).numpy()
    return paid[said != label].min(initial=np.inf)


def agrees(seed):
    draw = np.random.default_rng(seed)
    model, form = random_model(draw)
    x = draw.uniform(-BOUND, BOUND, size=(1, 3)).astype(str(draw.choice(["float32", "float64"])))
    x[draw.random(x.shape) < 0.15] = np.nan
    if form.categorical[2]:
        x[:, 2] = draw.integers(-1, 2, 1)
    label = model.predict(torch.from_numpy(x))
    for norm in NORMS:
        found = hf.exact_distance(model, x, label, norm=norm)
        nearest = nearest_of(model, form, x[0], int(label), BOUND, norm, np.inf)
        assert bool(found.proven.all()), f"{norm} of seed {seed}"
        assert float(found.distance) == pytest.approx(nearest, rel=CLOSE), f"{norm} of seed {seed}"
        if nearest < np.inf:
            assert int(model.predict(found.witness)) != int(label)
            assert far(found.witness.numpy().astype(float) - x.astype(float), norm) == pytest.approx(nearest, rel=CLOSE)


def test_the_distances_are_those_of_brute_force_over_all_cells():
    for seed in range(12):
        agrees(seed)


@pytest.mark.slow
def test_a_thousand_small_ensembles_and_not_one_contradiction():
    for seed in range(1000, 2000):
        agrees(seed)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_twenty_points_of_a_boosted_ensemble_have_no_cell_that_is_nearer(norm):
    case = next(case for case in CASES if case.name == "xgboost")
    estimator = case.fitted()
    model = hf.wrap(estimator, (-30, 30))
    x = case.data(n=20, seed=9)[0].astype(np.float32)
    label = model.predict(torch.from_numpy(x))
    found = hf.exact_distance(model, x, label, norm=norm)
    linf = hf.exact_distance(model, x, label)
    assert bool(found.proven.all())
    assert bool((linf.distance <= found.distance).all())
    for i in range(len(x)):
        below = float(found.distance[i])
        nearest = nearest_of(model, model.trees(), x[i], int(label[i]), 30.0, norm, below)
        assert below == pytest.approx(nearest, rel=CLOSE)


def test_a_program_that_ends_early_leaves_a_bound_from_below(monkeypatch):
    estimator = next(case for case in CASES if case.name == "forest, missing").fitted()
    x = np.nan_to_num(CASES[3].data(n=4, seed=4)[0])
    model = hf.wrap(estimator, (-30, 30))
    label = model.predict(torch.from_numpy(x))
    whole = hf.exact_distance(model, x, label, norm="l2")
    assert bool(whole.proven.all())
    middle = float(whole.distance.median())
    near = hf.exact_distance(model, x, label, norm="l2", within=middle * (1 + 1e-4))
    assert torch.equal(near.distance < np.inf, whole.distance <= middle)
    assert bool((near.lower <= whole.distance * (1 + CLOSE)).all())
    assert bool((near.lower[torch.isinf(near.distance)] >= middle).all())
    monkeypatch.setattr(program, "REFUSED", 0)  # no program at all: the witness of Linf, shrunk, and its bound
    none = hf.exact_distance(model, x, label, norm="l2")
    assert bool((none.lower <= whole.distance).all())
    assert bool((whole.distance <= none.distance * (1 + CLOSE)).all())
    assert not bool(none.proven.all())


def test_what_is_wrong_already_is_at_distance_zero_in_every_norm():
    estimator = next(case for case in CASES if case.name == "forest").fitted()
    x = torch.from_numpy(CASES[2].data(n=2, seed=4)[0])
    model = hf.wrap(estimator, (-30, 30))
    for norm in NORMS:
        assert hf.exact_distance(model, x, 1 - model.predict(x), norm=norm).distance.tolist() == [0.0, 0.0]
