"""Bounds on the way <= exact distances <= what attacks find, point by point, on fitted ensembles of five libraries."""

import numpy as np
import pytest
import torch

import holdfast as hf
from holdfast.attacks.run import run
from models.tree_cases import CASES, FEATURES

CLOSE = 2e-6  # of a distance: what the solver proves
KINDS = ("forest, missing", "histogram, 3", "xgboost, missing", "lightgbm, missing", "catboost", "catboost, missing")
ENSEMBLES = [case for case in CASES if case.name in KINDS]  # all but one of three classes, and with gaps in the data
SCHEMA = hf.Schema(tuple(hf.Feature(f"f{j}", low=-30, high=30, scale=1.0, missing=True) for j in range(FEATURES)))
BALL = {
    "LeafTuple": hf.attacks.LeafTuple(restarts=3),
    "HopSkipJump": hf.attacks.HopSkipJump(steps=4, samples=20),
    "RayS": hf.attacks.RayS(steps=40),
}
ROWS = {
    "LeafTuple": hf.attacks.LeafTuple(restarts=3),
    "GraphSearch": hf.attacks.GraphSearch(steps=4, width=2, samples=50),
    "Moeva2": hf.attacks.Moeva2(steps=8, samples=8),
}


def reached(out, x, norm):
    """How far an attack came, in units of 1; infinite where it found nothing."""
    return SCHEMA.ruler.distance(out.adversarial, x, norm).where(out.success, np.inf)


def in_order(model, x, y, norm, literal, attacks, budgets):
    """Each point: early bounds, the exact distance, the distances of attacks; how many of these there are."""
    exact = hf.exact_distance(model, x, y, norm=norm)
    assert exact.proven.all()
    assert exact.distance.isfinite().any()
    assert (exact.lower == exact.distance).all()
    for budget in budgets:
        early = hf.exact_distance(model, x, y, norm=norm, budget=budget)
        assert (early.lower <= exact.distance).all(), f"a bound after {budget} boxes is above the distance"
        assert (early.distance >= exact.distance * (1 - CLOSE)).all(), f"a witness after {budget} boxes is below it"
    found = {name: reached(run(attack, model, x, y, literal), x, norm) for name, attack in attacks.items()}
    for name, distance in found.items():
        assert (distance >= exact.distance * (1 - CLOSE)).all(), f"{name} is nearer than the exact distance"
    return {name: int(distance.isfinite().sum()) for name, distance in found.items()}


@pytest.mark.parametrize("case", ENSEMBLES, ids=lambda case: case.name)
def test_bounds_exact_distances_and_attacks_are_in_order_in_a_ball(case):
    x = case.data(n=40, seed=7)[0]
    x = torch.from_numpy(x[~np.isnan(x).any(1)][:5])
    model = hf.wrap(case.fitted(), (-30, 30))
    reached = in_order(model, x, model.predict(x), "linf", "linf:inf", BALL, (1, 10, 100))
    assert reached["LeafTuple"] == len(x)
    assert sum(reached.values()) > 2 * len(x)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("case", ENSEMBLES, ids=lambda case: case.name)
def test_and_over_rows_with_missing_values(case, norm):
    x = case.data(n=40, seed=7)[0]
    if case.missing:
        x = x[np.isnan(x).sum(1) == 1]
    x, model = torch.from_numpy(x[:3]), hf.wrap(case.fitted(), SCHEMA)
    reached = in_order(model, x, model.predict(x), norm, f"table:{norm}=inf", ROWS, (1,))
    assert reached["LeafTuple"] == len(x)
    assert sum(reached.values()) > len(x)
