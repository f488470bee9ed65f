"""Twins of pipelines of raw rows: their probabilities on every kind of row, and a gradient for every level."""

import numpy as np
import pandas
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC

import holdfast as hf
from holdfast.models.settle import settle
from holdfast.models.stage import Stage, guarded
from holdfast.models.tables import feed_of
from holdfast.models.twin_tables import table_twin
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.spread import Spread

NAN = float("nan")
SCHEMA = hf.Schema(
    (
        Feature("age", "integer", low=18, high=60),
        Feature("income", "real", low=-50, high=1e6, missing=True),
        Feature("job", "categorical", levels=("clerk", "sales", "chief"), missing=True),
        Feature("grade", "ordinal", levels=("-1", "0", "5")),
        Feature("red", "one-hot", group="color"),
        Feature("blue", "one-hot", group="color"),
        Feature("floor", "integer", low=0, high=9, missing=True),
    )
)
SPACE = hf.Tabular(SCHEMA)


def rows(n=300, seed=0):
    x = SPACE.sample(torch.zeros((n, 7), dtype=torch.float64), torch.Generator().manual_seed(seed))
    gone = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed + 1)) < 0.2
    return torch.where(gone & torch.tensor([f.missing for f in SCHEMA.features]), NAN, x)


X = rows()
Y = ((X[:, 2] == 2) ^ (X[:, 0] > 40)).long() + (X[:, 3] == 2)
NUMBERS, WORDS = ["age", "income", "grade"], ["job"]


def numbers():
    return make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())


def words():
    return make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder())


KINDS = {
    "one-hot": lambda: make_column_transformer((numbers(), NUMBERS), (words(), WORDS), remainder="drop"),
    "the rest as it is": lambda: make_column_transformer(
        (numbers(), [*NUMBERS, "floor"]), (words(), WORDS), remainder="passthrough"
    ),
    "places of levels": lambda: make_column_transformer(
        (OrdinalEncoder(encoded_missing_value=-1), WORDS), (StandardScaler(), ["age"]), ("passthrough", ["red"])
    ),
    "bins, whole numbers as levels": lambda: make_column_transformer(
        (KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), ["age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["floor", "grade"]),
    ),
    "a selection behind": lambda: make_pipeline(
        make_column_transformer((numbers(), NUMBERS), (OneHotEncoder(drop="first"), WORDS)), SelectKBest(k=4)
    ),
}
LAST = {
    "linear": lambda: LogisticRegression(max_iter=500),
    "network": lambda: MLPClassifier((6,), max_iter=40, random_state=0),
    "votes": lambda: SVC(),
}


def fitted(prepare, last):
    with np.errstate(all="ignore"):
        return make_pipeline(prepare, last).fit(SPACE.frame(X), Y.numpy())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("kind", KINDS)
def test_the_twin_is_the_pipeline(kind, last):
    pipeline, fresh = fitted(KINDS[kind](), LAST[last]()), rows(seed=7)
    model = settle(hf.wrap(pipeline, SCHEMA), X)
    assert "twin" in model.adapter
    assert model.predict(fresh).tolist() == pipeline.predict(SPACE.frame(fresh)).tolist()
    if last != "votes":
        want = torch.from_numpy(pipeline.predict_proba(SPACE.frame(fresh)))
        assert torch.allclose(model.scores(fresh).softmax(1), want, atol=1e-9)
    assert torch.equal(model.wide.ask(model.wide.of.wide(fresh)), model.module(fresh))


def test_the_gradient_at_a_level_is_what_the_level_brings():
    """Of a linear model the scores differ by exactly that."""
    pipeline = fitted(KINDS["the rest as it is"](), LogisticRegression(max_iter=500))
    model, x = settle(hf.wrap(pipeline, SCHEMA), X), rows(20, seed=3)
    spread = model.wide.of
    leaf = spread.wide(x).requires_grad_()
    for k in range(3):
        (g,) = torch.autograd.grad(model.wide.ask(leaf)[:, k].sum(), leaf)
        for j, values in enumerate(spread.values):
            for i, value in enumerate(values):
                other = x.clone()
                other[:, j] = value
                now = (g * leaf)[:, spread.places[j]].sum(1)
                brings = (model.scores(other) - model.scores(x))[:, k]
                assert torch.allclose(g[:, spread.places[j].start + i] - now, brings, atol=1e-9)


def test_codes_between_levels_are_shares_of_both_and_their_gradient_is_finite_differences():
    spread = Spread(((0.0, 1.0, 2.0, NAN), ()), (True, True))
    x = torch.tensor([[0.0, 3], [1.25, NAN], [NAN, 2], [2, -1]]).double()
    wide = [[1, 0, 0, 0, 3, 0], [0, 0.75, 0.25, 0, 0, 1], [0, 0, 0, 1, 2, 0], [0, 0, 1, 0, -1, 0]]
    assert spread.wide(x).tolist() == wide
    weights = torch.tensor([1.0, 5, -2, 7, 0.5, 3]).double()
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad((spread.wide(leaf) @ weights).sum(), leaf)
    assert g[:, 0].tolist() == [4, -7, 0, -7]
    assert g[[0, 2, 3], 1].tolist() == [0.5] * 3


@pytest.mark.parametrize(
    "prepare",
    [
        make_column_transformer((FunctionTransformer(np.abs), ["age"]), (words(), WORDS)),
        make_pipeline(make_column_transformer((numbers(), NUMBERS)), PolynomialFeatures(2, include_bias=False)),
        make_column_transformer((KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), ["floor"])),
    ],
    ids=["a function", "products of columns", "refuses a gap"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_not_known_has_no_twin(prepare):
    whole = X[~X.isnan().any(1)]
    pipeline = make_pipeline(prepare, LogisticRegression(max_iter=50))
    pipeline.fit(SPACE.frame(whole), (whole[:, 2] == 2).long().numpy())
    model = settle(hf.wrap(pipeline, SCHEMA), whole)
    assert model.module is None
    assert model.wide is None


@pytest.mark.parametrize(
    "prepare",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        TargetEncoder(cv=KFold(2)),
        make_pipeline(SimpleImputer(missing_values=512, fill_value=0, strategy="constant"), StandardScaler()),
    ],
    ids=["one-hot", "the rare ones together", "places", "targets", "a number for gaps"],
)
@pytest.mark.parametrize("named", [True, False], ids=["frame", "array"])
def test_a_number_that_steps_know_by_name_is_no_line_though_random_rows_never_meet_it(prepare, named):
    """Of 30,000 postal codes twelve are known: to a twin that was tried on random ones alone the column is nothing."""
    space = hf.Tabular(
        hf.Schema((Feature("code", "integer", low=0, high=30_000), Feature("size", "real", low=0, high=1)))
    )
    x = space.sample(torch.zeros((120, 2), dtype=torch.float64), torch.Generator().manual_seed(2))
    x[:, 0] = (10 + 502 * (torch.arange(120) % 12)).where(torch.arange(120) < 117, x[:, 0])
    given = space.frame(x) if named else x.numpy()
    encoded = make_column_transformer((prepare, [0]), remainder="passthrough")
    pipeline = make_pipeline(encoded, LogisticRegression()).fit(given, (x[:, 0] % 1000 < 500).numpy().astype(int))
    assert table_twin(pipeline, space, feed_of(pipeline, space)) is None


def test_stages_and_less_knowledge_hide_it():
    model = settle(hf.wrap(fitted(KINDS["one-hot"](), LogisticRegression()), SCHEMA), X)
    assert all(model.seen_as(knowledge).wide is None for knowledge in ("scores", "labels"))
    assert model.seen_as("gradients").wide is not None
    assert guarded(model, Stage()).wide is None


def test_a_model_of_words_alone_shows_gradients():
    schema = hf.Schema(tuple(Feature(f"w{i}", "categorical", levels=("a", "b", "c")) for i in range(3)))
    x = torch.cartesian_prod(*[torch.arange(3.0)] * 3).double()
    frame = hf.Tabular(schema).frame(x)
    assert isinstance(frame, pandas.DataFrame)
    pipeline = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, (x.sum(1) > 3).numpy().astype(int))
    model = settle(hf.wrap(pipeline, schema), x)
    assert torch.allclose(model.scores(x).softmax(1), torch.from_numpy(pipeline.predict_proba(frame)))
    assert model.module(x.requires_grad_()).requires_grad
