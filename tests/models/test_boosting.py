"""XGBoost, LightGBM and CatBoost behind `wrap`; the trees of every library beside its scores."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from holdfast.core.errors import ModelError
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.models.settle import fingerprint, settle
from holdfast.models.wrap import wrap
from models.tree_cases import CASES, cat, lgb, xgb

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
