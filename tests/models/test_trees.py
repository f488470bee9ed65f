"""Tree ensembles as arrays: each library's own answers, to the last float of its comparisons."""

import dataclasses

import numpy as np
import pytest

from holdfast.core.errors import DataError, ModelError
from holdfast.models.trees import descend as descending
from holdfast.models.trees import read
from holdfast.models.trees.compiled import COMPILES
from holdfast.models.trees.rounding import last_left
from models.tree_cases import CASES, boosted_stumps, lgb, rows, sk, xgb

PACKAGE = {
    "reg:squarederror": "xgboost",
    "gblinear": "xgboost",
    "missing=-1.0": "xgboost",
    "several outputs": "xgboost",
    "regression": "lightgbm",
    "linear trees": "lightgbm",
    "averages of the labels": "catboost",
}


def encoded(x, y):
    import catboost

    rows = [[int(9 * row[0]) % 20, int(row[1] > 0)] for row in x]
    told = {"iterations": 8, "depth": 2, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    return catboost.CatBoostClassifier(**told, cat_features=[0]).fit(rows, y)


def started(x, y):
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    return GradientBoostingClassifier(n_estimators=2, init=LogisticRegression(), random_state=0).fit(x, y)


def voted(x, y):
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import LogisticRegression

    return AdaBoostClassifier(LogisticRegression(), n_estimators=2, random_state=0).fit(x, y)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_arrays_answer_as_the_library_does_on_10_000_rows(case):
    model = case.fitted()
    trees = read.read(model)
    x = rows(case, trees)
    said, ours = case.said(model, x), trees.scores(x)
    assert ours.shape[1] == trees.classes
    said = said if said.ndim == 2 else np.stack([1 - said, said], 1)
    worst = np.abs(said - ours).max(1)
    assert worst.max() <= 1e-6, f"{(worst > 1e-6).sum()} rows differ, the first is {x[worst.argmax()]}"
    assert len(np.unique(trees.leaves(x), axis=0)) > 5, "rows that all fall into the same leaves show nothing"
    if COMPILES and case.name in BOTH:
        both_ways_give_the_same_bits(trees, x)


BOTH = ("forest, missing", "histogram, named", "xgboost, named", "lightgbm, zeros", "lightgbm, named", "catboost")


def both_ways_give_the_same_bits(trees, x):
    leaves, sums = trees.leaves(x), trees.sums(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descending, "COMPILES", False)
        assert np.array_equal(trees.leaves(x), leaves)
        assert np.array_equal(trees.sums(x), sums)


@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("compared", ["float32", "float64"])
@pytest.mark.parametrize("strict", [False, True])
def test_the_last_float_left_of_a_threshold_goes_left_and_its_neighbor_right(given, compared, strict):
    draw = np.random.default_rng(0)
    narrow = draw.normal(size=200).astype(np.float32)
    special = [0.0, -0.0, 1e-46, 1e-40, -1e-40, 3e38, float(np.finfo(np.float32).max), 1.0, 2.0**-126]
    threshold = np.concatenate([draw.normal(size=200), narrow.astype(float), special])
    last = last_left(threshold, strict, compared, given).astype(given)
    with np.errstate(over="ignore"):
        after = np.nextafter(last, np.asarray(np.inf, given))
        seen = [values.astype(compared).astype(float) for values in (last, after)]
    goes = [values < threshold if strict else values <= threshold for values in seen]
    assert goes[0].all()
    assert not goes[1].any()


@pytest.mark.parametrize(
    ("fit", "seen"),
    [
        (xgb(objective="reg:squarederror"), "reg:squarederror"),
        (xgb(booster="gblinear", max_depth=None, n_estimators=2), "gblinear"),
        (xgb(missing=-1.0), "missing=-1.0"),
        (xgb(multi_strategy="multi_output_tree", tree_method="hist"), "several outputs"),
        (lgb(objective="regression"), "regression"),
        (lgb(linear_tree=True), "linear trees"),
        (encoded, "averages of the labels"),
        (started, "LogisticRegression"),
        (voted, "AdaBoost over LogisticRegression"),
        (lambda x, y: sk("RandomForestClassifier", n_estimators=2)(x, 0 * y), "one class"),
        (lambda x, y: boosted_stumps(x, 0 * y), "one class"),
        (lambda x, y: object(), "object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_form_does_not_hold_is_refused_in_a_line(fit, seen):
    library, classes = PACKAGE.get(seen, "sklearn"), 3 if seen == "several outputs" else 2
    case = dataclasses.replace(CASES[0], fit=fit, library=library, missing=False, classes=classes)
    model = case.fitted()
    with pytest.raises(ModelError, match=f"HF270.*{seen}"):
        read.read(model)


@pytest.mark.parametrize("base", [None, 1e-7, 0.7, 1 - 1e-7])
def test_a_prior_near_zero_or_one_is_read_as_xgboost_reads_it(base):
    xgboost = pytest.importorskip("xgboost")
    x, y = CASES[0].data(n=40)
    model = xgb(base_score=base)(x, 0 * y if base is None else y % 2)
    raw = model.get_booster().predict(xgboost.DMatrix(x[:5]), output_margin=True)
    assert np.array_equal(read.read(model).sums(x[:5])[:, 0].astype(np.float32), raw)


def test_rows_of_another_length_are_refused():
    trees = read.read(CASES[0].fitted())
    with pytest.raises(DataError, match="HF102"):
        trees.scores(np.zeros((2, trees.features + 1)))


def test_the_digest_follows_every_number():
    trees = read.read(CASES[0].fitted())
    moved = dataclasses.replace(trees, threshold=np.nextafter(trees.threshold, np.inf))
    assert dataclasses.replace(trees).digest == trees.digest != moved.digest
