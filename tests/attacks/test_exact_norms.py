"""Exact distances of tree ensembles in L0, L1 and L2: brute force over all cells, and the library itself."""

import itertools
import threading

import numpy as np
import pytest
import scipy.optimize
import torch
from scipy.optimize import Bounds, LinearConstraint, milp

import holdfast as hf
from attacks.test_exact_distance import BOUND, random_model
from holdfast.attacks.trees import program
from holdfast.models.model import Model
from holdfast.models.trees.planting import Tree, plant, turned
from holdfast.threats.space import Box
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


def knapsack(seed, items=30, idle=300):
    """Stumps of their own features, and the L1 distance: the cheapest of them that weigh enough, solved directly.

    Idle features cost much on their far side and help nobody, so that the sum over all cells is far above the distance.
    """
    draw = np.random.default_rng(seed)
    weight = draw.uniform(0.5, 1, items)
    price = weight * draw.uniform(0.999, 1.001, items) * 0.5
    form = plant(
        [
            Tree(
                feature=np.array([i, -1, -1]),
                threshold=np.array([edge, 0.0, 0.0]),
                left=np.array([1, -1, -1]),
                right=np.array([2, -1, -1]),
                value=np.array([[0.0], [0.0], [gain]]),
                missing=turned(np.zeros(3, bool)),
                zeros=None,
                members={},
            )
            for i, (edge, gain) in enumerate([*zip(price, weight, strict=True), *[(50.0, -1e-3)] * idle])
        ],
        library="test",
        features=items + idle,
        base=np.array([-weight.sum() * 0.31]),
        operator="<=",
        dtype="float64",
        precision="float64",
        divisor=1.0,
        shift=np.zeros(1),
        fractions=True,
    )

    def scores(x):
        sums = torch.from_numpy(form.sums(x.numpy().reshape(len(x), -1)))
        return torch.cat([torch.zeros_like(sums), sums], 1)

    model = Model(space=Box((-100, 100)), classes=2, scores=scores, trees=lambda: form)
    enough = LinearConstraint(weight[None], weight.sum() * 0.31, np.inf)
    best = milp(price, integrality=np.ones(items), bounds=Bounds(0, 1), constraints=enough, options={"mip_rel_gap": 0})
    return model, torch.zeros(1, items + idle, dtype=torch.float64), best.fun


@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_proven_is_proven_of_the_distance_and_not_of_a_sum_far_above_it(seed):
    model, x, best = knapsack(seed)
    found = hf.exact_distance(model, x, model.predict(x), norm="l1")
    assert bool(found.proven)
    assert float(found.distance) == pytest.approx(best, rel=CLOSE)


def test_a_budget_that_ends_a_program_leaves_a_bound_and_no_proof():
    model, x, best = knapsack(1)
    found = hf.exact_distance(model, x, model.predict(x), norm="l1", budget=1)
    assert not bool(found.proven)
    assert 0.5 * best < float(found.lower) <= best * (1 + 1e-9) < float(found.distance)


def test_a_clock_that_ends_all_programs_leaves_the_bound_and_the_witness_of_linf(monkeypatch):
    model, x, best = knapsack(1)
    found = hf.exact_distance(model, x, model.predict(x), norm="l1", seconds=1e-9)
    assert not bool(found.proven)
    assert 0 < float(found.lower) <= best * (1 + 1e-9) <= float(found.distance) * (1 + 1e-9)
    clocks = []

    def timed(**asked):
        clocks.append(asked["options"].get("time_limit"))
        return milp(**asked)

    monkeypatch.setattr(program, "solved", timed)
    for seconds in (600, np.inf):
        hf.exact_distance(model, x, model.predict(x), norm="l1", seconds=seconds, budget=1)
    assert 0 < clocks[0] <= 600
    assert clocks[-1] is None


def test_a_solver_that_is_stopped_proves_its_bound_alone(monkeypatch):
    """Status 1 with the best point found and a bound below it, as HiGHS ends at a limit."""
    model, x, best = knapsack(0, idle=0)

    def stopped(**asked):
        made = milp(**asked)
        made.status, made.mip_dual_bound = 1, made.fun - 0.1 * abs(made.fun)
        return made

    monkeypatch.setattr(program, "solved", stopped)
    found = hf.exact_distance(model, x, model.predict(x), norm="l1")
    assert float(found.distance) == pytest.approx(best, rel=CLOSE)
    assert float(found.lower) < best * (1 - 1e-3)
    assert not bool(found.proven)


def test_the_solver_is_waited_for_so_that_an_interrupt_is_heard(monkeypatch):
    seen = []

    def spied(**asked):
        seen.append(threading.current_thread() is threading.main_thread())
        return milp(**asked)

    monkeypatch.setattr(scipy.optimize, "milp", spied)
    model, x, _ = knapsack(0, items=8, idle=0)
    hf.exact_distance(model, x, model.predict(x), norm="l2")
    assert seen
    assert not any(seen)
    monkeypatch.setattr(scipy.optimize, "milp", lambda **asked: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hf.exact_distance(model, x, model.predict(x), norm="l2")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_label_that_the_model_does_not_have_has_no_distance(norm):
    model, x, _ = knapsack(0, items=8, idle=0)
    with pytest.raises(hf.ThreatError, match="HF305 A label that the model cannot output. Seen 7"):
        hf.exact_distance(model, x, [7], norm=norm)


def test_what_is_wrong_already_is_at_distance_zero_in_every_norm():
    estimator = next(case for case in CASES if case.name == "forest").fitted()
    x = torch.from_numpy(CASES[2].data(n=2, seed=4)[0])
    model = hf.wrap(estimator, (-30, 30))
    for norm in NORMS:
        assert hf.exact_distance(model, x, 1 - model.predict(x), norm=norm).distance.tolist() == [0.0, 0.0]
