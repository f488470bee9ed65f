"""`holdfast compare-models` on model files of every library that is installed."""

import importlib.util
import json
import os
import re
import shlex
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import minmax_scale

from holdfast.cli import compare_models, subject
from holdfast.cli.audit import Request
from holdfast.cli.main import main

pytestmark = pytest.mark.usefixtures("tried_here")

OPTIONS = ("--suite", "square(steps=10)", "-n", "16", "--threat", "linf:0.02", "--threat", "linf:0.05")


def there(library):
    return importlib.util.find_spec(library) is not None


def skops(path, x, y):
    from skops.io import dump

    dump(RandomForestClassifier(5, max_depth=4, random_state=0).fit(x, y), path)


def xgboost(path, x, y):
    from xgboost import XGBClassifier

    XGBClassifier(n_estimators=5, max_depth=3).fit(x, y).save_model(path)


def lightgbm(path, x, y):
    from lightgbm import LGBMClassifier

    LGBMClassifier(n_estimators=5, verbose=-1).fit(x, y).booster_.save_model(path)


def catboost(path, x, y):
    from catboost import CatBoostClassifier

    made = CatBoostClassifier(iterations=5, depth=3, verbose=0, allow_writing_files=False).fit(x, y)
    made.save_model(str(path), format="cbm")


def onnx(path, x, y):
    from skl2onnx import to_onnx

    made = to_onnx(LogisticRegression(max_iter=200).fit(x, y), x[:1], options={"zipmap": False})
    path.write_bytes(made.SerializeToString())


def keras(path, x, y):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    made = keras.Sequential([keras.Input((30,)), keras.layers.Dense(2, activation="softmax")])
    linear = LogisticRegression(max_iter=200).fit(x, y)
    made.set_weights(
        [np.stack([-linear.coef_[0], linear.coef_[0]], 1) / 2, np.outer([-0.5, 0.5], linear.intercept_)[:, 0]]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras's own, about numpy
        made.save(path)


def torch(path, x, y):
    from holdfast.models.files import save_model
    from holdfast.models.networks import build

    card = {"network": "mlp", "shape": [30], "classes": 2, "width": 8, "depth": 1, "output": "logits"}
    save_model(build("mlp", shape=(30,), classes=2, width=8, depth=1), path, card)


FILES = {
    "forest.skops": (("skops",), skops),
    "boosted.json": (("xgboost",), xgboost),
    "boosted.ubj": (("xgboost",), lambda path, x, y: xgboost(path, x[:200], y[:200])),
    "leaves.txt": (("lightgbm",), lightgbm),
    "oblivious.cbm": (("catboost",), catboost),
    "linear.onnx": (("onnx", "onnxruntime", "skl2onnx"), onnx),
    "dense.keras": (("keras",), keras),
    "net.safetensors": (("torch",), torch),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model files on scikit-learn's breast cancer, a damaged one among them, and the data."""
    place = tmp_path_factory.mktemp("libraries")
    x, y = load_breast_cancer(return_X_y=True)
    x = minmax_scale(x).astype(np.float32)
    np.savez(place / "cancer.npz", x=x[400:], y=y[400:])
    for name, (libraries, write) in FILES.items():
        if all(map(there, libraries)):
            write(place / name, x[:400], y[:400])
    (place / "damaged.onnx").write_bytes(b"not a model")
    return place


def compare(folder, *words, models=None):
    names = models or [name for name in [*FILES, "damaged.onnx"] if (folder / name).is_file()]
    given = [str(folder / name) for name in names]
    return main(["compare-models", *given, str(folder / "cancer.npz"), *OPTIONS, "-o", str(folder / "all"), *words])


def test_models_of_all_libraries_stand_in_one_report(folder, capsys, monkeypatch):
    assert compare(folder) == 3, "one file is damaged"
    out, told = capsys.readouterr()
    names = {name for name in FILES if (folder / name).is_file()}
    assert len(names) >= 3
    assert out.startswith(f"{len(names)} models compared: cancer")
    table, _, ahead = out.partition("\nNext\n")
    assert max(map(len, table.splitlines())) <= 100
    doctor, show = [line.strip() for line in ahead.splitlines() if line.startswith("  holdfast ")]
    assert doctor.startswith("holdfast doctor ")
    assert "damaged.onnx" in doctor
    assert main([*shlex.split(show)[1:], "-qq"]) == 0
    assert re.search(r"Left out: damaged\.onnx\. HF\d+ ", out)
    assert "compare-models: 16 samples" in told
    assert "comparison.html" in told
    assert "damaged.onnx is left out, the others go on." in told
    page = (folder / "all" / "comparison.html").read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert len(links) == len(names)
    assert all((folder / "all" / link).is_file() for link in links)

    monkeypatch.setattr(subject, "load_model", lambda *_: pytest.fail("a finished model was opened again"))
    assert compare(folder, "--json", models=sorted(names)) == 0
    document = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in document["rows"]} == names
    assert all(set(row["threats"]) == {"linf:1/50", "linf:1/20"} for row in document["rows"])
    for row in document["rows"]:
        assert row["robust"]["k"] == min(rate["k"] for rate in row["threats"].values()), "the smaller ball is inside"
    assert main(["schema", "models"]) == 0
    assert json.loads(capsys.readouterr().out)["$id"] == document["schema"]


def test_a_run_of_it_is_a_run_like_any_other(folder, capsys):
    if not (folder / "all" / "leaves-txt").is_dir():
        assert compare(folder, "-qq", models=["leaves.txt"]) in (0, 4)
    run = str(folder / "all" / "leaves-txt")
    capsys.readouterr()
    assert main(["show", run, "-q"]) == 0
    words = ["compare-models", str(folder / "leaves.txt"), str(folder / "cancer.npz"), *OPTIONS[:4]]
    assert main([*words, "--threat", "linf:0.02", "-o", str(folder / "one")]) in (0, 4)
    harden = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  holdfast harden ")]
    more = [
        "--recipe",
        "robust-stumps(stumps=2)",
        "--suite",
        "square(steps=1)",
        "-n",
        "4",
        "-o",
        str(folder / "h"),
        "-qq",
    ]
    assert main([*shlex.split(harden[0])[1:], *more]) == 0
    command = json.loads((folder / "all" / "leaves-txt" / "summary.json").read_text())["provenance"]["command"]
    assert command.startswith("holdfast audit ")
    assert "leaves.txt" in command
    assert main(["recheck", run, "-q"]) == 0


def test_interrupted_it_says_how_to_go_on(folder, tmp_path, capsys, monkeypatch):
    from holdfast.evaluation.comparing import work

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "audit", interrupted)
    words = ["compare-models", str(folder / "leaves.txt"), str(folder / "cancer.npz"), *OPTIONS]
    assert main([*words, "-o", str(tmp_path / "all")]) == 130
    out, told = capsys.readouterr()
    assert "Partial: leaves.txt not finished." in out
    assert "resume: same command" in told


def test_names_trust_and_folders():
    names = compare_models.names_of(["v1/model.onnx", "v2/model.onnx", "https://host/v2/models/net", "a.skops"])
    assert names == ["v1/model.onnx", "v2/model.onnx", "net", "a.skops"]
    assert compare_models.trust_of("a.pkl", ("b.pkl", "./a.pkl")) == "./a.pkl"
    assert compare_models.trust_of("nets.mine:build", ("b.pkl", "nets/mine.py")) == "nets/mine.py"
    assert compare_models.trust_of("a.pkl", ("b.pkl",)) == ""
    one, other = (compare_models.folder_of(Request(model="", data="digits", bounds=b)) for b in ("0,1", "0,2"))
    assert one.startswith("runs/models-digits-")
    assert one != other
