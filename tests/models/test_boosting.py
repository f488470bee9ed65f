"""XGBoost, LightGBM and CatBoost behind `wrap`; the trees of every library beside its scores."""

import subprocess
import sys

import numpy as np
import pandas
import pytest
import torch

import holdfast as hf
from holdfast.core.errors import ModelError
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.models.settle import fingerprint, settle
from holdfast.models.wrap import wrap
from models.tree_cases import CASES, cat, lgb, xgb

SCHEMA = hf.Schema(
    tuple(hf.Feature(name, low=0, high=1) for name in ("age", "income", "debt")), classes=("bad", "good")
)
MAKE = {
    "xgboost": lambda: pytest.importorskip("xgboost").XGBClassifier(n_estimators=3, max_depth=2),
    "lightgbm": lambda: pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1),
    "catboost": lambda **k: pytest.importorskip("catboost").CatBoostClassifier(
        iterations=3, depth=2, verbose=0, allow_writing_files=False, **k
    ),
}
SUFFIX = {"xgboost": "json", "lightgbm": "txt", "catboost": "cbm"}
BOOSTED = [case for case in CASES if case.library != "sklearn"]
FEW = [case for case in CASES if case.name in ("forest", "adaboost, 4", "histogram", "xgboost", "lightgbm", "catboost")]


@pytest.mark.parametrize("case", BOOSTED, ids=lambda case: case.name)
def test_scores_and_decisions_are_the_library_s_own(case):
    estimator = case.fitted()
    x, _ = case.data(seed=3)
    x = np.where(np.isnan(x), 0.0, x)
    model = settle(wrap(estimator, (-9, 9)), torch.from_numpy(x))
    assert (model.adapter, model.classes) == (case.library, case.classes)
    scores = model.scores(torch.from_numpy(x)).double()
    said = case.said(estimator, x)
    order = said.argmax(1) if said.ndim == 2 else (said > 0.5).astype(int)
    assert np.array_equal(scores.argmax(1).numpy(), order)
    assert np.array_equal(model.predict(torch.from_numpy(x)).numpy(), order)
    assert model.module is None
    assert not model.random


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.name)
def test_the_trees_are_seen_by_who_sees_everything(case):
    estimator = case.fitted()
    x = torch.from_numpy(case.data()[0])
    model = settle(wrap(estimator, (-9, 9)), x)
    assert model.trees() is model.trees()
    assert np.array_equal(model.trees().scores(x.numpy()).argmax(1), model.predict(x).numpy())
    assert model.seen_as("gradients").trees is not None
    assert model.seen_as("scores").trees is None
    assert model.seen_as("labels").trees is None
    assert (model | BitDepth()).trees is None
    assert len(fingerprint(model, (5,), torch.float64)) == 32


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_alone_is_its_classifier(library):
    case = next(case for case in CASES if case.name == library)
    estimator = case.fitted()
    booster = estimator.get_booster() if library == "xgboost" else estimator.booster_
    x = torch.from_numpy(case.data()[0])
    one, other = (settle(wrap(m, (-9, 9)), x) for m in (estimator, booster))
    assert torch.equal(one.scores(x), other.scores(x))
    assert one.trees().digest == other.trees().digest


@pytest.mark.parametrize(
    ("library", "fit", "seen"),
    [
        ("xgboost", xgb(objective="reg:squarederror"), "reg:squarederror"),
        ("lightgbm", lgb(objective="regression"), "regression"),
        ("catboost", cat(loss_function="Focal:focal_alpha=0.5;focal_gamma=1"), "Focal"),
    ],
)
def test_what_does_not_classify_is_refused(library, fit, seen):
    pytest.importorskip(library)
    x, y = CASES[2].data()
    with pytest.raises(ModelError, match=f"HF208.*{seen}"):
        wrap(fit(x, y), (-9, 9))


@pytest.mark.parametrize("name", ["xgboost.XGBClassifier", "lightgbm.LGBMClassifier", "catboost.CatBoostClassifier"])
def test_what_is_not_fitted_is_refused(name):
    library, _, kind = name.partition(".")
    with pytest.raises(ModelError, match="HF208.*not fitted"):
        wrap(getattr(pytest.importorskip(library), kind)())


def test_output_is_not_for_boosters():
    model = next(case for case in CASES if case.name == "lightgbm").fitted()
    with pytest.raises(ModelError, match="HF207"):
        wrap(model, output="logits")


def test_no_library_is_imported_for_a_model_of_another():
    code = (
        "import sys, numpy as np, holdfast as hf\nfrom sklearn.tree import DecisionTreeClassifier\n"
        "t = DecisionTreeClassifier().fit([[0.], [1.]], [0, 1])\nhf.wrap(t).trees()\n"
        "print(sorted({'xgboost', 'lightgbm', 'catboost', 'veritas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"


def rows_of(names, labels=("bad", "good")):
    """Rows in [0, 1] with these columns, and labels."""
    x = np.random.default_rng(0).random((60, len(names)))
    rows = pandas.DataFrame(x, columns=list(names)) if isinstance(names[0], str) else x
    return rows, np.asarray(labels)[(x[:, 0] > 0.5).astype(int)]


def written(library, names, folder):
    """A booster that was fitted on columns with these names, and what its library reads from its file."""
    fitted = MAKE[library]().fit(*rows_of(names, (0, 1)))
    path = folder / f"m.{SUFFIX[library]}"
    (fitted.booster_ if library == "lightgbm" else fitted).save_model(str(path))
    kind = pytest.importorskip(library)
    if library == "catboost":
        return fitted, kind.CatBoostClassifier().load_model(str(path))
    return fitted, kind.Booster(model_file=str(path))


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        (("debt", "age"), "2 columns"),
        (("age", "income", "debt", "more"), "4 columns"),
        ((0, 1), "2 columns"),
        (("age", "salary", "debt"), "a column 'salary'"),
        (("income", "age", "debt"), "'income' as column 0"),
    ],
)
@pytest.mark.parametrize("library", MAKE)
def test_columns_are_compared_with_the_schema_s(library, names, seen, tmp_path):
    for one in written(library, names, tmp_path):
        with pytest.raises(ModelError, match=f"^HF280 The estimator was fitted on .*{seen}"):
            wrap(one, SCHEMA)


@pytest.mark.parametrize(
    "names", [("f0", "f1", "f2"), ("Column_0", "Column_1", "Column_2"), ("a", "b", "c"), (0, 1, 2)]
)
@pytest.mark.parametrize("library", MAKE)
def test_files_whose_columns_have_other_names_or_none_are_taken_in_order(library, names, tmp_path):
    fitted, read = written(library, names, tmp_path)
    rows, _ = rows_of(names)
    model = wrap(read, SCHEMA)
    x = torch.from_numpy(np.array(rows))
    assert np.array_equal(model.predict(x).numpy(), np.asarray(fitted.predict(rows)))


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("library", MAKE)
def test_inputs_of_another_width_are_one_line_without_a_schema(library, width, tmp_path):
    _, read = written(library, (0, 1, 2), tmp_path)
    with pytest.raises(ModelError, match=f"^HF280 .*inputs of {width} numbers.*3"):
        wrap(read, (0, 1)).predict(torch.rand(5, width))


@pytest.mark.parametrize("labels", [("a_good", "z_bad"), ("good", "bad"), (3, 5)])
@pytest.mark.parametrize("library", ["lightgbm", "catboost"])
def test_classes_are_compared_with_the_schema_s(library, labels):
    rows, y = rows_of(tuple(SCHEMA.by_name), labels)
    order = {"class_names": list(labels)} if labels == ("good", "bad") and library == "catboost" else {}
    fitted = MAKE[library](**order).fit(rows, y)
    if library == "lightgbm" and labels == ("good", "bad") or labels == (3, 5):
        wrap(fitted, SCHEMA)  # sorted, as in the schema; numbers that it does not name
        return
    with pytest.raises(ModelError, match=f"^HF281 .*Seen {labels[0]}, {labels[1]}, expected bad, good"):
        wrap(fitted, SCHEMA)


def test_classes_that_are_places_are_those_of_the_schema():
    rows, y = rows_of(tuple(SCHEMA.by_name), (0, 1))
    assert all(wrap(make().fit(rows, y), SCHEMA).adapter == library for library, make in MAKE.items())


@pytest.mark.parametrize("library", MAKE)
def test_what_is_not_fitted_is_refused_on_a_schema_too(library):
    with pytest.raises(ModelError, match="HF208.*not fitted"):
        wrap(MAKE[library](), SCHEMA)


def test_a_file_with_the_line_ends_of_windows_is_told_of_them(tmp_path):
    written("lightgbm", (0, 1, 2), tmp_path)
    path = tmp_path / "m.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(ModelError, match=r"^HF212 .*lines that end in \\r\\n"):
        hf.load_model(path, bounds=(0, 1))
