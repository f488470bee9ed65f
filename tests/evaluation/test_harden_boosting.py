"""Hardening the boosting libraries on a table of numbers with names: the file that comes out holds the same model."""

import dataclasses

import numpy as np
import pytest
import torch

import holdfast as hf
from holdfast.core.errors import ModelError
from holdfast.threats.tables.feature import Feature

pytestmark = pytest.mark.usefixtures("tried_here")

SCHEMA = hf.Schema(
    tuple(Feature(name, "real", low=0, high=1) for name in ("age", "rate a", "sum")), classes=("bad", "good")
)
QUICK = {"suite": "graph_search(steps=1, width=1, samples=60)", "limit": 12, "threat": hf.Table(features=1)}


@pytest.fixture(scope="module")
def table():
    draw = torch.Generator().manual_seed(0)
    x = torch.rand((160, 3), generator=draw, dtype=torch.float64)
    whole = hf.Dataset(x, (x[:, 0] + x[:, 2] > 1).long(), schema=SCHEMA, classes=("bad", "good"), name="loans")
    train, test = whole.divide(0.7, 0)
    return hf.data.Splits(train, dataclasses.replace(test, split="test"))


def unfitted(library):
    found = pytest.importorskip(library)
    if library == "xgboost":
        return found.XGBClassifier(n_estimators=4, max_depth=2, n_jobs=1)
    if library == "lightgbm":
        return found.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1)
    return found.CatBoostClassifier(iterations=4, depth=2, verbose=False, thread_count=1, allow_writing_files=False)


LIBRARIES = {"xgboost": "model.json", "lightgbm": "model.txt", "catboost": "model.cbm"}


@pytest.mark.parametrize(("library", "file"), LIBRARIES.items())
def test_a_classifier_that_is_not_fitted_and_its_file_are_hardened(library, file, table, tmp_path):
    recipe = "adversarial_rounds(rounds=1, samples=12)"
    made, found = hf.harden(unfitted(library), table, recipe=recipe, out=tmp_path / "one", **QUICK)
    assert found.file == tmp_path / "one" / file, found.report.notes
    opened = hf.load_model(found.file, bounds=hf.Tabular(SCHEMA))
    assert torch.equal(opened.predict(table.test.x), found.model.predict(table.test.x))
    said = np.asarray(made.predict(hf.Tabular(SCHEMA).frame(table.test.x))).ravel().tolist()
    assert said == found.model.predict(table.test.x).tolist()
    _, again = hf.harden(opened, table, recipe=recipe, out=tmp_path / "two", **QUICK)
    assert again.file == tmp_path / "two" / file
    assert (again.model.predict(table.train.x) == table.train.y).double().mean() > 0.8, "its settings were read"


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_in_another_order_are_refused_and_other_names_are_not(library, table, tmp_path):
    """A file keeps the names: answers about columns that changed places would be answers about other rows."""
    frame, y = hf.Tabular(SCHEMA).frame(table.train.x), table.train.y.numpy()
    turned, renamed = frame[["sum", "rate a", "age"]], frame.set_axis(["a", "b", "c"], axis=1)
    for rows in (turned, renamed, frame.to_numpy()):
        made = unfitted(library).fit(rows, y)
        file = tmp_path / LIBRARIES[library]
        getattr(made, "booster_", made).save_model(str(file))
        if rows is turned:
            for open_it in (
                lambda m=made: hf.wrap(m, SCHEMA),
                lambda f=file: hf.load_model(f, bounds=hf.Tabular(SCHEMA)),
            ):
                with pytest.raises(ModelError, match=r"^HF280 .*another order.*'sum' as column 0.*'age'"):
                    open_it()
        else:
            model = hf.load_model(file, bounds=hf.Tabular(SCHEMA))
            assert (model.predict(table.train.x) == table.train.y).double().mean() > 0.8
