"""Estimators behind models: which one answers, what learns like it, what it reads, and the files that keep it."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import holdfast as hf
from holdfast.core.errors import ModelError
from holdfast.learning.fit import Fit
from holdfast.models import estimators, trials
from holdfast.models.estimator_files import endings_of, read_back, save_estimator
from holdfast.models.estimators import estimator_of, is_estimator, is_fitted, learnable, rows_for


@pytest.fixture(scope="module")
def data():
    """Sixty rows of two classes."""
    return hf.data.load("breast_cancer").train.take(slice(0, 60))


def forest():
    return RandomForestClassifier(3, max_depth=3, random_state=0)


def test_the_estimator_of_a_model_is_the_one_that_was_wrapped(data):
    for made in (forest(), make_pipeline(StandardScaler(), LogisticRegression())):
        made.fit(data.x.numpy(), data.y.numpy())
        assert estimator_of(hf.wrap(made, data.bounds)) is made
    assert estimator_of(hf.wrap(lambda x: np.zeros((len(x), 2)), data.bounds)) is None
    assert estimator_of(hf.wrap(torch.nn.Linear(30, 2), data.bounds)) is None


def test_estimators_and_whether_they_have_learned(data):
    assert is_estimator(forest())
    assert not is_estimator(RandomForestClassifier)
    assert not is_estimator(torch.nn.Linear(2, 2))
    assert not is_fitted(forest())
    assert is_fitted(forest().fit(data.x.numpy(), data.y.numpy()))


def test_a_fit_on_a_fitted_estimator_keeps_its_columns_and_its_words(data):
    pandas = pytest.importorskip("pandas")
    names = [f"c{i}" for i in range(30)]
    words = np.array(["bad", "good"])[data.y.numpy()]
    given = forest().fit(pandas.DataFrame(data.x.double().numpy(), columns=names), words)
    made = estimator_of(Fit(estimator=given).fit(data))
    assert made is not given
    assert made.feature_names_in_.tolist() == names
    assert made.classes_.tolist() == ["bad", "good"]
    rows = rows_for(made, data.space, data.x.numpy())
    assert list(rows.columns) == names
    assert set(made.predict(rows)) <= {"bad", "good"}


def test_a_library_that_refuses_rows_is_one_line(data):
    torn = hf.Dataset(data.x, data.y, data.bounds)
    object.__setattr__(torn, "x", torch.full_like(data.x, torch.nan))
    with pytest.raises(ModelError, match="^HF222 LogisticRegression cannot learn from these rows. Seen ValueError"):
        Fit(estimator=LogisticRegression()).fit(torn)


def test_boosters_are_learned_again_with_what_their_files_keep(data, tmp_path):
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    x, y = data.x.numpy(), data.y.numpy()
    first = xgboost.XGBClassifier(n_estimators=4, max_depth=2, learning_rate=0.5).fit(x, y)
    first.save_model(tmp_path / "m.json")
    made, remark = learnable(xgboost.Booster(model_file=str(tmp_path / "m.json")))
    assert (made.n_estimators, made.max_depth) == (4, 2)
    assert "do not keep every setting" in remark
    second = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=4, learning_rate=0.2, min_child_samples=3, verbose=-1)
    second.fit(x, y).booster_.save_model(tmp_path / "m.txt")
    made, remark = learnable(lightgbm.Booster(model_file=str(tmp_path / "m.txt")))
    said = made.get_params()
    assert [said[k] for k in ("n_estimators", "num_leaves", "learning_rate", "min_child_samples")] == [5, 4, 0.2, 3]
    assert remark == ""
    assert learnable(first) == (first, "")
    line = xgboost.XGBClassifier(booster="gblinear", n_estimators=2).fit(x, y).get_booster()
    with pytest.raises(ModelError, match="^HF223 "):
        learnable(line)


def test_files_are_read_back_with_the_same_answers(data, tmp_path):
    pytest.importorskip("skops")
    xgboost = pytest.importorskip("xgboost")
    for estimator, end in ((forest(), ".skops"), (xgboost.XGBClassifier(n_estimators=3), ".json")):
        model = Fit(estimator=estimator).fit(data)
        file = tmp_path / f"m{end}"
        assert endings_of(estimator)[0] == end
        save_estimator(estimator_of(model), file)
        found, trust = read_back(file, model, data.x)
        assert trust == ""
        assert torch.equal(found.predict(data.x), model.predict(data.x))
    other = Fit(estimator=RandomForestClassifier(1, max_depth=1)).fit(data, seed=3)
    with pytest.raises(ModelError, match="^HF224 .* answers that are not those"):
        read_back(tmp_path / "m.skops", other, data.x)


@pytest.mark.parametrize(
    "learner",
    [
        hf.defenses.RobustSplitting(threat=hf.Linf(0.1), trees=2, depth=2),
        hf.defenses.RobustStumps(threat=hf.Linf(0.1), stumps=3),
        hf.defenses.RobustBoosting(threat=hf.Linf(0.1), trees=2, depth=2),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_robust_trees_open_without_trust_unless_their_arrays_lie(learner, data, tmp_path, request):
    pytest.importorskip("skops")
    if not isinstance(learner, hf.defenses.RobustSplitting):  # one of them through a child
        request.getfixturevalue("tried_here")
    model = learner.fit(data)
    file = tmp_path / "robust.skops"
    save_estimator(estimator_of(model), file)
    found, trust = read_back(file, model, data.x)
    assert trust == ""
    assert torch.equal(found.scores(data.x), model.scores(data.x))
    estimator = estimator_of(found)
    trees = estimator.trees_
    object.__setattr__(trees, "left", np.where(trees.feature < 0, len(trees.values) + 5, trees.left).astype(np.int32))
    save_estimator(estimator, tmp_path / "lie.skops")
    with pytest.raises(ModelError, match="^HF277 .*a leaf without a value"):
        hf.load_model(tmp_path / "lie.skops", bounds=data.bounds)


def masked(array, place, value):
    """The value stands there and hides from numpy's comparisons."""
    made = array.copy()
    made[place] = value
    return np.ma.masked_array(made, mask=np.arange(len(made)) == place)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("feature", lambda a: masked(a, 0, 10**6)),
        ("roots", lambda a: masked(a, 0, 10**6)),
        ("roots", lambda a: a[:0]),
        ("roots", lambda a: np.concatenate([a, a])),
        ("feature", lambda _: "a word"),
        ("threshold", lambda a: a.astype(object)),
        ("threshold", lambda a: a * np.nan),
        ("right", lambda a: a.astype(">i4")),
        ("values", lambda a: np.concatenate([a, a], 1)),
        ("levels", lambda _: {0: np.zeros(0)}),
        ("link", lambda _: "none"),
        ("divisor", lambda _: 0.0),
        ("features", lambda _: np.ma.masked_array(np.array(2), mask=True)),
        ("digest", lambda _: b"of another"),
        ("scores", lambda _: np.exp),
    ],
)
@pytest.mark.parametrize("deep", [0, 6])
def test_parts_of_a_robust_forest_that_lie_are_one_line(name, change, deep, data, tmp_path, monkeypatch):
    io = pytest.importorskip("skops.io")
    estimator = estimator_of(hf.defenses.RobustSplitting(threat=hf.Linf(0.1), trees=2, depth=2).fit(data))
    trees = estimator.trees_
    monkeypatch.setattr(type(trees), "__getstate__", lambda self: dict(vars(self)))
    vars(trees)[name] = change(getattr(trees, name))
    for _ in range(deep):
        estimator = make_pipeline(estimator)
    io.dump(estimator, tmp_path / "lie.skops")
    with pytest.raises(ModelError, match="^HF277 "):
        list(trials.skops(str(tmp_path / "lie.skops")))


def test_parts_in_the_place_of_methods_or_trees_are_one_line(data, tmp_path):
    io = pytest.importorskip("skops.io")
    estimator = estimator_of(hf.defenses.RobustSplitting(threat=hf.Linf(0.1), trees=1, depth=2).fit(data))
    estimator.predict = np.sin
    io.dump(estimator, tmp_path / "lie.skops")
    with pytest.raises(ModelError, match="^HF277 .*in the place of predict"):
        list(trials.skops(str(tmp_path / "lie.skops")))
    del estimator.predict
    estimator.trees_ = LogisticRegression()
    io.dump(estimator, tmp_path / "lie.skops")
    with pytest.raises(ModelError, match="^HF277 .*in the place of trees"):
        list(trials.skops(str(tmp_path / "lie.skops")))


def test_a_file_keeps_no_digest_of_its_trees(data):
    trees = estimator_of(hf.defenses.RobustSplitting(threat=hf.Linf(0.1), trees=1, depth=2).fit(data)).trees_
    assert "digest" in vars(trees) or trees.digest
    again = pickle.loads(pickle.dumps(trees))
    assert "digest" not in vars(again)
    assert again.digest == trees.digest


@pytest.mark.usefixtures("tried_here")
def test_what_has_no_file_is_one_line(data, tmp_path):
    pytest.importorskip("skops")
    made = make_pipeline(FunctionTransformer(lambda x: x), forest()).fit(data.x.numpy(), data.y.numpy())
    model = hf.wrap(made, data.bounds)
    with pytest.raises(ModelError, match="^HF224 RandomForestClassifier is not written to a file. Seen a file .json"):
        save_estimator(forest(), tmp_path / "m.json")
    save_estimator(made, tmp_path / "m.skops")
    with pytest.raises(ModelError, match="^HF224 "):
        read_back(tmp_path / "m.skops", model, data.x)


def test_only_trees_of_their_own_are_trees(data):
    assert estimators.trees_in(forest())
    assert not estimators.trees_in(make_pipeline(StandardScaler(), forest()))
    assert not estimators.trees_in(LogisticRegression())


def test_names_that_a_library_refuses_are_left_out():
    assert estimators.takes_names(forest(), ["char_freq_["])
    xgboost = pytest.importorskip("xgboost")
    assert not estimators.takes_names(xgboost.XGBClassifier(), ["a", "char_freq_["])
    data = hf.data.table({"a[": [0.0, 1.0, 2.0, 3.0], "label": ["x", "x", "y", "y"]}).test
    model = Fit(estimator=xgboost.XGBClassifier(n_estimators=1)).fit(data)
    assert model.predict(data.x).shape == (4,)
