"""Exact distances of tree ensembles: brute force over all cells, the libraries themselves, Veritas."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import holdfast as hf
from holdfast.attacks.trees import exact, search
from holdfast.core.errors import DataError, ModelError, ThreatError
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.models.model import Model
from holdfast.models.trees.compiled import COMPILES
from holdfast.models.trees.form import TINY, ZERO
from holdfast.models.trees.planting import Tree, plant, spread, turned
from holdfast.threats.space import Box
from models.tree_cases import CASES

SLOW = 1 if COMPILES else 8
BOUND = 2.0
GAPS = hf.Schema(tuple(hf.Feature(f"f{j}", low=-BOUND, high=BOUND, scale=1.0, missing=True) for j in range(3)))


def random_tree(draw, outputs, one, kind):
    """A tree of depth up to 3 over three features; thresholds on a coarse grid, so that trees share some."""
    feature, threshold, left, right, members = [], [], [], [], {}

    def grow(depth):
        node = len(feature)
        inner = depth < 3 and draw.random() < 0.8
        feature.append(int(draw.integers(0, 3)) if inner else -1)
        grid = draw.choice([-1.5, -0.7, -0.1, 0.0, TINY / 2, 0.3, 0.9, 1.6])
        threshold.append(float(grid))
        left.append(-1)
        right.append(-1)
        if inner:
            if feature[node] == 2 and kind["named"]:
                members[node] = draw.choice(4, size=2, replace=False).tolist()
            left[node], right[node] = grow(depth + 1), grow(depth + 1)
        return node

    grow(0)
    value = draw.integers(-3, 4, size=(len(feature), outputs)) * kind["unit"]
    return Tree(
        feature=np.array(feature),
        threshold=np.array(threshold),
        left=np.array(left),
        right=np.array(right),
        value=value if one is None else spread(value[:, 0], one, outputs),
        missing=draw.integers(0, 3, len(feature)) if kind["any"] else turned(draw.random(len(feature)) < 0.5),
        zeros=(draw.random(len(feature)) < 0.3) if kind["zeros"] else None,
        members=members,
    )


def random_model(draw):
    """A small ensemble of a random kind as a Model put together by hand, and the type of its inputs."""
    classes = int(draw.integers(2, 5))
    outputs = 1 if classes == 2 and draw.random() < 0.7 else classes
    shared = draw.random() < 0.4
    kind = {"named": draw.random() < 0.3, "zeros": draw.random() < 0.3, "any": draw.random() < 0.5}
    kind["unit"] = float(draw.choice([1.0, 0.1]))
    rounds = int(draw.integers(1, 5))
    if shared or outputs == 1:
        trees = [random_tree(draw, outputs, None, kind) for _ in range(rounds)]
    else:
        trees = [random_tree(draw, outputs, one, kind) for _ in range(min(rounds, 2)) for one in range(outputs)]
    form = plant(
        trees,
        library="test",
        features=3,
        base=draw.integers(-1, 2, size=outputs) * kind["unit"],
        operator=str(draw.choice(["<", "<="])),
        dtype=str(draw.choice(["float32", "float64"])),
        precision=str(draw.choice(["float32", "float64"])),
        divisor=float(draw.choice([1.0, 3.0])),
        shift=draw.integers(-1, 2, size=outputs) * kind["unit"] * 0.5,
        fractions=True,
    )

    def scores(x):
        sums = torch.from_numpy(form.sums(x.numpy().reshape(len(x), -1)))
        return torch.cat([torch.zeros_like(sums), sums], 1) if outputs == 1 else sums

    return Model(space=Box((-BOUND, BOUND)), classes=classes, scores=scores, trees=lambda: form), form


def by_brute_force(model, form, row, label, dtype):
    """The smallest distance over the nearest points of all cells, the fixed features as they are."""
    cuts, above = form.cuts(dtype)
    kind = np.dtype(dtype).type
    edge = np.nextafter(kind(TINY), kind(1))
    wide = float(np.nextafter(np.float32(TINY), np.float32(1)))  # no zero after rounding to float32 either
    ways = []
    for f, value in enumerate(row):
        if np.isnan(value) or form.categorical[f]:
            ways.append([value])
            continue
        own = (form.feature == f) & (form.members < 0)
        near = np.concatenate([cuts[own], above[own], [edge, -edge, wide, -wide, kind(TINY), -kind(TINY), value]])
        ways.append(np.unique(near[np.abs(near) <= BOUND]))
    points = np.array(list(itertools.product(*ways)), dtype)
    said = model.predict(torch.from_numpy(points), batch=len(points)).numpy()
    with np.errstate(invalid="ignore"):
        far = np.nan_to_num(np.abs(points.astype(float) - row.astype(float))).max(1)
    return far[said != label].min(initial=np.inf)


def apart(points, x):
    """How far rows are from others in Linf, `(rows,)`; what is missing in both does not count."""
    return torch.nan_to_num((points.double() - x.double()).abs()).amax(1)


def in_order_beside_brute_force(seed, rows=3, seen=None):
    """An early bound <= the distance = that of brute force <= an attack's, for rows around a random small ensemble."""
    draw = np.random.default_rng(seed)
    model, form = random_model(draw)
    dtype = str(draw.choice(["float32", "float64"]))
    x = draw.uniform(-BOUND, BOUND, size=(rows, 3)).astype(dtype)
    x[draw.random(x.shape) < 0.15] = np.nan
    if form.categorical[2]:
        x[:, 2] = draw.integers(-1, 2, rows)
    said = model.predict(torch.from_numpy(x))
    label = torch.where(torch.rand(rows, generator=torch.Generator().manual_seed(seed % 2**31)) < 0.9, said, 0)
    found = exact.exact_distance(model, x, label)
    assert bool(found.proven.all())
    for i in range(rows):
        nearest = by_brute_force(model, form, x[i], int(label[i]), dtype)
        assert float(found.distance[i]) == nearest, f"row {i} of seed {seed}"
        there = found.witness[i : i + 1]
        assert there.dtype == torch.from_numpy(x).dtype
        if nearest < np.inf:
            assert int(model.predict(there)[0]) != int(label[i])
            assert float(apart(there, torch.from_numpy(x[i : i + 1]))[0]) == nearest
    early = exact.exact_distance(model, x, label, budget=int(draw.integers(1, 4)))
    assert bool((early.lower <= found.distance).all()), f"a bound from below is above the distance: seed {seed}"
    assert bool((early.distance >= found.distance).all()), f"a witness is nearer than the distance: seed {seed}"
    reached = no_attack_is_nearer(model, torch.from_numpy(x), label, found)
    if seen is not None:
        seen["ensembles"] += 1
        seen["of several classes"] += model.classes > 2
        seen["with missing values"] += bool(np.isnan(x).any())
        seen["stopped early"] += not early.proven.all()
        seen["bounds between"] += bool(((early.lower > 0) & (early.lower < found.distance)).any())
        seen["attack arrived"] += bool(reached.any())


def no_attack_is_nearer(model, x, label, found):
    """Whether LeafTuple arrived, `(rows,)`: with another decision of the model, and no nearer than the distance."""
    threat = "linf:inf"
    if x.isnan().any():  # a ball has no gaps: the same boxes as a table, of float64
        found = found if x.dtype == torch.float64 else exact.exact_distance(model, x.double(), label)
        x, threat, model = x.double(), "table:linf=inf", dataclasses.replace(model, space=hf.Tabular(GAPS))
    out = hf.run(hf.attacks.LeafTuple(restarts=1, tries=5), model, x, label, threat)
    assert torch.equal(out.adversarial.isnan(), x.isnan())
    assert bool((model.predict(out.adversarial) != label)[out.success].all())
    assert bool((apart(out.adversarial, x) >= found.distance)[out.success].all()), "an attack is nearer"
    return out.success


@settings(max_examples=60 // SLOW, deadline=None, database=None)
@given(seed=st.integers(0, 2**40))
@example(seed=2800190)
@example(seed=5980)  # zeros that count as missing, inputs rounded to float32 first
def test_an_early_bound_the_distance_that_of_brute_force_and_an_attack_are_in_order(seed):
    in_order_beside_brute_force(seed)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_ten_thousand_small_ensembles_and_not_one_contradiction():
    seen = collections.Counter()

    @settings(max_examples=10_000, deadline=None, database=None)
    @given(seed=st.integers(0, 2**40))
    def each(seed):
        in_order_beside_brute_force(seed, rows=1, seen=seen)

    each()
    print(dict(seen))  # with -rP
    assert min(seen.values()) > 200
    assert seen["ensembles"] >= 10_000


NUMBERS = ("forest, missing", "boosting, 3", "adaboost", "histogram, named", "xgboost, missing", "xgboost, dart")
NUMBERS = (*NUMBERS, "lightgbm, zeros", "lightgbm, named", "catboost", "catboost, one against all")


@pytest.mark.parametrize("case", [case for case in CASES if case.name in NUMBERS], ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_library_itself_decides_otherwise_at_the_witness_and_nowhere_nearer(case, dtype):
    estimator = case.fitted()
    x = case.data(n=8, seed=4)[0].astype(dtype)
    x = x if case.missing else np.nan_to_num(x)
    model = hf.wrap(estimator, (-30, 30))
    label = model.predict(torch.from_numpy(x))
    found = exact.exact_distance(model, x, label)
    assert bool(found.proven.all())
    moves = torch.isfinite(found.distance)
    assert bool(moves.any())
    said = case.said(estimator, found.witness.numpy())
    order = said.argmax(1) if said.ndim == 2 else (said > 0.5).astype(int)
    assert (order != label.numpy())[moves.numpy()].all()
    draw = np.random.default_rng(0)
    free = ~model.trees().categorical
    for i in np.flatnonzero(moves.numpy()):
        near = np.repeat(x[i : i + 1], 300, 0).astype(float)
        step = draw.choice([-1.0, 1.0], near.shape) * draw.choice([0.2, 0.9, 0.999], near.shape)
        near[:, free] += (step * float(found.distance[i]))[:, free]
        assert (model.predict(torch.from_numpy(near)).numpy() == int(label[i])).all()


def test_the_distances_are_those_of_veritas():
    veritas = pytest.importorskip("veritas")
    case = next(case for case in CASES if case.name == "xgboost")
    estimator = case.fitted()
    x = case.data(n=6, seed=9)[0].astype(np.float32)
    model = hf.wrap(estimator, (-30, 30))
    label = model.predict(torch.from_numpy(x))
    found = exact.exact_distance(model, x, label)
    ensemble = veritas.get_addtree(estimator, silent=True)
    for i in range(len(x)):
        away = {"target_at": ensemble} if int(label[i]) == 0 else {"source_at": ensemble}
        search = veritas.VeritasRobustnessSearch(
            x[i].astype(veritas.FloatT), 4.0, **{"source_at": None, "target_at": None} | away, silent=True
        )
        _, lower, upper = search.search()[:3]
        assert lower - 1e-3 <= float(found.distance[i]) <= upper + 1e-3


def test_a_search_that_ends_early_leaves_a_bound_from_below():
    estimator = next(case for case in CASES if case.name == "forest, missing").fitted()
    x = np.nan_to_num(CASES[3].data(n=12, seed=4)[0])
    model = hf.wrap(estimator, (-30, 30))
    label = model.predict(torch.from_numpy(x))
    whole, few = (exact.exact_distance(model, x, label, budget=budget) for budget in (100_000, 3))
    assert bool((few.lower <= whole.distance).all())
    assert bool((few.boxes <= 5).all())
    assert bool((~few.proven).any())
    assert torch.equal(few.witness[torch.isinf(few.distance)], torch.from_numpy(x)[torch.isinf(few.distance)])
    middle = float(whole.distance.median())
    near = exact.exact_distance(model, x, label, within=middle)
    assert torch.equal(near.distance < np.inf, whole.distance < middle)
    assert bool((near.lower == torch.clamp(whole.distance, max=middle)).all())


def test_room_that_runs_out_in_the_middle_of_a_search_changes_nothing(monkeypatch):
    estimator = next(case for case in CASES if case.name == "forest, missing").fitted()
    x = np.nan_to_num(CASES[3].data(n=4, seed=4)[0])
    model = hf.wrap(estimator, (-30, 30))
    label = model.predict(torch.from_numpy(x))
    before = exact.exact_distance(model, x, label)
    grown = []
    monkeypatch.setattr(search, "ROOM", 1)
    monkeypatch.setattr(
        search, "_search", lambda *given, run=search._search: grown.append(len(given[18])) or run(*given)
    )
    after = exact.exact_distance(model, x, label)
    assert max(grown) >= 4 * min(grown)
    for field in dataclasses.fields(before):
        assert torch.equal(getattr(before, field.name), getattr(after, field.name))


def test_what_is_wrong_already_is_at_distance_zero():
    estimator = next(case for case in CASES if case.name == "forest").fitted()
    x = torch.from_numpy(CASES[2].data(n=4, seed=4)[0])
    model = hf.wrap(estimator, (-30, 30))
    found = hf.exact_distance(model, x, 1 - model.predict(x))
    assert found.distance.tolist() == [0.0] * 4
    assert torch.equal(found.witness, x)


def test_refusals_are_a_line_each():
    estimator = next(case for case in CASES if case.name == "forest").fitted()
    x, y = CASES[2].data(n=4)
    model = hf.wrap(estimator, (-30, 30))
    for other in (model | BitDepth(), model.seen_as("scores"), hf.wrap(lambda rows: rows[:, :2], output="logits")):
        with pytest.raises(ModelError, match="HF271"):
            hf.exact_distance(other, x, y)
    with pytest.raises(ThreatError, match=r"HF303.*l3"):
        hf.exact_distance(model, x, y, norm="l3")
    with pytest.raises(DataError, match="HF104"):
        hf.exact_distance(hf.wrap(estimator, (-0.1, 0.1)), x, y)
    flipped = dataclasses.replace(model.trees(), values=model.trees().values[:, ::-1])
    with pytest.raises(ModelError, match="HF272"):
        hf.exact_distance(dataclasses.replace(model, trees=lambda: flipped), x, y)
    assert ZERO == 2
