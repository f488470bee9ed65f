"""Data by name: the built-in sets, and those of the folder that HOLDFAST_DATA names."""

import gzip
import json
import os
import pathlib

import numpy as np
import pytest
import torch

from holdfast.core.errors import DataError
from holdfast.data import load, names
from holdfast.data.builtin import MARGIN

SHELF = pathlib.Path(os.environ.get("HOLDFAST_DATA", "/nonexistent"))
needs_shelf = pytest.mark.skipif(not SHELF.is_dir(), reason="HOLDFAST_DATA names no folder of data sets")


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "n", "shape", "classes"),
    [("digits", 1797, (1, 8, 8), 10), ("breast_cancer", 569, (30,), 2), ("wine", 178, (13,), 3)],
)
def test_built_in_sets(name, n, shape, classes):
    data = load(name)
    parts = [data.train, data.val, data.test]
    assert [part.split for part in parts] == ["train", "val", "test"]
    assert [round(len(part) / n, 1) for part in parts] == [0.7, 0.1, 0.2]
    assert sorted(i for part in parts for i in part.ids.tolist()) == list(range(n))
    assert len({digest for part in parts for digest in part.digests}) == n
    for part in parts:
        assert part.x.shape[1:] == shape
        assert part.n_classes == classes
        assert part.name == name
        assert part.license
        assert bool(part.space.validate(part.x).all())
    assert load(name, split="test").digests == data.test.digests


def test_digits_are_images_of_17_grays():
    x = load("digits").test.x
    assert x.dtype == torch.float32
    assert torch.equal(x * 16, (x * 16).round())
    assert x.max() == 1


def test_the_test_part_has_no_say_in_the_bounds_of_measurements():
    data = load("breast_cancer")
    low, high = (np.array(end) for end in data.train.bounds)
    first, last = data.train.x.numpy().min(0), data.train.x.numpy().max(0)
    assert np.allclose(high, last + MARGIN * (last - first))
    assert np.allclose(low, np.maximum(first - MARGIN * (last - first), 0))
    assert data.test.bounds == data.val.bounds == data.train.bounds
    assert data.train.features[0] == "mean radius"


def test_unknown_names_get_a_suggestion():
    for wrong, right in (("digit", "digits"), ("roadsigns", "road_signs"), ("Wine", "wine")):
        with pytest.raises(DataError, match=f"did you mean {right}") as caught:
            load(wrong)
        assert caught.value.code == "HF107"
    with pytest.raises(DataError, match="HOLDFAST_DATA"):
        load("xyzzy")
    with pytest.raises(DataError) as caught:
        load("digits", bounds=(0, 16))
    assert caught.value.code == "HF103"


def test_names_come_from_the_folder_too(shelf):
    assert names() == ("breast_cancer", "digits", "road_signs", "wine")
    (shelf / "empty").mkdir()
    (shelf / "mine").mkdir()
    np.savez(
        shelf / "mine" / "mine.npz",
        x_train=np.zeros((4, 5, 5), np.uint8),
        y_train=[0, 1, 0, 1],
        x_test=np.full((2, 5, 5), 255, np.uint8),
        y_test=[0, 1],
    )
    assert "mine" in names()
    assert "empty" not in names()
    data = load("mine")
    assert data.test.x.unique().tolist() == [1.0]
    assert data.train.x.shape == (4, 1, 5, 5)
    with pytest.raises(DataError, match="did you mean mine"):
        load("mien")


def test_series_get_measured_bounds(shelf):
    (shelf / "waves").mkdir()
    x = np.random.RandomState(0).randn(50, 6).astype(np.float32)
    x[40:] *= 3
    np.savez(
        shelf / "waves" / "w.npz", x_train=x[:40], y_train=np.arange(40) % 2, x_test=x[40:], y_test=np.arange(10) % 2
    )
    data = load("waves")
    assert bool((torch.tensor(data.test.bounds[0]) < torch.from_numpy(x[:40].min(0))).all())
    assert bool(data.test.space.validate(data.test.x).all())
    assert load("waves", bounds=(-20, 20)).test.bounds == (-20, 20)


class TestTables:
    def write(self, shelf, kind="integer", cell="3", **more):
        (shelf / "credit").mkdir()
        about = {
            "target": "risk",
            "target_levels": ["good", "bad"],
            "split_column": "split",
            "features": {
                "age": {"type": "integer", "min": 0, "max": 99, "mutable": True},
                "job": {"type": kind, "min": 1, "max": 3, "mutable": True, **more},
            },
        }
        (shelf / "credit" / "schema.json").write_text(json.dumps(about))
        rows = ["age,job,risk,split", f"20,{cell},good,train", "30,1,bad,train", "25,2,good,test", "90,2,bad,test"]
        with gzip.open(shelf / "credit" / "credit.csv.gz", "wt") as file:
            file.write("\n".join(rows) + "\n")

    def test_numbers(self, shelf):
        self.write(shelf)
        data = load("credit")
        assert data.train.x.tolist() == [[20, 3], [30, 1]]
        assert data.train.x.dtype == torch.float64
        assert data.train.classes == ("good", "bad")
        assert data.test.y.tolist() == [0, 1]
        assert data.test.features == ("age", "job")
        assert data.train.bounds == ((0, 1), (99, 3))
        assert data.test.x.tolist() == [[25, 2], [90, 2]]
        assert data.test.ids.tolist() == [2, 3]
        assert [feature.scale for feature in data.train.schema.features] == [5, 1]

    def test_categories(self, shelf):
        self.write(shelf, "categorical", levels=["1", "2", "3"])
        data = load("credit")
        assert data.train.x.tolist() == [[20, 2], [30, 0]]
        assert data.train.schema.features[1].levels == ("1", "2", "3")

    def test_missing_values(self, shelf):
        self.write(shelf, cell="")
        data = load("credit")
        assert data.train.x.isnan().tolist() == [[False, True], [False, False]]
        assert data.train.space.validate(data.train.x).all()

    @pytest.mark.parametrize(
        ("change", "why"),
        [({"type": "number"}, "its kind"), ({"min": None}, "TypeError"), ({"mutable": 3}, None), ({}, None)],
    )
    def test_a_schema_that_cannot_be_read(self, shelf, change, why):
        self.write(shelf, **change)
        if why is None:
            assert len(load("credit").test) == 2
            return
        with pytest.raises(DataError, match=why):
            load("credit")


def test_texts_and_sound_are_refused(shelf):
    for name in ("letters", "voices"):
        (shelf / name).mkdir()
    (shelf / "letters" / "a.csv.gz").write_bytes(gzip.compress(b"text,label,split\na,0,train\n"))
    np.savez(shelf / "voices" / "a.npz", audio=np.zeros(9, np.int16))
    for name in ("letters", "voices"):
        with pytest.raises(DataError, match="later version") as caught:
            load(name)
        assert caught.value.code == "HF110"


@needs_shelf
@pytest.mark.parametrize(
    ("name", "train", "test", "shape", "classes"),
    [
        ("gtsrb", 7841, 3164, (3, 32, 32), 43),
        ("usps", 7291, 2007, (1, 16, 16), 10),
        ("pneumoniamnist", 4708, 624, (1, 28, 28), 2),
        ("cifar10", 4500, 2000, (3, 32, 32), 10),
        ("ecg5000", 350, 150, (140,), 5),
    ],
)
def test_real_sets(name, train, test, shape, classes):
    data = load(name)
    assert (len(data.train), len(data.test)) == (train, test)
    assert data.test.x.shape[1:] == shape
    assert data.test.n_classes == classes
    assert data.test.y.max() < classes
    assert bool(data.test.space.validate(data.test.x).all())
    if len(shape) == 3:
        assert data.test.bounds == (0, 1)
        assert 0.99 < data.test.x.max() <= 1


@needs_shelf
def test_the_tracks_of_gtsrb_stay_together():
    data = load("gtsrb").train
    assert len(data.groups.unique()) == 1307
    assert "Stallkamp" in data.license
    first, second = data.divide(0.85, 0)
    assert set(first.groups.tolist()).isdisjoint(second.groups.tolist())
    assert abs(len(first) / len(data) - 0.85) < 0.002
    assert bool((data.groups // 1000 == data.y).all())
