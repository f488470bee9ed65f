"""Exact distances in four norms over the possible rows of small schemas, beside all of these rows."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

import holdfast as hf
from holdfast.attacks.trees import cells, relations
from holdfast.core.errors import ThreatError
from holdfast.models.model import Model
from holdfast.models.trees.planting import Tree, plant, spread
from holdfast.threats.tables.tabular import Tabular

MEASURES = {"l0": "features", "l1": "l1", "l2": "l2", "linf": "linf"}
CLOSE = 2e-6  # of a distance: what the solver proves
RULES = (
    ("a", "b", "a <= 4 * b + 1"),
    ("a", "b", "a + b < 3.1"),
    ("a", "b", "a == 4 * b or a == 1"),
    ("a", "b", "b >= a / 4 - 0.1 and a <= 3"),
    ("a", "b", "a * b <= 2"),
    ("a", "b", "a > 0.1 - b"),
    ("a", "b", "a >= -2 * b"),
    ("a", "d", 'a == 2 -> not d == "x"'),
    ("b", "e", "b <= 0.5 or e == 1"),
    ("a", "c", "c + a <= 3"),
    ("c", "e", "c != 2 * e - 1"),
    ("a", "g", "a <= 1 + 2 * g1"),
    ("d", "e", "d determines e"),
)


def schema_of(draw):
    """A few columns of different kinds, and up to two relations between them; how many values each has."""
    way, some = ("both", "both", "up", "down"), lambda share: bool(draw.random() < share)
    step = float(draw.choice([0.25, 0.1]))
    levels = tuple(draw.permutation(["x", "y", "z"]).tolist())
    known = {
        "a": [hf.Feature("a", "integer", low=-1, high=3, scale=2.0, missing=some(0.3), direction=draw.choice(way))],
        "b": [hf.Feature("b", low=0, high=5 * step, step=step, direction=draw.choice(way), immutable=some(0.1))],
        "c": [hf.Feature("c", "ordinal", levels=("-1", "0", "3"), missing=some(0.3))],
        "d": [hf.Feature("d", "categorical", levels=levels, scale=float(draw.choice([0.5, 1.0])))],
        "e": [hf.Feature("e", "binary", immutable=some(0.3), scale=float(draw.choice([1.0, 3.0])))],
        "g": [hf.Feature(f"g{i}", "one-hot", group="g", scale=1.0 + i / 2) for i in range(3)],
    }
    chosen = sorted(draw.choice(list(known), 4, replace=False).tolist())
    may = [rule for *columns, rule in RULES if set(columns) <= set(chosen)]
    rules = tuple(draw.choice(may, min(len(may), int(draw.integers(0, 3))), replace=False).tolist())
    schema = hf.Schema(tuple(f for name in chosen for f in known[name]), rules)
    if "d determines e" in rules:
        pairs = torch.zeros(3, len(schema.features), dtype=torch.float64)
        place = list(schema.by_name)
        pairs[:, place.index("d")] = torch.arange(3.0, dtype=torch.float64)
        pairs[:, place.index("e")] = torch.from_numpy(draw.integers(0, 2, 3).astype(float))
        schema = schema.learned(pairs)
    return schema


def every_row(schema):
    """All possible rows of a schema."""
    ways = []
    for columns in schema.ruler.slots:
        f = schema.features[columns[0]]
        if len(columns) > 1:
            ways.append(np.eye(len(columns)).tolist())
        else:
            count = round((f.span[1] - f.span[0]) / f.step) + 1
            values = f.stepped(torch.arange(count, dtype=torch.float64) * f.step + f.span[0]).tolist()
            ways.append([[value] for value in values + [np.nan] * f.missing])
    order = [j for columns in schema.ruler.slots for j in columns]
    rows = torch.tensor([sum(row, []) for row in itertools.product(*ways)], dtype=torch.float64)
    rows = rows[:, np.argsort(order)]
    return rows[schema.validate(rows).valid]


def random_tree(draw, named, zeros, output, outputs):
    """A tree of depth up to 3 over codes; `named` columns are split on sets of levels."""
    feature, threshold, left, right, members = [], [], [], [], {}

    def grow(depth):
        node, inner = len(feature), depth < 3 and draw.random() < 0.9
        j = int(draw.integers(len(named))) if inner else -1
        feature.append(j)
        threshold.append(float(draw.choice([-0.5, 0.0, 0.05, 0.3, 0.5, 1.0, 1.5, 2.2])))
        left.append(-1)
        right.append(-1)
        if inner:
            if named[j]:
                members[node] = draw.choice(3, int(draw.integers(1, 3)), replace=False).tolist()
            left[node], right[node] = grow(depth + 1), grow(depth + 1)
        return node

    grow(0)
    value = draw.integers(-3, 4, size=len(feature)) * float(draw.choice([1.0, 0.1]))
    return Tree(
        feature=np.array(feature),
        threshold=np.array(threshold),
        left=np.array(left),
        right=np.array(right),
        value=spread(value, output, outputs),
        missing=draw.integers(0, 3, len(feature)),
        zeros=(draw.random(len(feature)) < 0.3) & zeros,
        members=members,
    )


def model_of(draw, schema):
    """A few random trees over codes, with missing values, zeros that count as missing, and sets of levels."""
    classes, zeros = int(draw.integers(2, 4)), bool(draw.random() < 0.3)
    named = [f.kind == "categorical" and bool(draw.random() < 0.5) for f in schema.features]
    outputs = classes if classes > 2 else 1
    trees = [
        random_tree(draw, named, zeros, int(draw.integers(outputs)), outputs) for _ in range(int(draw.integers(2, 6)))
    ]
    base = draw.integers(-1, 2, size=outputs) * 0.1
    form = plant(
        trees, library="test", features=len(named), base=base, precision=str(draw.choice(["float32", "float64"]))
    )

    def ask(x):
        assert schema.validate(x).valid.all(), "an impossible row was asked about"
        sums = torch.from_numpy(form.sums(x.numpy()))
        return torch.cat([torch.zeros_like(sums), sums], 1) if classes == 2 else sums

    return Model(Tabular(schema), classes, scores=ask, trees=lambda: form)


def agrees(seed):
    """One random schema and model, the nearest row in each norm; how many rows had one and how many were refused."""
    draw = np.random.default_rng(seed)
    schema = schema_of(draw)
    every = every_row(schema)
    if not len(every):
        return 0, 0
    model, few, combined = model_of(draw, schema), int(draw.choice([128, 2])), int(draw.choice([20_000, 1]))
    x = every[draw.integers(len(every), size=1)]
    label = model.predict(x)
    may = every[(model.predict(every) != label) & schema.validate(every, x.expand(len(every), -1)).valid]
    moved, refused = 0, 0
    for norm, measure in MEASURES.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cells, "FEW", few)
            patch.setattr(relations, "COMBINED", combined)
            try:
                found = hf.exact_distance(model, x, label, norm=norm)
            except ThreatError:
                assert schema.relations, f"{norm} of seed {seed}"
                refused += 1
                continue
        far = schema.ruler.distance(may, x.expand(len(may), -1), measure)
        least = float(far.min()) if len(far) else np.inf
        told = f"{norm} of seed {seed}"
        assert bool(found.proven), told
        assert float(found.distance) == pytest.approx(least, rel=CLOSE), told
        if norm == "linf" and few > 2:  # no number is sought: one of the distances that cells have, to the last bit
            assert float(found.distance) == least, told
        assert schema.validate(found.witness, x).valid.all(), told
        if least < np.inf:
            moved += 1
            assert model.predict(found.witness) != label
            assert float(schema.ruler.distance(found.witness, x, measure)) == pytest.approx(least, rel=CLOSE)
    return moved, refused


@settings(max_examples=25, deadline=None, database=None)
@given(seed=st.integers(0, 2**40))
@example(seed=0)
@example(seed=1073)  # bases of 0.1 whose difference is a whole number, and sums that are none
@example(seed=2291)  # twice the distance is known when it is found
def test_the_distances_are_those_of_brute_force_over_all_possible_rows(seed):
    agrees(seed)


@pytest.mark.slow
def test_two_thousand_small_schemas_and_not_one_contradiction():
    found = np.array([agrees(seed) for seed in range(2000)])
    assert found[:, 0].sum() > 4000
    assert 0 < found[:, 1].sum() < 2000


def stump(schema, j, threshold):
    """A model that says 1 above a threshold of one column."""
    tree = Tree(
        feature=np.array([j, -1, -1]), threshold=np.array([threshold, 0, 0]), left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]), value=np.array([[0.0], [-1.0], [1.0]]), missing=np.zeros(3, int),
    )  # fmt: skip
    form = plant([tree], library="test", features=len(schema.features), base=[0.0])

    def ask(x):
        sums = torch.from_numpy(form.sums(x.numpy()))
        return torch.cat([torch.zeros_like(sums), sums], 1)

    return Model(Tabular(schema), 2, scores=ask, trees=lambda: form)


LINE = (hf.Feature("a", low=0, high=4), hf.Feature("b", low=0, high=2), hf.Feature("c", "integer", low=0, high=9000))


@pytest.mark.parametrize(
    ("rule", "norm", "least"),
    [
        ("a <= 2 * b", "l1", 0.5 / 4 + 0.2 / 2),
        ("a <= 2 * b", "l0", 2),
        ("c >= 2 * a - 1.5", "l1", 0.5 / 4 + 1 / 9000),
        ("c >= 2 * a - 1.5", "l0", 2),
        ("b + 0.7 == 2 * a", "l1", 0.5 / 4 + 1.0 / 2),
        ("a <= 2 * b", "linf", 0.5 / 4),
        ("c >= 2 * a - 1.5", "linf", 0.5 / 4),
        ("b + 0.7 == 2 * a", "linf", 1.0 / 2),
    ],
)
def test_a_linear_relation_between_numbers_without_end(rule, norm, least):
    """Numbers without steps, and too many of them for a cell each: columns of the program."""
    schema = hf.Schema(LINE, (rule,))
    model = stump(schema, 0, 1.0)
    x = torch.tensor([[0.5, 0.3, 0.0]], dtype=torch.float64)
    found = hf.exact_distance(model, x, [0], norm=norm)
    assert schema.validate(found.witness, x).valid.all()
    assert model.predict(found.witness).tolist() == [1]
    assert float(found.distance) == pytest.approx(least, rel=1e-5)
    assert float(found.lower) == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize(("norm", "times", "far"), [("l1", 1000, 0.5 / 4), ("linf", 8000, 0.0)])
def test_a_witness_beside_the_end_of_a_relation_and_no_claim_that_it_is_the_nearest(norm, times, far):
    """At a just above 1 the relation asks for c = 1001; within the solver's tolerance 1000 will do."""
    schema = hf.Schema(LINE, (f"c >= {times} * a",))
    x = torch.tensor([[0.5, 0.3, times * 0.6]], dtype=torch.float64)
    found = hf.exact_distance(stump(schema, 0, 1.0), x, [0], norm=norm)
    assert schema.validate(found.witness, x).valid.all()
    assert float(found.distance) == pytest.approx(far + (times * 0.4 + 1) / 9000)
    assert float(found.lower) == pytest.approx(far + times * 0.4 / 9000, rel=1e-5)
    assert not bool(found.proven)


@pytest.mark.parametrize("norm", list(MEASURES))
def test_a_relation_that_floats_break_by_less_than_the_solver_tells_is_cut_off(norm, monkeypatch):
    """0.1 + 0.2 is more than 0.3, by less than any tolerance: those cells are forbidden together."""
    monkeypatch.setattr(relations, "COMBINED", 1)
    schema = hf.Schema(
        tuple(hf.Feature(name, low=0, high=0.5, step=0.1, scale=1.0) for name in "ab"), ("a + b <= 0.3",)
    )
    x = torch.tensor([[0.1, 0.0]], dtype=torch.float64)
    found, every = hf.exact_distance(stump(schema, 1, 0.15), x, [0], norm=norm), every_row(schema)
    may = every[every[:, 1] > 0.15]
    least = float(schema.ruler.distance(may, x.expand(len(may), -1), MEASURES[norm]).min())
    assert not bool(schema.validate(torch.tensor([[0.1, 0.2]], dtype=torch.float64)).valid)
    assert (float(found.distance), bool(found.proven)) == (pytest.approx(least, rel=CLOSE), True)
    assert schema.validate(found.witness, x).valid.all()


def test_what_a_relation_asks_for_beside_a_change_counts_in_linf():
    """The nearest rows of the box search break the relation; the next ones move two columns that it ties together."""
    schema = hf.Schema(
        (
            hf.Feature("a", "integer", low=0, high=5, scale=1.0),
            hf.Feature("b", "integer", low=0, high=20, scale=1.0),
            hf.Feature("c", "binary", scale=0.25),
        ),
        ("a == 0 or b >= 7 or c == 1",),
    )
    for row, far in (([0.0, 0, 0], 4.0), ([0.0, 1, 0], 4.0), ([0.0, 4, 0], 3.0)):
        x = torch.tensor([row], dtype=torch.float64)
        found = hf.exact_distance(stump(schema, 0, 0.5), x, [0])
        assert (found.distance.item(), found.lower.item(), bool(found.proven)) == (far, far, True)
        assert schema.validate(found.witness, x).valid.all()
    assert found.witness[0, 1] == 7
    far = hf.exact_distance(stump(schema, 0, 0.5), x, [0], within=3.0)
    assert (far.distance.item(), far.lower.item()) == (np.inf, 3.0)


@pytest.mark.parametrize(
    ("held", "before", "after", "far"),
    [
        ([hf.Feature("a", "categorical", levels=("x", "y"), scale=4.0)], [0.0], [1.0], 0.25),
        ([hf.Feature("a", "integer", low=0, high=9, missing=True, scale=0.1)], [0.0], [np.nan], 1.0),
        ([hf.Feature(f"a{i}", "one-hot", group="a", scale=2.0) for i in (0, 1)], [0.0, 1.0], [1.0, 0.0], 0.5),
    ],
)
def test_groups_gaps_and_categories_move_in_linf(held, before, after, far):
    """Two columns decide for 1: a number ten units away, and what no box around the row holds."""
    schema = hf.Schema((hf.Feature("n", "integer", low=0, high=20, scale=1.0), *held))
    tree = Tree(
        feature=np.array([0, 1, -1, -1, -1]), threshold=np.array([9.5, 0.5, 0, 0, 0]),
        left=np.array([1, 3, -1, -1, -1]), right=np.array([2, 4, -1, -1, -1]),
        value=np.array([[0.0], [0.0], [1.0], [-1.0], [1.0]]), missing=np.zeros(5, int),
        members={1: [0]} if held[0].kind == "categorical" else {},
    )  # fmt: skip
    form = plant([tree], library="test", features=len(schema.features), base=[0.0])

    def ask(x):
        sums = torch.from_numpy(form.sums(x.numpy()))
        return torch.cat([torch.zeros_like(sums), sums], 1)

    model = Model(Tabular(schema), 2, scores=ask, trees=lambda: form)
    x = torch.tensor([[0.0, *before]], dtype=torch.float64)
    found = hf.exact_distance(model, x, [0])
    assert (found.distance.item(), bool(found.proven)) == (far, True)
    assert found.witness[0, 1:].nan_to_num(-1).tolist() == np.nan_to_num(after, nan=-1).tolist()


def test_what_no_program_holds_is_refused_by_name():
    for rule, norm, seen in (
        ("a * b <= 3", "l1", r"the relation a \* b <= 3"),
        ("a / b <= 3 or c == 2", "l1", "the relation a / b <= 3 or c == 2"),
        ("a < 2 * b", "l0", r"the relation a < 2 \* b"),
        ("a <= 2 * b", "l2", r"a <= 2 \* b, of a with more than 128 values"),
        ("c >= 9000 * a * b", "linf", r"the relation c >= 9000 \* a \* b"),
        ("a < 2 * b", "linf", r"the relation a < 2 \* b"),
    ):
        schema = hf.Schema(LINE, (rule,))
        x = torch.tensor([[0.5, 0.3, 2000.0]], dtype=torch.float64)
        with pytest.raises(ThreatError, match=f"^HF303 .*Seen {seen}.*LeafTuple.*table:{MEASURES[norm]}=inf"):
            hf.exact_distance(stump(schema, 0, 1.0), x, [0], norm=norm)


def test_budget_clock_and_within_leave_a_bound_from_below():
    draw = np.random.default_rng(3)
    schema = hf.Schema(tuple(hf.Feature(f"f{i}", low=0, high=1, step=0.01) for i in range(4)), ("f0 + f1 <= 1.5",))
    x = schema.ranges.snap(torch.from_numpy(draw.random((300, 4)) * 0.7))
    forest = RandomForestClassifier(6, max_depth=4, random_state=0).fit(x.numpy(), (x.sum(1) > 1.4).int().numpy())
    model = hf.wrap(forest, schema)
    y = model.predict(x[:4])
    for norm in MEASURES:
        whole = hf.exact_distance(model, x[:4], y, norm=norm)
        assert whole.proven.all()
        for limits in ({"seconds": 1e-9}, {"budget": 1}):
            early = hf.exact_distance(model, x[:4], y, norm=norm, **limits)
            assert (early.lower <= whole.distance * (1 + CLOSE)).all()
            assert (early.distance >= whole.distance * (1 - CLOSE)).all()
        if norm != "linf":  # whose boxes are no program
            assert not hf.exact_distance(model, x[:4], y, norm=norm, seconds=1e-9).proven.any()
        middle = float(whole.distance.median()) * (1 + 1e-4)
        near = hf.exact_distance(model, x[:4], y, norm=norm, within=middle)
        assert torch.equal(near.distance < np.inf, whole.distance < middle)
        assert (near.lower <= whole.distance * (1 + CLOSE)).all()


@pytest.mark.parametrize("norm", list(MEASURES))
@pytest.mark.parametrize("rule", [(), ("a <= b",)])
def test_a_missing_value_that_must_stay_is_one_cell(norm, rule):
    for held in (
        hf.Feature("a", "ordinal", levels=("1", "2"), missing=True, immutable=True),
        hf.Feature("a", "integer", low=0, high=3, missing=True, immutable=True),
        *([] if rule else [hf.Feature("a", "categorical", levels=("x", "y"), missing=True, immutable=True)]),
    ):
        schema = hf.Schema((held, hf.Feature("b", "integer", low=0, high=5)), rule)
        x = torch.tensor([[np.nan, 1.0]], dtype=torch.float64)
        found = hf.exact_distance(stump(schema, 1, 2.5), x, [0], norm=norm)
        assert bool(found.witness[0, 0].isnan())
        assert float(found.witness[0, 1]) == 3 or (norm == "l0" and float(found.witness[0, 1]) > 3)
        assert bool(found.proven)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("within", [np.inf, 50.0])
def test_ranges_of_a_hundred_million_units_make_no_false_proof(norm, within):
    """What the farthest cells cost had been 1e16 times what the nearest did, beyond what the solver tells apart."""
    draw, wide = np.random.default_rng(0), 1e8
    schema = hf.Schema(tuple(hf.Feature(f"f{i}", low=-wide, high=wide, scale=1.0) for i in range(3)))
    x = torch.from_numpy(draw.normal(size=(300, 3)))
    x[:20] *= wide / 4
    y = (x.sum(1) + x[:, 0] * x[:, 1] > 0).int().numpy()
    model = hf.wrap(RandomForestClassifier(8, max_depth=5, random_state=0).fit(x.numpy(), y), schema)
    x, trees = x[103:108], model.trees()
    label = model.predict(x)
    found = hf.exact_distance(model, x, label, norm=norm, within=within)
    for i, row in enumerate(x):
        last = [np.unique(trees.cuts("float64")[0][trees.feature == j]) for j in range(3)]
        cells = [
            np.clip(float(v), np.append(-wide, np.nextafter(c, np.inf)), np.append(c, wide))
            for v, c in zip(row, last, strict=True)
        ]
        every = torch.from_numpy(np.stack([one.ravel() for one in np.meshgrid(*cells)], 1))
        far = torch.linalg.vector_norm(every - row, ord=float(norm[1:]), dim=1)
        every = every[order := far.argsort()][:20_000]
        least = float(far[order[int((model.predict(every) != label[i]).int().argmax())]])
        assert float(found.lower[i]) <= least * (1 + CLOSE)
        assert float(found.distance[i]) == pytest.approx(least, rel=CLOSE)
