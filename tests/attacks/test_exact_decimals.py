"""Exact distances where decimals are rounded to floats: steps, strict relations, changes."""

import numpy as np
import pytest
import torch

import holdfast as hf
from attacks.test_exact_rows import CLOSE, MEASURES, every_row, stump
from holdfast.attacks.trees.possible import inward
from holdfast.models.model import Model
from holdfast.models.trees.planting import Tree, plant
from holdfast.threats.tables.tabular import Tabular


@pytest.mark.parametrize("step", [0.01, 0.1, 0.3, 0.7, 1 / 3, 7.0])
def test_a_multiple_of_a_step_is_its_own_next_one(step):
    """0.07 over 0.01 is more than 7 in floats, 0.29 less than 29."""
    feature = hf.Feature("a", low=-200 * step, high=200 * step, step=step)
    own = feature.stepped(torch.arange(-200, 201, dtype=torch.float64) * step).numpy()
    for way in (-1, 1):
        assert (inward(feature, own, way) == own).all()
        beside = inward(feature, np.nextafter(own, way * np.inf)[1:-1], way)
        assert (beside == (own[2:] if way > 0 else own[:-2])).all()


@pytest.mark.parametrize("norm", list(MEASURES))
@pytest.mark.parametrize(
    ("step", "row", "way"), [(0.01, 0.07, "up"), (0.01, 0.29, "down"), (0.7, -1.4, "both"), (0.7, 1.4, "both")]
)
def test_steps_at_the_ends_of_boxes_are_not_lost(step, row, way, norm):
    """The row's own value had been left out where it may go one way only, and the least of a range."""
    schema = hf.Schema(
        (
            hf.Feature("a", low=-3 * step, high=30 * step, step=step, direction=way, scale=1.0),
            hf.Feature("b", "integer", low=0, high=3, scale=9.0),
        )
    )
    x, every = torch.tensor([[row, 1.0]], dtype=torch.float64), every_row(schema)
    for j, threshold in ((0, -2.5 * step), (0, row - step / 2), (0, row + step / 2), (1, 0.5), (1, 1.5)):
        model = stump(schema, j, threshold)
        label = model.predict(x)
        may = every[(model.predict(every) != label) & schema.validate(every, x.expand(len(every), -1)).valid]
        far = schema.ruler.distance(may, x.expand(len(may), -1), MEASURES[norm])
        found = hf.exact_distance(model, x, label, norm=norm)
        assert float(found.distance) == pytest.approx(float(far.min()) if len(far) else np.inf, rel=CLOSE)
        assert bool(found.proven)


@pytest.mark.parametrize("row", [0.9, 1.0, 1.8])
def test_a_set_of_numbers_with_steps_between_is_reached_by_the_nearest(row):
    """From 0.9 to 1.0 it is less than 0.1 in floats, which had been the least change that was looked at."""
    schema = hf.Schema(
        (hf.Feature("a", low=0, high=4, step=0.1, scale=1.0), hf.Feature("b", "integer", low=0, high=3, scale=5.0))
    )
    x, every = torch.tensor([[row, 0.0]], dtype=torch.float64), every_row(schema)
    for member in range(3):
        tree = Tree(
            feature=np.array([0, -1, -1]), threshold=np.zeros(3), left=np.array([1, -1, -1]),
            right=np.array([2, -1, -1]), value=np.array([[0.0], [1.0], [-1.0]]), missing=np.zeros(3, int),
            members={0: [member]},
        )  # fmt: skip
        form = plant([tree], library="test", features=2, base=[0.0])

        def ask(z, form=form):
            sums = torch.from_numpy(form.sums(z.numpy()))
            return torch.cat([torch.zeros_like(sums), sums], 1)

        model = Model(Tabular(schema), 2, scores=ask, trees=lambda form=form: form)
        may = every[model.predict(every) != model.predict(x)]
        found = hf.exact_distance(model, x, model.predict(x))
        assert float(found.distance) == float(schema.ruler.distance(may, x.expand(len(may), -1), "linf").min())


@pytest.mark.parametrize(("norm", "far"), [("l1", 0.028 + 0.1), ("linf", 0.1)])
@pytest.mark.parametrize(
    ("rule", "high"), [("a + b < 3.1", 20), ("3.1 > a + b + c", 5), ("a / 10 + b / 10 < 0.31", 20)]
)
def test_equal_decimals_that_floats_tell_apart_are_no_end_of_a_relation(rule, high, norm, far):
    """2.8 + 0.3 is 3.1, and less than 3.1 to floats: such a row is possible, and was left out of the program."""
    schema = hf.Schema(
        tuple(hf.Feature(n, low=0, high=high, step=0.1, scale=100.0 if n == "a" else 1.0) for n in "abc"), (rule,)
    )
    x, near = torch.tensor([[0.0, 0.4, 0.0], [2.8, 0.3, 0.0]], dtype=torch.float64).split(1)
    found = hf.exact_distance(stump(schema, 0, 2.75), x, [0], norm=norm)
    assert schema.validate(near, x).valid.all()
    assert float(found.distance) == pytest.approx(far)
    assert float(found.lower) <= far * (1 + CLOSE)


@pytest.mark.parametrize("norm", ["l1", "linf"])
@pytest.mark.parametrize(("rule", "step"), [("b < a", 0.01), ("b + 1 < a", 1.0), ("0.75 * b < a / 2", 1.0)])
def test_strict_relations_that_floats_tell_as_numbers_are_proven(rule, step, norm):
    """Two columns as they are, and sums of what floats hold: no equal numbers pass."""
    schema = hf.Schema(tuple(hf.Feature(n, low=0, high=150 * step, step=step, scale=1.0) for n in "ab"), (rule,))
    x = torch.tensor([[5 * step, 0.0]], dtype=torch.float64)
    found, every = hf.exact_distance(stump(schema, 1, 90.5 * step), x, [0], norm=norm), every_row(schema)
    may = every[every[:, 1] > 90.5 * step]
    least = float(schema.ruler.distance(may, x.expand(len(may), -1), MEASURES[norm]).min())
    assert (float(found.distance), bool(found.proven)) == (pytest.approx(least, rel=CLOSE), True)
