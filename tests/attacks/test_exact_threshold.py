"""Exact distances where a class is decided at a probability that the model itself tells of some rows."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

import holdfast as hf

MEASURES = {"l0": "features", "l1": "l1", "l2": "l2", "linf": "linf"}


def boosted(name):
    if name == "xgboost":
        return pytest.importorskip("xgboost").XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1)
    if name == "lightgbm":
        return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=4, min_child_samples=3, verbose=-1, n_jobs=1)
    if name == "gradient boosting":
        return GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0)
    return HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, min_samples_leaf=3)


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "gradient boosting", "histogram"])
def test_a_threshold_at_one_of_the_librarys_probabilities(name, column):
    schema = hf.Schema(tuple(hf.Feature(f"f{i}", "integer", low=0, high=3, scale=1.0) for i in range(3)))
    every = torch.tensor(list(itertools.product(range(4), repeat=3)), dtype=torch.float64)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=len(every)))
    made = boosted(name).fit(every.numpy(), (every.sum(1) + noise > 4.5).int().numpy())
    chance = made.predict_proba(every.numpy())[:, column]
    proven: list[bool] = []
    there = float(np.unique(chance)[1:-1][0])
    for at in (there, float(np.nextafter(there, 1)), float(np.nextafter(there, 0))):
        model = hf.wrap(made, schema, threshold=f"{column}:{at!r}")
        says = torch.from_numpy(np.where(chance >= at, column, 1 - column))
        assert torch.equal(model.predict(every), says), at
        chosen = torch.arange(0, len(every), 23)
        for norm, measure in MEASURES.items():
            found = hf.exact_distance(model, every[chosen], says[chosen], norm=norm)
            proven += found.proven.tolist()
            for i, low, far, sure in zip(chosen.tolist(), found.lower, found.distance, found.proven, strict=True):
                others = every[says != says[i]]
                least = float(schema.ruler.distance(others, every[i].expand(len(others), -1), measure).min())
                assert float(low) <= least * (1 + 2e-6) <= float(far) * (1 + 4e-6), (at, norm)
                assert not sure or float(far) == pytest.approx(least, rel=2e-6), (at, norm)
    assert sum(proven) >= 2 * len(proven) / 3  # of three rows one may lie on the threshold, and stay open
