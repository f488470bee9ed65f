"""The first law under table threats of random schemas: every row that is asked about or returned is possible."""

import math

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cases.random_tables import tables
from cases.tables import TABLES
from cases.trees import TREE_TABLES
from holdfast.attacks.evasion.leaf_tuple import LeafTuple
from holdfast.attacks.run import run
from holdfast.models.model import Model
from holdfast.models.trees.planting import Tree, plant
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.tables.threat import Table

CASES = [*{type(case.attack): case for case in (*TABLES, *TREE_TABLES)}.values()]
"""One for each attack; every one of the catalog that serves tables has a row there (`test_surface`)."""


@st.composite
def threats(draw, bounded):
    """Each measure, some with a second limit; `bounded` for attacks that do not look for the nearest row."""
    measure = draw(st.sampled_from(["features", "cost", "l1", "l2", "linf"]))
    limits = [1, 2, 3] if measure == "features" else [0.3, 1.0, 3.0]
    far = st.sampled_from(limits if bounded else [*limits, math.inf])
    return Table(**{"linf": draw(st.sampled_from([None, 0.5, 2.0]))} | {measure: draw(far)})


def forest(schema, draw):
    """Full trees of depth 3 over the codes, with thresholds anywhere in the columns' ranges."""
    low, high = (np.nan_to_num(np.array(end), neginf=-9, posinf=9) for end in schema.bounds)

    def tree():
        feature = np.where(np.arange(15) < 7, draw.integers(0, len(low), 15), -1)
        at = np.where(feature < 0, 0, draw.uniform(low[feature], high[feature] + 0.1))
        below = np.arange(15)
        leaves = draw.normal(size=(15, 2))
        return Tree(
            feature=feature,
            threshold=at,
            left=2 * below + 1,
            right=2 * below + 2,
            value=leaves,
            missing=draw.integers(0, 2, 15),
        )

    return plant(
        [tree() for _ in range(8)],
        library="test",
        features=len(low),
        base=np.zeros(2),
        operator="<",
        dtype="float64",
        precision="float64",
    )


def model_of(schema, x, seed, trees):
    """Scores of codes that refuse to be asked about what no attacker could make of any of `x`."""
    draw = np.random.default_rng(seed)
    form = forest(schema, draw)
    w, wave = (torch.from_numpy(draw.normal(size=(2, x.shape[1]))) for _ in range(2))
    low, high = (torch.tensor(end).nan_to_num(0, 9, -9) for end in schema.bounds)
    center = (x.nan_to_num(0).amin(0) + x.nan_to_num(0).amax(0)) / 2

    def look(z):
        reached = torch.stack([schema.validate(z, origin.expand(len(z), -1)).valid for origin in x])
        assert reached.any(0).all(), "a row was asked about that is not possible"
        if trees:
            return torch.from_numpy(form.sums(z.numpy()))
        unit = (z.nan_to_num(-1) - center) / (high - low)
        return unit @ w.T + 0.3 * (3 * unit @ wave.T).sin()

    return Model(Tabular(schema), 2, lambda z: look(z).argmax(1), look, look, trees=(lambda: form) if trees else None)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_01_every_row_asked_about_and_returned_is_possible(case):
    broken = 0

    @given(tables(), threats(not case.attack.minimal), st.integers(0, 99))
    @settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    def check(found, threat, seed):
        nonlocal broken
        schema, _, made = found
        x = made[:2]
        if not len(x):
            return
        model = model_of(schema, x, seed, isinstance(case.attack, LeafTuple))
        out = run(case.attack, model, x, model.labels(x), threat, seed=seed)
        broken += int(out.success.sum())
        for z in (out.adversarial, out.strongest):
            assert schema.validate(z, x).valid.all()
            for measure, limit in threat.limits:
                assert (schema.ruler.distance(z, x, measure) <= limit * (1 + 1e-9)).all()

    check()
    assert broken > 0
