"""Leaf tuples: local minima by brute force, beside exact distances, and in tables beside all possible rows."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import holdfast as hf
from attacks.test_exact_distance import BOUND, random_model
from cases.tables import SCHEMA, SPACE, possible_rows
from cases.trees import TREE_TABLES
from holdfast.attacks.evasion.leaf_tuple import LeafTuple
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.attacks.trees import tuples
from holdfast.attacks.trees.ground import Ground
from holdfast.core.errors import ModelError, ThreatError
from holdfast.geometry.draw import Draw
from holdfast.models.model import Model
from holdfast.models.trees.compiled import COMPILES
from holdfast.threats.goals import Target, Wrong
from holdfast.threats.literals import parse
from holdfast.threats.space import Box
from models.tree_cases import CASES

NORMS = ("linf", "l2", "l1", "l0")
SLOW = 1 if COMPILES else 8


def ground_of(model, x, y, literal):
    """A probe of some rows, and what leaf tuples are walked over."""
    threat = parse(literal)
    region = threat.around(x, model.space)
    probe = Probe(model, x, Wrong(y), region, Draw(0, "LeafTuple", list(range(len(x))), x), stop=False)
    return probe, Ground.of(probe)


def neighbors(ground, i, chosen):
    """The nearest points of all tuples with another leaf in one tree, met feature by feature."""
    (_, (start, limit_of, lows, highs, first)), row = ground.boxes(i), ground.rows[i].astype(float)
    for tree in range(len(chosen)):
        for region in range(first[tree], first[tree + 1]):
            low, high = np.full(len(row), -np.inf), np.full(len(row), np.inf)
            for one in [*np.delete(chosen, tree), region]:
                f = limit_of[start[one] : start[one + 1]]
                low[f] = np.maximum(low[f], lows[start[one] : start[one + 1]])
                high[f] = np.minimum(high[f], highs[start[one] : start[one + 1]])
            if (low <= high).all():
                yield np.where(np.isnan(row), row, np.clip(row, low, high)).astype(ground.rows.dtype)


def is_a_local_minimum(seed, norm, rows=2):
    """Of walks from all greedy and some random starts: what they end at, and all that is one leaf away."""
    draw = np.random.default_rng(seed)
    model, form = random_model(draw)
    x = torch.from_numpy(draw.uniform(-BOUND, BOUND, size=(rows, 3)).astype(str(draw.choice(["float32", "float64"]))))
    if draw.random() < 0.3:
        x[0, 0] = torch.nan
    if form.categorical[2]:
        x[:, 2] = torch.from_numpy(draw.integers(-1, 2, rows))
    label = model.predict(x)
    probe, ground = ground_of(model, x, label, f"{norm}:inf")
    starts = {i: ground.filled(i, draw.permutation(len(form.roots)), 0, False) for i in range(rows)}
    starts = {i: start for i, start in starts.items() if start is not None}
    walked = 0
    for i, point in ground.walked(starts, strict=False).items():
        there = torch.from_numpy(point)[None]
        assert int(model.predict(there)[0]) != int(label[i])
        own = torch.tensor([i])
        chosen = tuples.holding(point.astype(float), ground.boxes(i)[1])
        assert np.array_equal(ground.point(i, chosen), point, equal_nan=True)
        far = probe.region.distance(there.nan_to_num(0), own) if not x[i].isnan().any() else None
        near = torch.from_numpy(np.stack(list(neighbors(ground, i, chosen))))
        wrong = model.predict(near) != label[i]
        if far is not None:
            least = probe.region.distance(near, own.expand(len(near)))[wrong].min()
            assert float(least) >= float(far) * (1 - 1e-9), f"row {i} of seed {seed}"
        walked += 1
    return walked


@pytest.mark.parametrize("norm", NORMS)
def test_no_neighbor_is_nearer_by_brute_force(norm):
    assert sum(is_a_local_minimum(seed, norm) for seed in range(60 // SLOW)) > 60 // SLOW


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
@example(0)
def test_no_neighbor_is_nearer_by_brute_force_anywhere(seed):
    for norm in NORMS:
        is_a_local_minimum(seed, norm)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.library in ("sklearn", "xgboost", "lightgbm", "catboost")], ids=lambda c: c.name
)
def test_never_nearer_than_the_exact_distance_and_often_at_it(case):
    """Fitted ensembles of every library, in their own comparisons; categories stay as they are on both sides."""
    estimator, dtype = case.fitted(), "float64" if case.named else "float32"
    x = case.data(n=40, seed=3)[0]
    x = x[~np.isnan(x).any(1)][:6].astype(dtype)
    model = hf.wrap(estimator, (-30, 30))
    y = model.predict(torch.from_numpy(x))
    exact = hf.exact_distance(model, x, y).distance
    out = run(LeafTuple(restarts=10), model, x, y, "linf:inf")
    assert torch.equal(out.success, exact.isfinite())
    found = out.distance("linf")[out.success]
    assert (model.predict(out.adversarial[out.success]) != y[out.success]).all()
    assert (found >= exact[out.success]).all()
    assert float((found / exact[out.success]).median()) <= 1.5


@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
def test_near_the_exact_distance_in_other_norms(norm):
    case = next(c for c in CASES if c.name == "forest")
    model, x = hf.wrap(case.fitted(), (-30, 30)), torch.from_numpy(case.data(n=8, seed=3)[0])
    y = model.predict(x)
    exact = hf.exact_distance(model, x, y, norm=norm).distance
    found = run(LeafTuple(), model, x, y, f"{norm}:inf").distance(norm)
    assert (found >= exact * (1 - 1e-6)).all()
    assert float((found / exact).median()) <= (1.1 if norm != "l0" else 1.5)


def test_a_target_is_reached():
    case = next(c for c in CASES if c.name == "boosting, 3")
    model, x = hf.wrap(case.fitted(), (-30, 30)), torch.from_numpy(case.data(n=9, seed=3)[0])
    target = (model.predict(x) + 1) % 3
    out = run(LeafTuple(restarts=3), model, x, Target(target), "l2:inf")
    assert out.success.all()
    assert torch.equal(model.predict(out.adversarial), target)


def test_close_calls_are_walked_again_on_clear_ones():
    """Leaves of one vote each tie often; arrays give a tie to the first class, this model to the second."""
    case = next(c for c in CASES if c.name == "boosting")
    fitted, x = hf.wrap(case.fitted(), (-30, 30)), torch.from_numpy(case.data(n=30, seed=3)[0])
    form = fitted.trees()
    form = dataclasses.replace(form, values=np.where(form.values > 0, 2.0, -1.0), base=np.zeros(1))

    def scores(z):
        sums = torch.from_numpy(form.sums(z.numpy()))
        return torch.cat([torch.zeros_like(sums), torch.where(sums == 0, 1e-9, sums)], 1)

    model = Model(Box((-30.0, 30.0)), 2, scores=scores, trees=lambda: form)
    x = x[model.predict(x) == 1]
    out = run(LeafTuple(restarts=2), model, x, torch.ones(len(x)), "l2:inf")
    assert out.success.all()
    assert (out.queries > 2).double().mean() > 0.5


def table_model(seed=0):
    """A boosted ensemble over the codes of the small table, missing values among them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = possible_rows()
    draw = torch.Generator().manual_seed(seed)
    rows = rows[torch.randperm(len(rows), generator=draw)[:400]]
    w = torch.tensor([[1, -2, 1, 0.5, 3, 1, -1, 0], [-1, 3, 0, -1, 1, 0, 2, -2], [0, 1, -1, 1, -2, 0, 0, 1.0]]).double()
    label = (rows.nan_to_num(-1) @ w.T).argmax(1)
    fitted = HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=8, random_state=0)
    form = hf.wrap(fitted.fit(rows.numpy(), label.numpy()), (0, 4)).trees()

    def scores(z):
        assert SCHEMA.validate(z).valid.all(), "an impossible row was asked about"
        return torch.from_numpy(form.sums(z.numpy()))

    return Model(SPACE, 3, scores=scores, trees=lambda: form), rows[:20]


@pytest.mark.parametrize("case", TREE_TABLES, ids=str)
def test_rows_of_a_table_are_possible_and_near_the_nearest(case):
    """Every kind of column and a relation; against every possible row, where missing values and groups stay."""
    model, x = table_model()
    y, every = model.predict(x), possible_rows()
    measure = case.threat.limits[0][0]
    out = run(case.attack, model, x, y, case.threat)
    assert SCHEMA.validate(out.adversarial, x).valid.all()
    said, found, least = model.predict(every), [], []
    for i in range(len(x)):
        same = (every[:, 4:] == x[i, 4:]).all(1) & (every[:, 2].isnan() == x[i, 2].isnan())
        may = every[same & (said != y[i])]
        may = may[SCHEMA.validate(may, x[i].expand(len(may), -1)).valid] if len(may) else may
        far = SCHEMA.ruler.distance(may, x[i : i + 1].expand(len(may), -1), measure) if len(may) else torch.ones(0)
        least.append(float(far.min()) if len(far) else math.inf)
        at = SCHEMA.ruler.distance(out.adversarial[i : i + 1], x[i : i + 1], measure)
        found.append(float(at) if bool(out.success[i]) else math.inf)
        stays = ((out.adversarial[i] == x[i]) | x[i].isnan())[4:]
        assert bool(stays.all())
    found, least = np.array(found), np.array(least)
    there = np.isfinite(least)
    assert there.sum() >= 7
    assert (found >= least - 1e-9).all()
    assert np.isfinite(found[there]).mean() >= 0.9
    assert (found[there] <= least[there] + 1e-9).mean() >= 0.8


def test_a_second_limit_holds_too():
    model, x = table_model()
    y = model.predict(x)
    out = run(LeafTuple(restarts=6), model, x, y, "table:features=3,l1=1,linf=0.8")
    assert out.success.any()
    assert (SCHEMA.ruler.distance(out.adversarial, x, "l1") <= 1 + 1e-9).all()
    assert (SCHEMA.ruler.distance(out.adversarial, x, "linf") <= 0.8 + 1e-9).all()
    assert (SCHEMA.ruler.distance(out.adversarial, x, "features") <= 3).all()


def test_refusals_are_a_line_each():
    case = next(c for c in CASES if c.name == "forest")
    x, y = case.data(n=4)
    model = hf.wrap(case.fitted(), (-30, 30))
    with pytest.raises(ThreatError, match="HF304 LeafTuple needs a model that shows its trees"):
        run(LeafTuple(), model, x, y, "linf:inf,knowledge=scores")
    with pytest.raises(ThreatError, match="HF304"):
        run(LeafTuple(), hf.wrap(lambda rows: rows[:, :2], output="logits"), x, y, "linf:inf")
    flipped = dataclasses.replace(model.trees(), values=model.trees().values[:, ::-1])
    with pytest.raises(ModelError, match="HF272"):
        run(LeafTuple(), dataclasses.replace(model, trees=lambda: flipped), x, y, "linf:inf")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_bounds_far_wider_than_the_data_leave_no_walk_far_away(norm):
    """Columns of very different ranges in one box of ten thousand: a reach that is halved from there ends far out."""
    from sklearn.ensemble import RandomForestClassifier

    draw = np.random.default_rng(0)
    x = draw.random((300, 8)) * np.array([1e-3, 1e-2, 0.1, 1, 1, 0.1, 1e-2, 1e-3])
    y = (x / x.max(0) @ draw.normal(size=8) > 0).astype(int)
    model = hf.wrap(RandomForestClassifier(30, max_depth=6, random_state=0).fit(x, y), (0, 1e4))
    rows = torch.from_numpy(x[:12])
    label = model.predict(rows)
    out = run(LeafTuple(restarts=2), model, rows, label, f"{norm}:inf")
    exact = hf.exact_distance(model, rows, label).distance
    assert out.success.all()
    assert float((out.distance("linf") / exact).max()) < 3  # 13 and 37 where the reach was halved on its own scale


@pytest.mark.parametrize("bounds", [1e39, 1e300], ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_bounds_beyond_the_type_of_the_inputs_change_no_walk(norm, bounds):
    """In float32 they are infinite; no tree tells values beyond its thresholds apart, so a reach ends there."""
    case = next(c for c in CASES if c.name == "forest")
    x = torch.from_numpy(case.data(n=10, seed=3)[0].astype(np.float32))
    near, wide = (hf.wrap(case.fitted(), (-end, end)) for end in (30.0, bounds))
    y = near.predict(x)
    probe, ground = ground_of(wide, x, y, f"{norm}:inf")
    assert torch.isinf(probe.region.high).all()
    for i in range(len(x)):
        unit, reach = ground._units(i)
        assert (unit > 0).all()
        assert reach == (unit * np.subtract(*ground.ends(i)[::-1])).max() > 0
    first, second = (run(LeafTuple(restarts=4), model, x, y, f"{norm}:inf") for model in (near, wide))
    assert first.success.all()
    assert torch.equal(first.distance(norm), second.distance(norm))
    assert torch.equal(first.queries, second.queries)
