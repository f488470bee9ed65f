"""Graph search against brute force on tables small enough to ask about every row, and against exact distances."""

import math

import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

import holdfast as hf
from cases.tables import SCHEMA, SPACE, possible_rows
from holdfast.attacks.evasion.graph_search import GraphSearch
from holdfast.attacks.run import run
from holdfast.models.model import Model
from holdfast.threats.literals import parse

ROWS = possible_rows()
WIDE = GraphSearch(steps=6, width=400, samples=2000)


def rugged(seed: int) -> Model:
    """Scores without any order: every row of the table has random ones of its own, and one in sixty is of class 1."""
    draw = torch.Generator().manual_seed(seed)
    table = {
        tuple(row): u
        for row, u in zip(ROWS.nan_to_num(-1).tolist(), torch.rand(len(ROWS), generator=draw), strict=True)
    }

    def scores(x):
        u = torch.stack([table[tuple(row)] for row in x.nan_to_num(-1).tolist()]).double()
        return torch.stack([u, torch.full_like(u, 1 / 60)], 1)

    return Model(SPACE, 2, lambda x: scores(x).argmax(1), scores)


@pytest.mark.parametrize("literal", ["table:features=1", "table:features=2", "table:linf=0.5", "table:cost=1,linf=1"])
def test_a_wide_beam_finds_what_there_is(literal):
    model, threat = rugged(1), parse(literal)
    x = ROWS[model.labels(ROWS) == 0][::37]
    wrong = ROWS[model.labels(ROWS) == 1]
    exists = torch.stack([threat.around(row.expand(len(wrong), -1), SPACE).contains(wrong).any() for row in x])
    out = run(WIDE, model, x, torch.zeros(len(x)), threat)
    assert exists.any()
    assert not exists.all()
    assert out.success.tolist() == exists.tolist()


@pytest.mark.parametrize("measure", ["features", "linf", "l1", "cost", "l2"])
def test_a_wide_beam_finds_the_nearest_row(measure):
    model, threat = rugged(2), parse(f"table:{measure}=inf")
    x = ROWS[model.labels(ROWS) == 0][::211]
    wrong = ROWS[model.labels(ROWS) == 1]
    regions = [threat.around(row.expand(len(wrong), -1), SPACE) for row in x]
    least = torch.stack([region.distance(wrong)[region.contains(wrong)].min() for region in regions])
    out = run(WIDE, model, x, torch.zeros(len(x)), threat)
    assert torch.allclose(SCHEMA.ruler.distance(out.adversarial, x, measure), least)


def test_no_row_is_asked_about_twice_and_every_one_is_possible():
    base, asked = rugged(3), []

    def spied(x):
        asked.append(x.clone())
        return base.scores(x) * 0 + torch.tensor([1.0, 0.0])

    x = ROWS[5:6]
    out = run(GraphSearch(steps=4, width=8), Model(SPACE, 2, None, spied), x, torch.zeros(1), "table:features=2")
    rows = torch.cat(asked)
    assert int(out.queries[0]) == len(rows) - 1
    assert len(torch.unique(rows.nan_to_num(-1), dim=0)) == len(rows)
    assert SCHEMA.validate(rows, x.expand(len(rows), -1)).valid.all()


def test_what_repair_moved_beyond_a_limit_is_not_asked_about():
    """The relation holds with equality, so that a higher rate is repaired by a higher age: two columns."""
    asked = []

    def spied(x):
        asked.append(x.clone())
        return torch.tensor([1.0, 0.0]).expand(len(x), 2)

    x = ROWS[(ROWS[:, 4] == 0) & (ROWS[:, 1] == ROWS[:, 0] / 4) & (ROWS[:, 0] == 2)][:1]
    run(GraphSearch(steps=2), Model(SPACE, 2, None, spied), x, torch.zeros(1), "table:features=1")
    rows = torch.cat(asked)
    assert len(rows) > 5
    assert float(SCHEMA.ruler.distance(rows, x.expand(len(rows), -1), "features").max()) == 1


def test_never_nearer_than_the_exact_distance():
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(300, 3, generator=draw, dtype=torch.float64)
    y = ((x[:, 0] > 0.5) ^ (x[:, 1] + x[:, 2] > 1.1)).long()
    tree = DecisionTreeClassifier(max_depth=5, random_state=0).fit(x.numpy(), y.numpy())
    schema = hf.Schema(tuple(hf.Feature(f"f{i}", "real", low=0, high=1) for i in range(3)))
    rows, labels = x[:20], torch.from_numpy(tree.predict(x[:20].numpy()))
    out = run(GraphSearch(steps=12, width=8), hf.wrap(tree, schema), rows, labels, "table:linf=inf")
    exact = hf.exact_distance(hf.wrap(tree, bounds=(0, 1)), rows, labels)
    found = schema.ruler.distance(out.adversarial, rows, "linf")
    assert out.success.all()
    assert (found >= exact.lower - 1e-12).all()
    assert float((found / exact.distance).median()) < 1.5


def test_steps_without_end_are_tried_on_a_logarithmic_scale():
    """3 -> 4 and 3 -> 3,000 are both tried, though the range goes to 1e9."""
    schema = hf.Schema((hf.Feature("bytes", "integer", low=0, high=1e9), hf.Feature("other", "integer", low=0, high=9)))
    for low, high in ((4, 5), (500, 40000), (1e8, 1e9)):

        def inside(x, low=low, high=high):
            return torch.stack([torch.full_like(x[:, 0], 0.5), ((x[:, 0] >= low) & (x[:, 0] <= high)).double()], 1)

        model = Model(hf.Tabular(schema), 2, None, inside)
        out = run(GraphSearch(), model, torch.tensor([[3.0, 1.0]]), torch.zeros(1), "table:features=1")
        assert out.status == ("broken",)
        assert not math.isnan(float(out.adversarial[0, 0]))
