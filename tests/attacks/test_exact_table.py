"""Exact distances over the possible rows of a schema, beside all of them."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

import holdfast as hf
from cases.tables import SCHEMA
from holdfast.core.errors import DataError
from holdfast.models.model import Model
from holdfast.models.trees.compiled import COMPILES
from holdfast.threats.tables.tabular import Tabular

FREE = dataclasses.replace(SCHEMA, relations=())
ROWS = 12 if COMPILES else 4


def rows_of(schema):
    """Every row that is possible."""
    ends = [range(5), np.arange(5) / 4, [0, 1, 2, np.nan], range(3), range(2), np.eye(3).tolist()]
    rows = torch.tensor([[*row[:5], *row[5]] for row in itertools.product(*ends)], dtype=torch.float64)
    return rows[schema.validate(rows).valid]


def model_of(schema, kind, seed, weight=(1, 4, 1.5, 2, 3, 2, 2, 2)):
    """Trees on codes of the small table, as a model that is asked about possible rows alone."""
    every, draw = rows_of(schema), np.random.default_rng(seed)
    scores = torch.from_numpy(draw.normal(size=(8, 3)) * np.array([weight]).T)
    label = (every.nan_to_num(-1) @ scores - (every.nan_to_num(-1) @ scores).mean(0)).argmax(1)
    form = hf.wrap(kind.fit(every.numpy(), label.numpy()), (0, 4)).trees()

    def ask(z):
        assert schema.validate(z).valid.all(), "an impossible row was asked about"
        return torch.from_numpy(form.scores(z.numpy()))

    model = Model(Tabular(schema), 3, scores=ask, trees=lambda: form)
    return model, every, every[torch.from_numpy(draw.permutation(len(every))[:ROWS])]


def nearest(schema, model, every, x, label):
    """The least distance by looking at every row."""
    may = every[model.predict(every) != label]
    may = may[schema.validate(may, x.expand(len(may), -1)).valid]
    far = schema.ruler.distance(may, x.expand(len(may), -1), "linf")
    return float(far.min()) if len(far) else np.inf


KINDS = {
    "forest": lambda: RandomForestClassifier(6, max_depth=4, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=8, random_state=0),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_of_all_possible_rows(kind, seed):
    """Steps, ranges, a direction, an immutable column, one without order, standardized units."""
    model, every, x = model_of(FREE, KINDS[kind](), seed)
    y = model.predict(x)
    found = hf.exact_distance(model, x, y)
    least = [nearest(FREE, model, every, row, own) for row, own in zip(x, y, strict=True)]
    assert found.distance.tolist() == least
    assert found.proven.all()
    assert np.isfinite(least).any()
    assert FREE.validate(found.witness, x).valid.all()
    there = found.distance.isfinite()
    assert (model.predict(found.witness) != y)[there].all()
    assert torch.equal(FREE.ruler.distance(found.witness, x, "linf")[there], found.distance[there])


def test_where_the_nearest_row_of_the_boxes_breaks_a_relation_the_nearest_possible_one_is_found():
    model, every, _ = model_of(SCHEMA, KINDS["histogram"](), 0, (0, 9, 0, 1, 0, 1, 1, 1))
    x = every[::60]
    y = model.predict(x)
    free = dataclasses.replace(model, space=Tabular(FREE), scores=lambda z: torch.from_numpy(model.trees().scores(z)))
    found, without = hf.exact_distance(model, x, y), hf.exact_distance(free, x, y)
    least = torch.tensor([nearest(SCHEMA, model, every, row, own) for row, own in zip(x, y, strict=True)])
    assert SCHEMA.validate(found.witness, x).valid.all()
    assert torch.equal(found.distance, least.double())
    assert found.proven.all()
    assert not SCHEMA.validate(without.witness, x).valid.all()


def test_a_row_that_is_wrong_already_is_at_no_distance():
    model, _, x = model_of(SCHEMA, KINDS["forest"](), 0)
    found = hf.exact_distance(model, x, (model.predict(x) + 1) % 3)
    assert not found.distance.any()
    assert torch.equal(found.witness.nan_to_num(-1), x.nan_to_num(-1))


def test_steps_of_a_tenth_are_kept():
    schema = hf.Schema((hf.Feature("a", low=0, high=2, step=0.1), hf.Feature("b", low=0, high=9, immutable=True)))
    draw = np.random.default_rng(0)
    x = schema.ranges.snap(torch.from_numpy(draw.random((200, 2)) * 2))
    forest = RandomForestClassifier(5, random_state=0).fit(x.numpy(), (x[:, 0] > 0.75).numpy().astype(int))
    model = hf.wrap(forest, schema)
    found = hf.exact_distance(model, x[:10], model.predict(x[:10]))
    assert found.proven.all()
    assert schema.validate(found.witness, x[:10]).valid.all()
    assert torch.equal(found.witness[:, 1], x[:10, 1])


def test_rows_that_cannot_be_are_refused():
    model, _, x = model_of(FREE, KINDS["forest"](), 0)
    y = model.predict(x)
    x[0, 0] = 2.5
    for norm in ("linf", "l2"):
        with pytest.raises(DataError, match="^HF104 Rows break their schema. Seen 1 of"):
            hf.exact_distance(model, x, y, norm=norm)
