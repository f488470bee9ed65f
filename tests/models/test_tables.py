"""Models of raw rows behind codes: pipelines, functions, classes, what settles and how differences read."""

import dataclasses

import numpy as np
import pandas
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import holdfast as hf
from holdfast.core.errors import DataError, ModelError
from holdfast.data.tables.loading import table
from holdfast.models.settle import fingerprint, settle
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular

NAN = float("nan")


def frame(n=160, seed=0):
    draw = np.random.default_rng(seed)
    age = draw.integers(18, 90, n)
    income = np.where(draw.random(n) < 0.1, NAN, draw.gamma(2.0, 20.0, n).round(1))
    job = draw.choice(["clerk", "sales", "chief"], n)
    job[draw.random(n) < 0.1] = ""
    grade = draw.choice([-1, 0, 5], n)
    red = draw.integers(0, 3, n)
    good = (age > 40) ^ (job == "chief") | (grade == 5)
    columns = {"age": age, "income": income, "job": np.where(job == "", None, job), "grade": grade}
    for i, color in enumerate(("red", "blue", "green")):
        columns[f"color_{color}"] = (red == i).astype(int)
    return pandas.DataFrame({**columns, "risk": np.where(good, "good", "bad")})


FRAME = frame()
SPLITS = table(FRAME, label="risk", name="loans")
DATA = SPLITS.test
SCHEMA = DATA.schema
SPACE = Tabular(SCHEMA)
RAW = FRAME.drop(columns="risk")


def pipeline(last):
    words = make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder())
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer((numbers, ["age", "income", "grade"]), (words, ["job"]), remainder="passthrough")
    return make_pipeline(columns, last)


def test_encoding_and_decoding_are_inverse():
    assert torch.equal(SPACE.encode(RAW).nan_to_num(-9), DATA.x.nan_to_num(-9))
    back = SPACE.frame(DATA.x)
    assert list(back) == list(RAW)
    for name in RAW:
        assert back[name].isna().tolist() == RAW[name].isna().tolist()
        assert back[name].dropna().tolist() == RAW[name].dropna().tolist()
    assert back["age"].dtype.kind == "i"
    assert back["income"].dtype.kind == "f"
    assert SPACE.encode(RAW.to_dict("records")).shape == DATA.x.shape


def test_ordinal_levels_that_are_numbers_come_back_as_numbers():
    schema = Schema((Feature("grade", "ordinal", levels=("-1", "0", "5"), missing=True), Feature("b", "binary")))
    space = Tabular(schema)
    x = space.encode({"grade": ["5", "-1"], "b": [1, 0]})
    assert x.tolist() == [[2, 1], [0, 0]]
    assert space.decode(x)["grade"].tolist() == [5, -1]
    assert space.encode({"grade": [5.0, -1.0], "b": [True, False]}).tolist() == x.tolist()
    assert np.isnan(space.decode([[NAN, 1]])["grade"]).all()


def test_differences_are_told_in_the_words_of_the_table():
    a = torch.tensor([30, 20.5, 0, 2, 1, 0, 0]).double()
    b = torch.tensor([31, NAN, 2, 2, 0, 0, 1]).double()
    assert (
        SPACE.describe(a, b)
        == "age 30 -> 31, income 20.5 -> missing, job chief -> sales, color color_red -> color_green"
    )
    assert SPACE.describe(b, b) == "nothing changed"
    many = Tabular(Schema(tuple(Feature(f"f{i}", "binary") for i in range(15))))
    assert many.describe(torch.zeros(15), torch.ones(15)).endswith("f11 0 -> 1 and 3 more")


@pytest.mark.parametrize(
    "last", [LogisticRegression(max_iter=500), DecisionTreeClassifier(max_depth=4, random_state=0)], ids=str
)
def test_a_pipeline_is_asked_about_raw_rows(last):
    fitted = pipeline(last).fit(RAW, FRAME["risk"])
    model = settle(hf.wrap(fitted, SCHEMA), DATA.x)
    assert model.space == SPACE
    assert torch.allclose(model.scores(DATA.x).softmax(1), torch.from_numpy(fitted.predict_proba(RAW)), atol=1e-6)
    said = [SCHEMA.classes[i] for i in model.predict(DATA.x).tolist()]
    assert said == fitted.predict(RAW).tolist()
    assert len(fingerprint(model, (7,), torch.float64)) == 32


def test_a_function_gets_a_frame_of_raw_rows():
    seen = []

    def predict(rows):
        seen.append(rows)
        return (rows["job"] == "chief").to_numpy().astype(int)

    model = settle(hf.wrap(predict, space=SPACE, output="labels", classes=2), DATA.x)
    assert model.predict(DATA.x).tolist() == (FRAME["job"] == "chief").astype(int).tolist()
    assert all(list(rows) == list(RAW) for rows in seen)


def test_an_estimator_that_was_fitted_on_an_array_gets_one():
    numeric = ["age", "color_red", "color_blue", "color_green"]
    schema = dataclasses.replace(SCHEMA, features=tuple(SCHEMA.by_name[name] for name in numeric))
    x = RAW[numeric].to_numpy().astype(float)
    linear = LogisticRegression().fit(x, DATA.y)
    model = settle(hf.wrap(linear, schema), torch.from_numpy(x))
    assert "twin" in model.adapter, "codes are raw values, so the gradient is the estimator's"
    assert torch.allclose(model.module(torch.from_numpy(x)).softmax(1), torch.from_numpy(linear.predict_proba(x)))
    words = dataclasses.replace(SCHEMA, features=(SCHEMA.by_name["age"], SCHEMA.by_name["job"]))
    rows = np.stack([RAW["age"].to_numpy().astype(object), RAW["job"].to_numpy()], 1)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    tree = make_pipeline(encoder, DecisionTreeClassifier(random_state=0)).fit(rows, DATA.y)
    model = settle(hf.wrap(tree, words), Tabular(words).encode(RAW))
    assert model.predict(Tabular(words).encode(RAW)).tolist() == tree.predict(rows).tolist()


def test_columns_in_another_order_are_found_by_name():
    names = ["color_red", "age", "color_blue", "color_green"]
    schema = dataclasses.replace(SCHEMA, features=tuple(SCHEMA.by_name[name] for name in sorted(names)))
    linear = LogisticRegression().fit(RAW[names], DATA.y)
    model = settle(hf.wrap(linear, schema), Tabular(schema).encode(RAW))
    assert model.predict(Tabular(schema).encode(RAW)).tolist() == linear.predict(RAW[names]).tolist()


def test_fit_learns_from_raw_rows():
    model = hf.Fit(estimator=pipeline(RandomForestClassifier(n_estimators=5))).fit(DATA, seed=3)
    assert model.space == SPACE
    assert (model.predict(DATA.x) == DATA.y).double().mean() > 0.9


def test_estimators_that_do_not_fit_the_schema_are_refused():
    fitted = LogisticRegression().fit(RAW[["age"]], FRAME["risk"])
    short = dataclasses.replace(SCHEMA, features=(SCHEMA.by_name["job"],))
    with pytest.raises(ModelError, match="'age'") as caught:
        hf.wrap(fitted, short)
    assert caught.value.code == "HF280"
    bare = LogisticRegression().fit(RAW[["age"]].to_numpy(), FRAME["risk"])
    with pytest.raises(ModelError, match="fitted on 1 columns") as caught:
        hf.wrap(bare, SCHEMA)
    assert caught.value.code == "HF280"
    turned = dataclasses.replace(SCHEMA, classes=("good", "bad"))
    with pytest.raises(ModelError, match="good, bad") as caught:
        hf.wrap(fitted, turned)
    assert caught.value.code == "HF281"
    with pytest.raises(ModelError, match="Both bounds and space"):
        hf.wrap(fitted, (0, 1), space=SPACE)


def test_classes_that_are_numbers_are_compared_too():
    numbers = np.arange(1, 13)
    schema = table({"a": numbers, "y": numbers}).test.schema
    letters = dataclasses.replace(schema, classes=tuple(sorted(schema.classes)))
    for y in (numbers, numbers.astype(float), numbers - 1):
        assert hf.wrap(GaussianNB(var_smoothing=1).fit(numbers[:, None], y), schema).classes == 12
    with pytest.raises(ModelError, match="HF281 .*Seen 1, 2.*expected 1, 10"):
        hf.wrap(GaussianNB(var_smoothing=1).fit(numbers[:, None], numbers), letters)


def test_random_rows_of_a_space_have_possible_codes():
    rows = SPACE.sample(torch.zeros(50, 7).double(), torch.Generator().manual_seed(1))
    judged = SCHEMA.validate(rows)
    assert judged.codes.all()
    assert judged.groups.all()
    assert len(torch.unique(rows, dim=0)) > 40


def test_rows_that_break_the_schema_cannot_be_attacked():
    fitted = pipeline(DecisionTreeClassifier(random_state=0)).fit(RAW, FRAME["risk"])
    model = settle(hf.wrap(fitted, SCHEMA), DATA.x)
    bad = DATA.x[:4].clone()
    bad[1, 0] = 40.5
    with pytest.raises(DataError, match="1 of 4 inputs .*break their schema.*Tabular"):
        hf.run(hf.attacks.GraphSearch(), model, bad, DATA.y[:4], hf.Table(features=1))


def test_codes_and_raw_rows_are_not_confused_where_columns_have_no_names():
    """Levels -1, 0, 1 have the codes 0, 1, 2: an estimator of bare arrays may have learned either."""
    side = hf.Feature("side", "categorical", levels=("-1", "0", "1"))
    schema = hf.Schema((side, hf.Feature("size", low=0, high=9)), classes=("no", "yes"))
    x = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [0.0, 4.0]], dtype=torch.float64)
    bare = DecisionTreeClassifier().fit(x.numpy(), [0, 1, 1, 0])
    with pytest.raises(hf.ModelError, match=r"HF280 Nothing tells .*levels of 'side' -1, 0, 1.*Tabular"):
        hf.wrap(bare, schema)
    same = dataclasses.replace(side, levels=("0.0", "1.0", "2.0"))  # numbers that are their own codes: nothing to guess
    assert hf.wrap(bare, hf.Schema((same, schema.features[1]), classes=("no", "yes"))).classes == 2
    named = DecisionTreeClassifier().fit(hf.Tabular(schema).frame(x), [0, 1, 1, 0])
    assert settle(hf.wrap(named, schema), x).predict(x).tolist() == [0, 1, 1, 0]


def test_an_estimator_of_numbers_without_names_on_a_schema_with_words_is_told_what_it_lacks():
    made = DecisionTreeClassifier(max_depth=2).fit(DATA.x.double().nan_to_num().numpy(), DATA.y.numpy())
    with pytest.raises(hf.ModelError, match="^HF280 .*schema has words.*string to float.*make_pipeline"):
        settle(hf.wrap(made, SPACE), DATA.x)


@pytest.mark.parametrize("named", [True, False])
def test_trees_that_were_fitted_on_codes_are_seen(named):
    """Columns of numbers alone: what the arrays say of codes is what the forest says of raw rows."""
    schema = Schema((Feature("age", "integer", low=0, high=90), Feature("debt", low=0, high=9, missing=True)))
    draw = np.random.default_rng(0)
    x = np.stack([draw.integers(0, 90, 200), draw.random(200) * 9], 1).astype(float)
    x[::7, 1] = np.nan
    y = (x[:, 0] > 9 * np.nan_to_num(x[:, 1])).astype(int)
    codes = torch.from_numpy(x)
    forest = RandomForestClassifier(5, random_state=0).fit(Tabular(schema).frame(codes) if named else x, y)
    model = settle(hf.wrap(forest, schema), codes)
    assert np.array_equal(model.trees().scores(x).argmax(1), model.predict(codes).numpy())
    out = hf.run(hf.attacks.LeafTuple(restarts=3), model, codes[:20], y[:20], "table:linf=inf")
    assert out.success[~codes[:20].isnan().any(1)].all()
    assert schema.validate(out.adversarial, codes[:20]).valid.all()
    turned = forest.fit(Tabular(schema).frame(codes)[["debt", "age"]], y)
    assert hf.wrap(turned, schema).trees is None
    assert hf.wrap(pipeline(DecisionTreeClassifier()).fit(RAW, FRAME.risk), SCHEMA).trees is None
