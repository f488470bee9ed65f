"""The constrained Carlini-Wagner attack beside nearest rows that are known: in closed form, and by asking every row."""

import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import holdfast as hf
from cases.tables import SCHEMA, SPACE, possible_rows
from holdfast.attacks.evasion.carlini_wagner_table import CarliniWagnerTable
from holdfast.attacks.run import run
from holdfast.geometry.projections import fill, pour
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.literals import parse
from holdfast.threats.tables.genomes import Genomes
from holdfast.threats.tables.relaxing import Relaxed
from holdfast.threats.tables.spread import Spread

W = torch.tensor([3.0, -2.0, 1.0, 0.5, -0.2], dtype=torch.float64)
NUMBERS = hf.Schema(tuple(hf.Feature(f"n{j}", "real", low=-1, high=1, scale=0.5 + j / 4) for j in range(5)))


def straight(bias):
    """Class 1 where the weighted sum exceeds the bias."""

    def scores(z):
        return torch.stack([torch.full_like(z[:, 0], bias), z @ W], 1)

    return Model(hf.Tabular(NUMBERS), 2, lambda z: scores(z).argmax(1), scores, scores)


@pytest.mark.parametrize("measure", ["l1", "l2"])
@pytest.mark.parametrize("bias", [3.5, 4.5])
def test_the_nearest_row_of_a_straight_boundary(measure, bias):
    """Columns as far as they go, the best first, or all in the ratio of their gradients: known in closed form."""
    x = torch.rand((8, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    out = run(CarliniWagnerTable(steps=60, searches=6), straight(bias), x, torch.zeros(8), f"table:{measure}=inf")
    w = W * NUMBERS.scales
    cap, short = torch.where(W > 0, 1 - x, x + 1) / NUMBERS.scales, bias - x @ W
    d = pour(w.abs().expand(8, -1), cap, short) if measure == "l1" else fill(w.abs().expand(8, -1), w.abs(), cap, short)
    best = d.sum(1) if measure == "l1" else d.norm(dim=1)
    assert out.success.all()
    far = NUMBERS.ruler.distance(out.adversarial, x, measure)
    assert (far >= best * (1 - 1e-9)).all()
    assert (far <= best * 1.03).all()


@pytest.mark.parametrize("literal", ["table:features=inf", "table:cost=inf", "table:l1=inf"])
def test_the_nearest_of_all_rows_of_a_pipeline_with_levels(literal):
    every = possible_rows()[possible_rows()[:, 2].isfinite()]
    words = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["grade", "job"]), remainder="passthrough")
    draw = torch.rand(len(every), generator=torch.Generator().manual_seed(3))
    y = ((every[:, 3] == 2) ^ (every[:, 0] > 2)) | (draw > 0.9)
    schema = hf.Schema(tuple(f for f in SCHEMA.features), SCHEMA.relations)
    pipeline = make_pipeline(words, LogisticRegression()).fit(SPACE.frame(every), y.long().numpy())
    model, x = settle(hf.wrap(pipeline, schema), every), every[::97]
    labels, said, measure = model.labels(x), model.labels(every), parse(literal).limits[0][0]
    out = run(CarliniWagnerTable(steps=20, searches=4), model, x, labels, literal)
    far, ruler = torch.full((len(x),), torch.inf).double(), SCHEMA.ruler
    for i in range(len(x)):
        region = parse(literal).around(x[i : i + 1].expand(len(every), -1), SPACE)
        may = region.contains(every) & (said != labels[i])
        far[i] = ruler.distance(every[may], x[i : i + 1], measure).min() if may.any() else torch.inf
    found = torch.where(out.success, ruler.distance(out.adversarial, x, measure), torch.inf)
    assert (found >= far - 1e-9).all()
    assert (found <= far + 1e-9).double().mean() > 0.7


def test_displacements_stand_for_rows_and_limits_are_kept_before_the_repair():
    """Numbers in units of the threat, a level from half a switch on, a group by its largest share."""
    x = torch.tensor([[1, 0.25, 0, 1, 1, 0, 1, 0.0]]).double()
    spread = Spread(((), (), (0.0, 1.0, 2.0, torch.nan), (0.0, 1.0, 2.0), (), (), (), ()), (False,) * 8)
    way = Relaxed(Genomes(parse("table:l1=2").around(x, SPACE)), spread)
    assert way.codes(0 * way.high).tolist() == x.tolist()
    s = 0 * way.high
    s[0, 1] = 0.5  # rate, in units of 0.5
    s[0, 4] = 0.5 * way.worth[0, 4]  # grade: the highest of three, two steps off in a range of two
    s[0, 6:9] = torch.tensor([0.49, 0, 0.3])  # job stays
    s[0, -1] = 0.8  # green
    assert way.codes(s).tolist() == [[1, 0.5, 2, 1, 1, 0, 0, 1]]
    assert way.high[0, 9] == way.low[0, 9] == 0, "the owner is immutable"
    assert way.low[0, 0] == 0, "age only goes up"
    g = torch.zeros_like(s)
    g[0, 6:9] = torch.tensor([5.0, 3.0, 7.0])
    assert way.lifted(g)[0, 6:9].tolist() == [2, 0, 4]
    assert float(way.kept(100 * s).abs().sum()) <= 2 + 1e-9
