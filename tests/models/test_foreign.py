"""Model files of other libraries: round trips through the one door, and one line for everything hostile."""

import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from holdfast.core import trial
from holdfast.core.errors import HoldfastError, ModelError
from holdfast.models import foreign, trials
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from models.tree_cases import CASES


class Bomb:
    """What a pickle runs when it is opened."""

    def __reduce__(self):
        return (open, ("ran", "w"))


def fitted(name):
    return next(case for case in CASES if case.name == name).fitted()


def onnx_model():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    text = '<ir_version: 9, opset_import: ["" : 20]> g (float[n, 5] x) => (float[n, 3] y) { y = MatMul(x, w) }'
    model = onnx.parser.parse_model(text)
    numbers = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(numbers, "w"))
    return model


def write(kind, folder):
    """A sound file of each format, and the model in it."""
    path = folder / f"model{kind}"
    if kind == ".onnx":
        made = onnx_model()
        path.write_bytes(made.SerializeToString())
    elif kind == ".skops":
        made = fitted("forest")
        pytest.importorskip("skops.io").dump(made, path)
    elif kind in (".json", ".ubj"):
        made = fitted("xgboost, named").get_booster()
        made.save_model(path)
    elif kind == ".txt":
        made = fitted("lightgbm, named").booster_
        made.save_model(path)
    else:
        made = fitted("catboost")
        made.save_model(str(path), format="cbm")
    return path, made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Kind -> sound file, made when it is first asked for."""
    folder, known = tmp_path_factory.mktemp("models"), {}

    def get(kind):
        if kind not in known:
            known[kind] = write(kind, folder)
        return known[kind]

    return get


TRIAL = {kind: getattr(trials, one.trial) for kind, one in foreign.KINDS.items()}
KINDS = list(TRIAL)


@pytest.fixture
def here(monkeypatch):
    """What a child would look at is looked at in this process, to save its imports."""

    def look(opener, paths, memory, needs):
        function = getattr(trials, opener.partition(":")[2])
        return [fact for path in paths for fact in function(str(path))]

    monkeypatch.setattr(foreign, "look", look)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_child_takes_every_sound_file(kind, files):
    assert load_model(files(kind)[0], bounds=(-9, 9)).name == "model"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_answers_as_the_model_that_wrote_it(kind, files, here):
    path, made = files(kind)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 5))).float()
    x[:, 0] = x[:, 0].round().abs()
    one, other = (settle(model, x) for model in (load_model(path, bounds=(-9, 9)), wrap(made, (-9, 9))))
    assert torch.equal(one.scores(x), other.scores(x))
    assert one.name == "model"
    assert any("sha256" in note for note in one.notes)
    if kind != ".onnx":
        assert one.trees().digest == other.trees().digest


def test_a_card_beside_the_file_says_what_it_cannot(files, tmp_path, here):
    path = tmp_path / "net.onnx"
    path.write_bytes(files(".onnx")[0].read_bytes())
    (tmp_path / "net.card.json").write_text('{"bounds": [0, 255], "output": "logits", "name": "a net"}')
    model = load_model(path)
    assert (model.space.bounds, model.name) == ((0.0, 255.0), "a net")
    assert model.labels.source.output == "logits"


# Hostile files: what the child says of them is tested in this process, where it is refused before a library sees it


def one_line(call, match):
    with pytest.raises(HoldfastError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value


def cut(path, folder, kind):
    broken = folder / f"half{kind}"
    content = path.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    return broken


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_file_and_a_pickle_are_one_line_and_run_nothing(kind, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half = cut(files(kind)[0], tmp_path, kind)
    one_line(lambda: list(TRIAL[kind](str(half))), "HF212")
    evil = tmp_path / f"evil{kind}"
    evil.write_bytes(pickle.dumps(Bomb()))
    one_line(lambda: list(TRIAL[kind](str(evil))), "HF212")
    (tmp_path / f"empty{kind}").touch()
    one_line(lambda: load_model(tmp_path / f"empty{kind}"), "HF212.*0 bytes")
    assert not (tmp_path / "ran").exists()


def test_the_door_asks_a_child_first_and_passes_on_its_line(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "evil.onnx"
    path.write_bytes(pickle.dumps(Bomb()))
    asked = []
    real = trial._answer
    monkeypatch.setattr(trial, "_answer", lambda *words: asked.append(words) or real(*words))
    monkeypatch.setattr(foreign, "parsed", None)
    one_line(lambda: load_model(path), "HF212.*no ONNX model")
    assert len(asked) == 1


# ONNX


def external(folder, **said):
    """A model whose numbers lie in another file."""
    onnx = pytest.importorskip("onnx")
    model = onnx_model()
    tensor = model.graph.initializer[0]
    (folder / "w.data").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in ({"location": "w.data", "length": "60"} | said).items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_numbers_beside_the_model_are_read(tmp_path):
    assert foreign.parsed(external(tmp_path)).graph.initializer[0].raw_data == (
        onnx_model().graph.initializer[0].raw_data
    )


def test_numbers_that_share_a_byte_are_counted_so(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx_model()
    tensor = model.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.append(5)
    tensor.data_type = onnx.TensorProto.INT4
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.data")
    (tmp_path / "w.data").write_bytes(b"\x21\x43\x05")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    read = foreign.parsed(tmp_path / "model.onnx").graph.initializer[0]
    assert onnx.numpy_helper.to_array(read).astype(int).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"location": "../" * 40 + "etc/passwd"}, "HF275"),
        ({"location": "/etc/passwd"}, "HF275"),
        ({"location": "link"}, "HF275"),
        ({"location": "nothing"}, "HF275"),
        ({"offset": "4"}, "HF212"),
        ({"offset": "-4"}, "HF212"),
        ({"length": "1000000000000"}, "HF212"),
        ({"length": "many"}, "HF212"),
    ],
    ids=str,
)
def test_numbers_from_elsewhere_are_refused(said, code, tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    path = external(tmp_path, **said)
    one_line(lambda: list(trials.onnx(str(path))), code)


def test_onnx_s_own_refusal_is_passed_on_in_a_line(tmp_path):
    model = onnx_model()
    model.graph.initializer[0].dims[0] = 1 << 40
    path = tmp_path / "absurd.onnx"
    path.write_bytes(model.SerializeToString())
    one_line(lambda: list(trials.onnx(str(path))), "HF276")


def test_a_graph_that_cannot_be_asked_is_found_by_asking(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[n, 4] x) => (float[n, 3] y)'
        " <int64[2] s = {3, 5}> { y = Reshape(x, s) }"
    )
    path = tmp_path / "odd.onnx"
    path.write_bytes(model.SerializeToString())
    one_line(lambda: list(trials.onnx(str(path))), "HF276")


LOOP = (
    '<ir_version: 9, opset_import: ["" : 20]> g (float[n, WIDTH] x) => (float[n, WIDTH] y) {'
    " most = Constant<value = int64 {9223372036854775807}>() at = Constant<value = float {0.5}>()"
    " top = ReduceMax<keepdims = 0>(x) yes = START"
    " y = Loop<body = b (int64 i, bool c, float[n, m] s) => (bool d, float[n, m] t)"
    " { d = Identity(c) t = Identity(s) }>(most, yes, x) }"
)


@pytest.mark.parametrize(
    ("width", "start"),
    [("m", "Constant<value = bool {1}>()"), ("4", "Greater(top, at)")],
    ids=["of a free size", "for some numbers"],
)
def test_a_loop_without_end_is_met_by_the_child(width, start, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.parser.parse_model(LOOP.replace("WIDTH", width).replace("START", start))
    path = tmp_path / "loop.onnx"
    path.write_bytes(model.SerializeToString())
    one_line(
        lambda: trial.look("holdfast.models.trials:onnx", [path], foreign.SPACE, seconds=1, needs=["onnxruntime"]),
        "HF505",
    )


def test_a_free_size_that_does_not_fit_is_no_refusal(tmp_path):
    """A graph of rows of 5 that does not say so: none of the sizes that are tried fits."""
    onnx = pytest.importorskip("onnx")
    text = '<ir_version: 9, opset_import: ["" : 20]> g (float[n, m] x) => (float[n, 3] y) { y = MatMul(x, w) }'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((5, 3), np.float32), "w"))
    path = tmp_path / "free.onnx"
    path.write_bytes(model.SerializeToString())
    assert [fact[0] for fact in trials.onnx(str(path))] == ["outputs"]


# XGBoost


def edited(path, folder, change):
    document = json.loads(path.read_text())
    change(document["learner"])
    broken = folder / "broken.json"
    broken.write_text(json.dumps(document))
    return broken


def tree(learner):
    return learner["gradient_booster"]["model"]["trees"][0]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda d: d["learner_model_param"].update(num_feature="1000000000000"), "HF277.*numbers in a row"),
        (lambda d: d["learner_model_param"].update(num_class="4000000000"), "HF277.*classes"),
        (lambda d: tree(d)["tree_param"].update(num_nodes="999999999"), "HF277.*999999999"),
        (lambda d: tree(d)["left_children"].__setitem__(0, 0), "HF277.*circles"),
        (lambda d: tree(d)["right_children"].__setitem__(0, 99999), "HF277.*outside"),
        (lambda d: tree(d)["split_indices"].__setitem__(0, 50), "HF277.*beyond"),
        (lambda d: d["gradient_booster"]["model"]["tree_info"].__setitem__(0, 7), "HF277"),
        (lambda d: d.pop("gradient_booster"), "HF212.*KeyError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_xgboost_files_that_make_no_sense(change, seen, files, tmp_path):
    broken = edited(files(".json")[0], tmp_path, change)
    one_line(lambda: list(trials.xgboost(str(broken))), seen)


def test_other_json_is_no_model(tmp_path):
    for content in ("[]", "{}", "[" * 100_000, '{"learner": 3}'):
        (tmp_path / "x.json").write_text(content)
        one_line(lambda: list(trials.xgboost(str(tmp_path / "x.json"))), "HF212")


# LightGBM


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ("left_child=", "left_child=0 ", "HF277"),
        ("left_child=1", "left_child=0", "HF277.*circles"),
        ("right_child=", "right_child=-", "HF277"),
        ("num_leaves=8", "num_leaves=9", "HF277.*9 leaves"),
        ("num_leaves=8", "num_leaves=99999999999999999999", "HF277"),
        ("max_feature_idx=4", "max_feature_idx=99999999999", "HF277.*numbers in a row"),
        ("max_feature_idx=4", "max_feature_idx=3", "HF277.*names"),
        ("tree_sizes=", "tree_sizes=9", "HF277.*no tree 1"),
        ("end of trees", "end of", "HF212.*ends before"),
        ("cat_boundaries=0 1", "cat_boundaries=0 9", "HF277.*sets"),
        ("num_class=1", "num_class=x", "HF212"),
    ],
    ids=str,
)
def test_lightgbm_files_that_would_crash_it(old, new, seen, files, tmp_path):
    head, _, rest = files(".txt")[0].read_text().partition("\nTree=0\n")
    sizes = head.partition("tree_sizes=")[2].split()[0]
    first = "Tree=0\n" + rest[: int(sizes) - len("Tree=0\n")]
    others = rest[int(sizes) - len("Tree=0\n") :]
    if old in first:
        changed = first.replace(old, new, 1)
        head = head.replace(f"tree_sizes={sizes}", f"tree_sizes={len(changed)}")
        text = f"{head}\n{changed}{others}"
    else:
        assert old in head + others
        text = f"{head}\n{first}{others}".replace(old, new, 1)
    path = tmp_path / "broken.txt"
    path.write_text(text)
    one_line(lambda: list(trials.lightgbm(str(path))), seen)


# skops


def test_untrusted_types_are_named_and_run_only_with_trust(tmp_path, monkeypatch):
    io = pytest.importorskip("skops.io")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    path = tmp_path / "evil.skops"
    model = make_pipeline(FunctionTransformer(np.linalg.norm), fitted("tree"))
    io.dump(model, path)
    assert io.get_untrusted_types(file=path)
    one_line(lambda: list(trials.skops(str(path))), "HF213.*norm")

    def tried(*words, **more):
        raise ModelError("HF213", "types that may run code: norm")

    monkeypatch.setattr(foreign, "look", tried)
    one_line(lambda: load_model(path), "HF213.*norm.*--trust")
    one_line(lambda: load_model(path, trust="other"), "HF214")
    model = load_model(path, trust=str(path))
    assert any("trusted code: evil.skops" in note for note in model.notes)


def test_a_bomb_and_trees_that_are_none(tmp_path, files):
    io = pytest.importorskip("skops.io")
    bomb = tmp_path / "bomb.skops"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", bytes(1 << 22))
    one_line(lambda: list(trials.skops(str(bomb))), "HF212.*packed into")
    model = fitted("tree")
    state = model.tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"]["left_child"][0] = 0
    model.tree_.__setstate__(state)
    io.dump(model, tmp_path / "circle.skops")
    one_line(lambda: list(trials.skops(str(tmp_path / "circle.skops"))), "HF277.*circles")


def test_nodes_walk():
    assert trials.walks([0], [1, -1, -1], [2, -1, -1]) == ""
    assert "circles" in trials.walks([0], [1, 0, -1], [2, 2, -1])
    assert "outside" in trials.walks([0], [1, -1, -1], [3, -1, -1])
    assert "to the right" in trials.walks([0], [1, -1, -1], [2, -1])
