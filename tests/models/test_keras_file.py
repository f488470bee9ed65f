"""`.keras` files: sound ones open and answer the same, hostile ones end in one line and run nothing."""

import base64
import io
import json
import marshal
import os
import zipfile

import numpy as np
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.models import files
from holdfast.models.files import load_model
from holdfast.models.keras import file as keras_file
from models.keras_cases import SHAPE, conv_net, keras, layers, weighted

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "net.keras"
    net = conv_net()
    net.compile("adam", "sparse_categorical_crossentropy")
    net.save(path)
    return path


@pytest.fixture
def unopened(monkeypatch):
    """Keras opening the file, or looking up a name in it, fails the test."""

    def called(*_, **__):
        pytest.fail("Keras has seen it")

    monkeypatch.setattr(keras.saving, "load_model", called)
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", called)


def rewritten(sound, path, change=lambda config: None, members=None, **packing):
    """The sound file with another structure or other members."""
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(path, "w", **packing) as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "config.json":
                config = json.loads(body)
                config = change(config) or config
                body = json.dumps(config).encode()
            body = (members or {}).get(name, body)
            if body is not None:
                new.writestr(name, body)
        for name in set(members or {}) - set(old.namelist()):
            new.writestr(name, members[name])
    return path


def ended(code, path, *words):
    with pytest.raises(HoldfastError) as caught:
        load_model(path)
    text = str(caught.value)
    assert caught.value.code == code, text
    assert all(word in text for word in words), text
    assert "\n" not in text


def test_a_sound_file_answers_as_its_model_and_says_its_digest(sound):
    model, x = load_model(sound), torch.rand(6, *SHAPE)
    said = np.array(keras.ops.convert_to_numpy(conv_net()(x.movedim(1, -1).numpy())))
    assert torch.allclose(model.scores(x).softmax(1), torch.from_numpy(said), atol=1e-5)
    assert any("sha256" in note for note in model.notes)
    assert any("bounds were not given" in note for note in model.notes)


def test_every_kind_of_part_that_models_are_made_of_is_known(tmp_path):
    given = keras.Input((8, 8, 3))
    x = layers.Rescaling(2.0)(layers.RandomFlip()(given))
    x = layers.SeparableConv2D(4, 3, depthwise_regularizer="l2", activation=keras.activations.silu)(x)
    x = keras.ops.relu(x * 2 + 1)
    x = layers.LayerNormalization()(layers.Dropout(0.1)(x))
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(2, 1), layers.MaxPooling2D()])
    inner.compile("sgd", "mse")
    x = layers.Reshape((9, 2))(inner(x))
    x = layers.Bidirectional(layers.LSTM(2))(x)
    net = weighted(keras.Model(given, layers.Dense(2, kernel_constraint="max_norm")(x)))
    net.save(tmp_path / "all.keras")
    pictures = torch.rand(3, 3, 8, 8)
    said = np.array(keras.ops.convert_to_numpy(net(pictures.movedim(1, -1).numpy(), training=False)))
    assert torch.allclose(load_model(tmp_path / "all.keras").scores(pictures), torch.from_numpy(said), atol=1e-5)


def layer_of(structure, name, **fields):
    """Make the last layer another one."""
    structure["config"]["layers"][-1] |= {"class_name": name, "build_config": None, **fields}


def bomb(mark):
    """Marshaled code as a Lambda layer carries it."""
    code = compile(f"lambda x: __import__('os').mkdir({mark!r}) or x", "<lambda>", "eval")
    return base64.b64encode(marshal.dumps(code.co_consts[0])).decode()


@pytest.mark.parametrize("kind", ["lambda", "lambda function", "module", "function", "builtin", "custom", "no module"])
def test_names_of_others_run_nothing(kind, sound, tmp_path, monkeypatch, unopened):
    mark, path = str(tmp_path / "mark"), tmp_path / "evil.keras"
    (tmp_path / "evil_module.py").write_text(f"import os\nos.mkdir({mark!r})\nclass Dense:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    code = {"class_name": "__lambda__", "config": {"value": [bomb(mark), None, None]}}
    get_file = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}

    def change(config):
        if kind == "lambda":
            layer_of(config, "Lambda", config={"function": code, "name": "evil"})
        elif kind == "lambda function":
            config["config"]["layers"][-1]["config"]["activation"] = code
        elif kind == "module":
            layer_of(config, "Dense", module="evil_module")
        elif kind == "function":
            config["config"]["layers"][-1]["config"]["activation"] = get_file
        elif kind == "builtin":
            get_file.update(module="builtins", config="exec")
            config["config"]["layers"][-1]["config"]["activation"] = get_file
        elif kind == "custom":
            layer_of(config, "Dense", registered_name="pkg>Dense")
        else:
            layer_of(config, "Lambda", module=None, config={"function": code})

    ended("HF293", rewritten(sound, path, change), "nothing of it was run")
    assert not os.path.exists(mark)


def test_the_mark_of_that_test_would_be_seen(tmp_path):
    mark = str(tmp_path / "mark")
    type(bomb)(marshal.loads(base64.b64decode(bomb(mark))), {})(1)
    assert os.path.exists(mark)


def deep(config):
    for _ in range(300):
        config = {"config": config}
    return config


def wide(config):
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 1 << 40, 8, 1]


def unrolled(config):
    layer_of(config, "LSTM", config={"units": 2, "unroll": True})


def large(config):
    config["config"]["layers"][-1]["config"]["units"] = 1 << 40
    config["config"]["layers"][-1]["build_config"] = None


@pytest.mark.parametrize("change", [deep, wide, unrolled, lambda c: [1]])
def test_structures_that_are_not_sound(change, sound, tmp_path, unopened):
    ended("HF292", rewritten(sound, tmp_path / "evil.keras", change), "cannot be read")


def test_a_structure_that_asks_for_more_than_the_file_holds_takes_no_memory(sound, tmp_path):
    ended("HF292", rewritten(sound, tmp_path / "evil.keras", large), "more numbers than it holds")
    with keras.StatelessScope():
        pass  # makes what Keras still has to make: nothing of that file, nor later


def test_archives_that_are_not_whole(sound, tmp_path, unopened):
    path, body = tmp_path / "evil.keras", sound.read_bytes()
    for cut in (b"", body[:100], body[:-50]):
        path.write_bytes(cut)
        ended("HF292", path, "no whole archive")
    zeros = bytes(50_000_000)
    rewritten(sound, path, members={"config.json": zeros}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    ended("HF292", path, "unpack to more")
    ended("HF292", rewritten(sound, path, members={"assets/words.txt": b"a"}), "assets/words.txt")
    ended("HF292", rewritten(sound, path, members={"model.weights.h5": None}), "model.weights.h5")


def test_oversized_files_are_refused_unread(sound, tmp_path, monkeypatch, unopened):
    large = tmp_path / "large.keras"
    large.touch()
    os.truncate(large, 3 << 30)
    ended("HF292", large, "no whole archive")
    monkeypatch.setattr(keras_file, "LARGEST", 100)
    monkeypatch.setattr(keras_file, "check_names", None)
    ended("HF292", sound, "bytes declared")


def h5(fill, other):
    """An HDF5 file in memory."""
    import h5py

    with h5py.File(other, "w") as file:
        file["a"] = np.zeros(10)
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        fill(file, h5py, str(other))
    return made.getvalue()


def packed(file, h5py, other):
    file.create_dataset("a", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,), compression="gzip")


def outside(file, h5py, other):
    file["a"] = h5py.ExternalLink(other, "/a")


def external(file, h5py, other):
    file.create_dataset("a", shape=(10,), dtype="u1", external=[(other, 0, 10)])


def virtual(file, h5py, other):
    layout = h5py.VirtualLayout(shape=(10,), dtype="f8")
    layout[:] = h5py.VirtualSource(other, "a", shape=(10,))
    file.create_virtual_dataset("a", layout)


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (packed, "are packed"),
        (outside, "lead elsewhere"),
        (external, "of its own"),
        (virtual, "of its own"),
        (None, "cannot be read"),
    ],
)
def test_numbers_that_are_not_plain_end_in_the_child(fill, words, sound, tmp_path, unopened):
    body = b"\x89HDF\r\n\x1a\n" + bytes(3000) if fill is None else h5(fill, tmp_path / "other.h5")
    ended("HF292", rewritten(sound, tmp_path / "evil.keras", members={"model.weights.h5": body}), "numbers", words)


def test_the_older_format_is_refused(tmp_path, unopened):
    for name in ("net.h5", "net.hdf5"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
        ended("HF294", tmp_path / name, "older HDF5", ".keras")
    assert files.FILES == (".keras", ".h5", ".hdf5")
