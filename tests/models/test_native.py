"""Columns of names that boosters split by themselves, under a schema: the library's answers, and valid rows."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

import holdfast as hf
from holdfast.attacks import GraphSearch, LeafTuple
from holdfast.core.errors import ModelError
from holdfast.models.native import tables_of
from holdfast.models.settle import settle
from holdfast.models.trees.catboost import read
from holdfast.models.trees.hashing import hashed

pandas = pytest.importorskip("pandas")

JOBS = ("pilot", "nurse", "clerk", "baker", "cook", "judge", "thief")
"""In no order; no thief is there in training."""

SIDES = ("1", "0", "-1")


def schema(jobs=JOBS, missing=True):
    return hf.Schema(
        (
            hf.Feature("amount", low=-4, high=4),
            hf.Feature("job", "categorical", levels=jobs, missing=missing),
            hf.Feature("side", "categorical", levels=SIDES),
            hf.Feature("grade", "ordinal", levels=("1", "2", "5")),
        ),
        classes=("no", "yes"),
    )


def codes(space, n, seed=0, jobs=6):
    """Rows whose jobs are the first ones, some of them missing where they may be."""
    draw = np.random.default_rng(seed)
    columns = [
        draw.normal(size=n).clip(-4, 4),
        draw.integers(0, jobs, n),
        draw.integers(0, 3, n),
        draw.integers(0, 3, n),
    ]
    x = np.stack(columns, 1).astype(float)
    x[(draw.random(n) < 0.1) & space.schema.by_name["job"].missing, 1] = np.nan
    return torch.from_numpy(x)


def learned(x):
    jobs = torch.isin(x[:, 1], torch.tensor([1.0, 3.0, 4.0], dtype=x.dtype)).double()
    signal = x[:, 0] + jobs * 1.5 - (x[:, 2] == 1).double() + 0.3 * x[:, 3]
    return (signal > signal.nanmedian()).long().numpy()


def typed(space, x):
    """Raw rows as a library with columns of names takes them; sides as numbers."""
    frame = space.frame(x)
    frame["job"] = frame["job"].astype("category")
    frame["side"] = frame["side"].astype(int).astype("category")
    return frame


def fit(name, space):
    x = codes(space, 500)
    y = learned(x)
    frame = typed(space, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name.startswith("lightgbm"):
            forest = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
            made = pytest.importorskip("lightgbm").LGBMClassifier(
                n_estimators=6, min_data_per_group=5, cat_smooth=1, n_jobs=1, verbose=-1,
                **(forest if name == "lightgbm, forest" else {}),
            )  # fmt: skip
        elif name == "xgboost":
            made = pytest.importorskip("xgboost").XGBClassifier(
                n_estimators=6, enable_categorical=True, max_cat_to_onehot=2, n_jobs=1
            )
        elif name.startswith("catboost"):
            more = {"one_hot_max_size": 20} if name == "catboost, words" else {}
            told = {"iterations": 6, "verbose": False, "thread_count": 1, "allow_writing_files": False, **more}
            made = pytest.importorskip("catboost").CatBoostClassifier(**told, cat_features=["job", "side"])
        else:
            made = HistGradientBoostingClassifier(max_iter=6, categorical_features="from_dtype", min_samples_leaf=5)
        return made.fit(frame, y)


def said(name, made, space, x):
    """The library's own answers to the raw rows, with the categories of its training where it asks for them."""
    frame = typed(space, x)
    if name == "xgboost":
        frame["job"] = pandas.Categorical(space.frame(x)["job"], categories=sorted(JOBS[:6]))
        frame["side"] = pandas.Categorical(space.frame(x)["side"].astype(int), categories=[-1, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made.predict_proba(frame)


LIBRARIES = ("lightgbm", "lightgbm, forest", "xgboost", "histogram", "catboost", "catboost, words")


def space_for(name):
    jobs, missing = JOBS[:6] if name == "xgboost" else JOBS, not name.startswith("catboost")
    return hf.Tabular(schema(jobs, missing))


@pytest.mark.parametrize("name", LIBRARIES)
def test_answers_on_10_000_rows_are_the_librarys_with_unseen_words_and_gaps(name):
    space = space_for(name)
    made = fit(name, space)
    x = codes(space, 10_000, seed=1, jobs=len(space.schema.by_name["job"].levels))
    model = settle(hf.wrap(made, space), x[:50])
    want = said(name, made, space, x)
    own = model.answer(x).scores.softmax(1).double().numpy()
    assert np.abs(own - want).max() <= 1e-6
    if name == "catboost":
        with pytest.raises(ModelError, match="HF270 .*averages of the labels of categories"):
            model.trees()
        return
    trees = model.trees()
    assert np.abs(trees.scores(x.numpy()) - want).max() <= 1e-6
    assert trees.categorical[[1, 2]].any()
    assert not trees.categorical[3]


@pytest.mark.parametrize("name", LIBRARIES)
def test_attacks_keep_rows_valid_and_break_the_library_itself(name):
    space = space_for(name)
    made = fit(name, space)
    x = codes(space, 24, seed=2)
    model = settle(hf.wrap(made, space), x)
    y = torch.from_numpy(said(name, made, space, x).argmax(1))
    assert torch.equal(model.predict(x), y)
    attacks = [GraphSearch(width=1)] if name == "catboost" else [GraphSearch(width=1), LeafTuple(restarts=3)]
    for attack in attacks:
        out = hf.run(attack, model, x, y, "table:features=2")
        assert out.success.any(), attack
        assert space.schema.validate(out.adversarial, x).valid.all()
        won = out.success.nonzero()[:, 0]
        assert (said(name, made, space, out.adversarial[won]).argmax(1) != y[won].numpy()).all()
        if isinstance(attack, LeafTuple):
            assert torch.equal(out.adversarial[:, 1:3].nan_to_num(-1), x[:, 1:3].nan_to_num(-1))
        else:
            assert (out.adversarial[:, 1:3].nan_to_num(-1) != x[:, 1:3].nan_to_num(-1)).any()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_boosters_from_files_keep_their_words(name, tmp_path):
    space = space_for(name)
    made = fit(name, space)
    file = tmp_path / ("m.txt" if name == "lightgbm" else "m.ubj")
    (made.booster_ if name == "lightgbm" else made.get_booster()).save_model(str(file))
    x = codes(space, 200, seed=3)
    model = settle(hf.load_model(file, bounds=space), x)
    own = model.answer(x).scores.softmax(1).double().numpy()
    assert np.abs(own - said(name, made, space, x)).max() <= 1e-6


def test_words_of_every_length_have_the_numbers_that_catboost_gives_them():
    """Of two words that tell two classes apart one is the split; longer words than 32 bytes are not told."""
    catboost = pytest.importorskip("catboost")
    told = {"iterations": 1, "depth": 1, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    words = [
        "a",
        "-1",
        "abc",
        "four",
        "seventy7",
        "ninechars",
        "sixteen letters.",
        "seventeen letters",
        "ä" * 16,
        "b" * 32,
    ]
    for first, second in zip(words[::2], words[1::2], strict=True):
        rows = np.array([[word] for word in (first, second)] * 20, object)
        made = catboost.CatBoostClassifier(**told, cat_features=[0], one_hot_max_size=9).fit(rows, [0, 1] * 20)
        trees = read(made, {0: [first, second]})
        said = made.predict(rows[:2], prediction_type="RawFormulaVal")
        assert np.abs(trees.sums(np.array([[0.0], [1.0]]))[:, 0] - said).max() <= 1e-9
        assert said[0] != said[1]
    assert hashed("b" * 33) is None


def test_what_does_not_fit_is_one_line():
    space = space_for("lightgbm")
    made = fit("lightgbm", space)
    amount, job, side, grade = space.schema.features

    def refused(seen, *features, of=made):
        with pytest.raises(ModelError, match=f"^HF280 .*{seen}"):
            hf.wrap(of, hf.Schema(features, classes=("no", "yes")))

    refused("names for the model", amount, hf.Feature("job", low=0, high=9), side, grade)
    refused(
        "levels a, b, and the model learned baker", amount, dataclasses.replace(job, levels=("a", "b")), side, grade
    )
    words = hf.Feature("grade", "ordinal", levels=("low", "high"))
    refused("compares it as a number", amount, job, side, words)
    refused("which the model never met", amount, job, side, grade, of=fit("xgboost", space_for("xgboost")))
    refused("takes no gaps", amount, job, side, grade, of=fit("catboost", space_for("catboost")))


def test_a_booster_of_bare_codes_reads_levels_by_their_places_where_nothing_else_can_be_meant():
    lightgbm = pytest.importorskip("lightgbm")
    space = space_for("lightgbm")
    x = codes(space, 300).nan_to_num()
    made = lightgbm.LGBMClassifier(n_estimators=3, min_data_per_group=5, verbose=-1, n_jobs=1)
    made.fit(x.numpy(), learned(x), categorical_feature=[1])
    features = space.schema.features
    coded = hf.Schema((*features[:2], hf.Feature("side", low=0, high=2), features[3]))
    assert tables_of(made, coded)[1].tolist() == list(range(7))
    numbers = dataclasses.replace(features[1], levels=("3", "4", "9"))
    with pytest.raises(ModelError, match="HF280 .*these numbers or their places"):
        hf.wrap(made, hf.Schema((features[0], numbers, *coded.features[2:])))


@pytest.mark.parametrize(
    "words", [("Äb", "zeta", "cook"), ("Äb", "Örtlich", "zeta"), ("łódź", "née", "ünï", "a"), ("a", "b")]
)
def test_xgboost_cuts_words_that_are_not_ascii_and_they_are_found_all_the_same(words):
    xgboost = pytest.importorskip("xgboost")
    draw = np.random.default_rng(0)
    codes = draw.integers(0, len(words), 300)
    frame = pandas.DataFrame(
        {"word": pandas.Categorical([words[code] for code in codes]), "n": draw.integers(0, 4, 300)}
    )
    made = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True, n_jobs=1)
    made.fit(frame, (codes % 2 == 0) ^ (draw.random(300) < 0.1))
    schema = hf.Schema((hf.Feature("word", "categorical", levels=words), hf.Feature("n", "integer", low=0, high=3)))
    x = torch.from_numpy(np.stack([codes, frame["n"]], 1).astype(float))
    model = settle(hf.wrap(made, schema), x[:9])
    want = made.predict_proba(frame)
    assert np.abs(model.answer(x).scores.softmax(1).double().numpy() - want).max() <= 1e-6
    assert np.abs(model.trees().scores(x.numpy()) - want).max() <= 1e-6
    assert len(np.unique(want.round(6), axis=0)) > 1


def test_words_that_xgboost_has_cut_beyond_telling_are_refused():
    """Of two words of three letters nothing is left that tells them apart."""
    xgboost = pytest.importorskip("xgboost")
    words = ("ääääääääää", "öab", "öcd")
    frame = pandas.DataFrame({"word": pandas.Categorical(words * 20), "n": np.arange(60) % 4})
    made = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True, n_jobs=1).fit(frame, [0, 1, 1] * 20)
    features = hf.Feature("word", "categorical", levels=words), hf.Feature("n", "integer", low=0, high=3)
    with pytest.raises(ModelError, match="^HF280 .*never met"):
        hf.wrap(made, hf.Schema(features))


@pytest.mark.parametrize(("levels", "told"), [(("1", "2", "5"), {"zero_as_missing": True}), (("-1", "0", "3"), {})])
def test_the_first_level_is_not_the_number_zero(levels, told):
    """LightGBM reads gaps as zero, or zeros as gaps; a level has the code 0 whatever its number is."""
    lightgbm = pytest.importorskip("lightgbm")
    draw, numbers = np.random.default_rng(0), np.array([float(level) for level in levels])
    codes = np.stack([draw.integers(0, 3, 300), draw.integers(0, 3, 300)], 1).astype(float)
    rows, y = np.stack([numbers[codes[:, 0].astype(int)], codes[:, 1]], 1), (codes.sum(1) > 1).astype(int)
    frame = pandas.DataFrame({"grade": rows[:, 0], "job": pandas.Categorical(rows[:, 1].astype(int).astype(str))})
    codes[::5, 0], frame.loc[::5, "grade"], y[::5] = np.nan, np.nan, 1  # gaps go right, with the large numbers
    made = lightgbm.LGBMClassifier(n_estimators=3, min_data_per_group=5, verbose=-1, n_jobs=1, **told).fit(frame, y)
    job = hf.Feature("job", "categorical", levels=("0", "1", "2"))
    schema = hf.Schema((hf.Feature("grade", "ordinal", levels=levels, missing=True), job))
    model = settle(hf.wrap(made, schema), torch.from_numpy(codes[:9]))
    want = made.predict_proba(frame)
    assert np.abs(model.answer(torch.from_numpy(codes)).scores.softmax(1).double().numpy() - want).max() <= 1e-6
    assert np.abs(model.trees().scores(codes) - want).max() <= 1e-6
