"""Model files: round trips, clear refusals, no code without trust."""

import json
import os
import pickle
import struct

import pytest
import torch
from torch import nn

from holdfast.core.errors import ModelError
from holdfast.models.card import Card, card_of
from holdfast.models.files import bundled, load_model, save_model
from holdfast.models.networks import NAMES, build
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap

CARD = {
    "network": "cnn",
    "width": 4,
    "classes": 3,
    "shape": [1, 8, 8],
    "bounds": [0, 1],
    "mean": [0.4],
    "std": 0.3,
    "class_names": ["a", "b", "c"],
    "made_by": "a test",
}


def network(name="cnn"):
    torch.manual_seed(0)
    return build(name, shape=(1, 8, 8), classes=3, width=4).eval()


@pytest.fixture
def x():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def saved(tmp_path):
    return save_model(network(), tmp_path / "net.safetensors", CARD)


def rewrite(path, **changes):
    card = path.with_name(path.stem + ".card.json")
    card.write_text(json.dumps({k: v for k, v in {**CARD, **changes}.items() if v is not None}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_round_trip(name, dtype, tmp_path, x):
    net = network(name).to(dtype)
    path = save_model(net, tmp_path / "net.safetensors", {**CARD, "network": name})
    model = settle(load_model(path), x)
    inside = net(((x - 0.4) / 0.3).to(dtype)).float().detach()
    assert torch.equal(model.scores(x), inside)
    assert model.classes == 3
    assert model.name == "net"
    assert model.space.bounds == (0.0, 1.0)
    assert any("sha256" in note for note in model.notes)
    assert card_of(json.loads((tmp_path / "net.card.json").read_text())).more == {"made_by": "a test"}


def test_a_wrapped_model_takes_its_normalization_along(tmp_path, x):
    model = settle(wrap(network(), mean=0.1, std=0.2), x)
    card = {k: v for k, v in CARD.items() if k not in ("mean", "std")}
    again = settle(load_model(save_model(model, tmp_path / "n.safetensors", card)), x)
    assert torch.equal(again.scores(x), model.scores(x))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("inside", [None, "state_dict"])
def test_state_dicts_load_without_running_code(prefix, inside, tmp_path, x):
    net, path = network(), tmp_path / "net.pt"
    weights = {prefix + name: value for name, value in net.state_dict().items()}
    torch.save({inside: weights, "epoch": 3} if inside else weights, path)
    rewrite(path, mean=None, std=None)
    assert torch.equal(settle(load_model(path), x).scores(x), net(x).detach())


def test_bundled_digits(x):
    assert "digits-mlp" in bundled()
    model = settle(load_model("digits-mlp"), x)
    assert model.classes == 10


def test_bundled_digits_is_right_on_data_it_has_not_seen():
    from holdfast.data import load

    test = load("digits").test
    model = settle(load_model("digits-mlp"), test.x)
    assert (model.predict(test.x) == test.y).double().mean() > 0.95


def test_bounds_come_from_the_card_first(saved):
    assert load_model(saved, bounds=(0, 255)).space.bounds == (0.0, 1.0)
    rewrite(saved, bounds=None)
    assert load_model(saved, bounds=(0, 255)).space.bounds == (0, 255)
    assert any("bounds were not given" in note for note in load_model(saved).notes)


# Refusals


def test_no_card_shows_an_example(saved):
    saved.with_name("net.card.json").unlink()
    with pytest.raises(ModelError, match="HF211.*resnet18"):
        load_model(saved)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\xff",
        '{"width": -1}',
        '{"bounds": [0]}',
        '{"shape": "x"}',
        '{"mean": ["a"]}',
        '{"shape": [999999999, 999999999]}',
        "[" * 100_000,
        '{"output": "scores"}',
        '{"classes": 2, "class_names": ["a"]}',
        '{"network": "cnn"}',
    ],
)
def test_unusable_cards_are_refused(text, saved):
    saved.with_name("net.card.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match="HF211"):
        load_model(saved)


@pytest.mark.parametrize(
    "change", [{"width": 8}, {"classes": 4, "class_names": None}, {"shape": [3, 8, 8]}, {"network": "vgg11"}]
)
def test_wrong_shapes_are_one_clear_line(change, saved):
    rewrite(saved, **change)
    with pytest.raises(ModelError, match="HF217") as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)
    assert "of shape" in str(caught.value)


def test_unknown_networks_and_sizes_are_refused(saved):
    rewrite(saved, network="resnet50")
    with pytest.raises(ModelError, match="HF216"):
        load_model(saved)
    rewrite(saved, width=10**9)
    with pytest.raises(ModelError, match="HF211"):
        load_model(saved)


def test_a_large_promise_in_a_small_file_costs_nothing(saved, tmp_path):
    rewrite(saved, network="vgg11", width=4096)  # 37 billion parameters if they were allocated
    with pytest.raises(ModelError, match="HF217"):
        load_model(saved)
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**6], "data_offsets": [0, 4 * 10**15]}}).encode()
    liar = tmp_path / "liar.safetensors"
    liar.write_bytes(struct.pack("<Q", len(header)) + header)
    rewrite(liar)
    with pytest.raises(ModelError, match="HF212"):
        load_model(liar)


@pytest.mark.parametrize("size", [0, 7, 100])
def test_torn_files_are_refused(size, saved):
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(ModelError, match="HF212"):
        load_model(saved)


@pytest.mark.parametrize("name", ["nothing-here", "nothing.safetensors", "nothing.onnx"])
def test_missing_files_are_refused(name, tmp_path):
    with pytest.raises(ModelError, match="HF212"):
        load_model(tmp_path / name)
    with pytest.raises(ModelError, match="HF212"):
        load_model(name)


def test_other_kinds_are_refused(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"1")
    with pytest.raises(ModelError, match="HF212"):
        load_model(tmp_path / "a.xyz")
    with pytest.raises(ModelError, match="HF212"):
        save_model(network(), tmp_path / "a.pt", CARD)


def test_saving_checks_the_card_first(tmp_path):
    with pytest.raises(ModelError, match="HF217"):
        save_model(network(), tmp_path / "a.safetensors", {**CARD, "width": 8})
    with pytest.raises(ModelError, match="HF217"):
        save_model(wrap(lambda x: x), tmp_path / "a.safetensors", CARD)
    assert not list(tmp_path.iterdir())


# Code


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize(
    "name", ["evil.pkl", "evil.pickle", "evil.joblib", "evil.pt", "evil.pth", "evil.pt2", "evil.safetensors"]
)
def test_an_evil_file_runs_nothing_without_trust(name, tmp_path):
    mark, path = tmp_path / "mark", tmp_path / name
    if path.suffix in (".pt", ".pth"):
        torch.save({"weight": Evil(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Evil(mark)))
    rewrite(path)
    for trust in (None, str(tmp_path / "other.pkl")):
        with pytest.raises(ModelError) as caught:
            load_model(path, trust=trust)
        assert caught.value.code == ("HF212" if name == "evil.safetensors" else "HF214" if trust else "HF213")
        assert not mark.exists()


def test_the_evil_file_would_have_run(tmp_path):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Evil(tmp_path / "mark")))
    with pytest.raises(ModelError):
        load_model(path, trust=str(path))
    assert (tmp_path / "mark").exists()


def test_a_trusted_pickle_is_wrapped_and_its_digest_noted(tmp_path):
    from sklearn.linear_model import LogisticRegression

    x = torch.rand(30, 4, dtype=torch.float64).numpy()
    estimator = LogisticRegression().fit(x, (x[:, 0] > 0.5).astype(int))
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(estimator))
    model = load_model(path, trust=str(path), bounds=(0, 2))
    assert any(note.startswith("trusted code: model.pkl sha256 ") for note in model.notes)
    assert model.labels(torch.from_numpy(x)).tolist() == estimator.predict(x).tolist()


def test_a_trusted_whole_module_is_wrapped(tmp_path, x):
    path = tmp_path / "net.pt"
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), path)
    with pytest.raises(ModelError, match="HF213"):
        load_model(path)
    assert settle(load_model(path, trust=path), x).classes == 3


def test_a_python_object_needs_trust(tmp_path, monkeypatch, x):
    file = tmp_path / "owned_by_a_test.py"
    file.write_text(
        "import pathlib\npathlib.Path(__file__).with_name('mark').touch()\nfrom torch import nn\n"
        "def build(width=3):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, width))\n"
        "net = build()\ndef predict(x):\n    return x.reshape(len(x), -1)[:, :5]\n"
    )
    monkeypatch.chdir(tmp_path)
    for trust, code in ((None, "HF213"), ("other.py", "HF214")):
        with pytest.raises(ModelError, match=code):
            load_model("owned_by_a_test:net", trust=trust)
    assert not (tmp_path / "mark").exists()
    for attribute, classes in (("net", 3), ("build", 3), ("predict", 5)):
        for trust in (str(file), f"owned_by_a_test:{attribute}"):
            model = settle(load_model(f"owned_by_a_test:{attribute}", trust=trust), x)
            assert model.classes == classes
            assert any("trusted code" in note and "sha256" in note for note in model.notes)
    with pytest.raises(ModelError, match="HF215"):
        load_model("owned_by_a_test:nothing", trust=str(file))
    with pytest.raises(ModelError, match="HF215"):
        load_model("no_such_module_here:net", trust="no_such_module_here:net")


def test_a_card_is_a_card():
    card = card_of(CARD)
    assert isinstance(card, Card)
    assert card_of(json.loads(card.text())) == card
    assert card_of(card) is card
