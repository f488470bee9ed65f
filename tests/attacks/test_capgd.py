"""CAPGD on linear scores, where the best row can be told by hand."""

import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import holdfast as hf
from holdfast.attacks.evasion.capgd import Capgd
from holdfast.attacks.run import run
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.literals import parse

W = torch.tensor([3.0, 2.0, -1.0, 0.5, 0.0], dtype=torch.float64)
SCHEMA = hf.Schema(
    (
        hf.Feature("a", "integer", low=0, high=10, scale=2),
        hf.Feature("b", "real", low=0, high=1, direction="down"),
        hf.Feature("c", "real", low=-4, high=4, scale=1),
        hf.Feature("d", "binary", immutable=True),
        hf.Feature("e", "integer", low=0, high=9),
    ),
    ("a <= 7",),
)
X = torch.tensor([[1.0, 0.5, 0.0, 0.0, 3.0]], dtype=torch.float64)


def model(bias: float) -> Model:
    """Class 1 where the weighted sum exceeds the bias."""

    def scores(z):
        return torch.stack([torch.full_like(z[:, 0], bias), z @ W], 1)

    return Model(hf.Tabular(SCHEMA), 2, lambda z: scores(z).argmax(1), scores, scores)


def best(threat: str) -> torch.Tensor:
    """The strongest row under a threat."""
    return run(Capgd(steps=12), model(1e3), X, torch.zeros(1), threat, perturb=True).strongest[0]


def test_the_strongest_row_on_linear_scores():
    assert best("table:features=1").tolist() == [7, 0.5, 0, 0, 3]  # a, as far as its relation allows
    assert best("table:features=2").tolist() == [7, 0.5, -4, 0, 3]
    assert best("table:linf=1").tolist() == [3, 0.5, -1, 0, 3]
    assert best("table:linf=0.5").tolist() == [2, 0.5, -0.5, 0, 3]


def test_it_breaks_what_can_be_broken_and_nothing_else():
    found = [run(Capgd(), model(b), X, torch.zeros(1), "table:features=2") for b in (25.5, 26.5)]
    assert [bool(out.success[0]) for out in found] == [True, False]  # 7 * 3 + 0.5 * 2 + 4 = 26


def test_levels_have_gradients_of_their_own_and_the_best_ones_are_found():
    """Of a linear model behind one-hot encoders, by asking about every row."""
    schema = hf.Schema(
        (
            hf.Feature("a", "categorical", levels=tuple("pqrst")),
            hf.Feature("b", "ordinal", levels=("low", "mid", "high"), direction="up", missing=False),
            hf.Feature("c", "categorical", levels=tuple("uvw"), missing=True),
            hf.Feature("d", "integer", low=0, high=3, scale=1),
            hf.Feature("e", "categorical", levels=("x", "y"), immutable=True),
        )
    )
    ways = [
        torch.arange(5.0),
        torch.arange(3.0),
        torch.tensor([0, 1, 2, torch.nan]),
        torch.arange(4.0),
        torch.arange(2.0),
    ]
    every = torch.cartesian_prod(*ways).double()
    space = hf.Tabular(schema)
    encoder = make_column_transformer((OneHotEncoder(), list("abce")), remainder="passthrough")
    y = torch.rand(len(every), generator=torch.Generator().manual_seed(5)) + every[:, 3] / 4 > 0.9
    pipeline = make_pipeline(encoder, LogisticRegression(C=0.1)).fit(space.frame(every), y.long().numpy())
    model, x = settle(hf.wrap(pipeline, schema), every), every[::41]
    labels, scores = model.labels(x), model.scores(every)
    for literal in ("table:features=1", "table:features=2", "table:linf=1"):
        out = run(Capgd(steps=6, restarts=1), model, x, labels, literal, perturb=True)
        for i in range(len(x)):
            may = parse(literal).around(x[i : i + 1].expand(len(every), -1), space).contains(every)
            margin = (scores[:, labels[i]] - scores[:, 1 - labels[i]])[may]
            assert abs(float(out.margin[i] - margin.min())) < 1e-9, (literal, x[i], out.strongest[i])
