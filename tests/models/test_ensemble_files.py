"""Ensembles as files: the same bits come back, and a card that lies is one clear line."""

import dataclasses
import json
import pickle

import pytest
import safetensors.torch
import torch

import holdfast as hf
from holdfast.core.errors import ModelError
from holdfast.models.card import Card, card_of
from holdfast.models.ensemble import Head, from_members, together_of
from holdfast.models.files import load_model, save_model
from holdfast.models.networks import build, built
from holdfast.models.settle import fingerprint, settle
from holdfast.models.threshold import Threshold
from holdfast.models.wrap import wrap

SHAPE = (1, 8, 8)
CARD = {"bounds": [0, 2], "class_names": ["a", "b", "c"], "made_by": "a test"}


def nets():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [
            build("mlp", shape=SHAPE, classes=3, width=5, depth=1).eval(),
            build("cnn", shape=SHAPE, classes=3, width=2).eval(),
            build("mlp", shape=SHAPE, classes=3).eval(),
        ]


@pytest.fixture
def x():
    return 2 * torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(1))


def ensemble(x, **options):
    """Members of two kinds, each with a scaling of its own."""
    made = [wrap(net, (0, 2), mean=0.1 * k, std=0.3 + k / 7, output="logits") for k, net in enumerate(nets())]
    return settle(from_members(made, settle(made[0], x).space, **options), x)


HEAD = Head(
    torch.randn(9, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64),
    torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64),
)


def test_thresholds_of_members_and_of_networks_come_back_where_names_are_numbers(tmp_path, x):
    card = {**CARD, "class_names": ["2", "1", "0"]}
    cut = hf.wrap(nets()[0], (0, 2), output="logits", threshold=Threshold(0.15, 2))
    alone = {"network": "mlp", "shape": list(SHAPE), "classes": 3, "width": 5, "depth": 1, "output": "logits"}
    for k, model in enumerate((cut, hf.wrap([cut, hf.wrap(nets()[2], (0, 2), output="logits")], (0, 2)))):
        model = settle(model, x)
        again = settle(
            load_model(save_model(model, tmp_path / f"{k}.safetensors", card if k else {**alone, **card})), x
        )
        assert again.threshold == model.threshold
        assert torch.equal(again.answer(x).scores, model.answer(x).scores), "the same decisions"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"vote": "logits", "weights": [0.1, 0.2, 0.4]},
        {"vote": "labels", "weights": [3, 1, 1]},
        {"head": HEAD},
        {"head": HEAD, "vote": "logits"},
    ],
    ids=["mean", "weighted", "majority", "stack", "stack of logits"],
)
def test_the_same_bits_come_back(options, tmp_path, x):
    model = ensemble(x, **options)
    path = save_model(model, tmp_path / "all.safetensors", CARD)
    again = settle(load_model(path), x)
    assert fingerprint(again, SHAPE) == fingerprint(model, SHAPE)
    assert torch.equal(again.answer(x).scores, model.answer(x).scores)
    assert together_of(again).weights == together_of(model).weights
    assert again.space.bounds == (0.0, 2.0)
    assert again.classes == 3
    assert again.name == "all"
    assert any(note.startswith("weights: all.safetensors sha256 ") for note in again.notes)
    twice = save_model(again, tmp_path / "twice.safetensors", CARD)
    assert twice.read_bytes() == path.read_bytes()
    card = card_of(json.loads((tmp_path / "all.card.json").read_text()))
    assert card == card_of(json.loads(card.text()))
    assert card.more == {"made_by": "a test"}
    assert [m.network for m in card.members] == ["mlp", "cnn", "mlp"]
    assert [m.width for m in card.members] == [5, 2, None]


def test_a_network_knows_how_it_was_built_and_its_copies_too():
    import copy

    net = nets()[0]
    assert built(copy.deepcopy(net)) == built(net)
    assert dict(built(net).options) == {"width": 5, "depth": 1}
    assert built(torch.nn.Linear(2, 2)) is None


def _rewritten(path, change):
    card = path.with_name(path.stem + ".card.json")
    found = json.loads(card.read_text())
    change(found)
    card.write_text(json.dumps(found))


def _member(key, value):
    return lambda card: card["members"][1].update({key: value})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_member("width", 3), "HF217"),
        (_member("network", "resnet50"), "HF216"),
        (_member("network", ""), "HF211"),
        (_member("classes", 4), "HF211"),
        (_member("shape", [1, 9, 9]), "HF211"),
        (_member("members", [{}]), "HF211"),
        (lambda card: card["members"].pop(), "HF217"),
        (lambda card: card.update(members=card["members"][:1]), "HF211"),
        (lambda card: card.update(members=card["members"] * 100), "HF211"),
        (lambda card: card.update(members="mlp"), "HF211"),
        (lambda card: card.update(members=[1, 2, 3]), "HF211"),
        (lambda card: card.update(weights=[1, 2]), "HF211"),
        (lambda card: card.update(weights=[1, 2, -3]), "HF211"),
        (lambda card: card.update(weights=[0, 0, 0]), "HF211"),
        (lambda card: card.update(vote="loudest"), "HF211"),
        (lambda card: card.update(head=True), "HF217"),
        (lambda card: card.update(head="yes"), "HF211"),
        (lambda card: card.update(network="mlp"), "HF211"),
        (lambda card: card.pop("members"), "HF211"),
    ],
)
def test_a_card_that_lies_about_its_members_is_one_clear_line(change, code, tmp_path, x):
    path = save_model(ensemble(x), tmp_path / "all.safetensors", CARD)
    _rewritten(path, change)
    with pytest.raises(ModelError, match=code) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_a_card_nested_without_end_is_refused(tmp_path, x):
    path = save_model(ensemble(x), tmp_path / "all.safetensors", CARD)
    deep = '{"members": [' * 400 + "{}" + "]}" * 400
    path.with_name("all.card.json").write_text(deep)
    with pytest.raises(ModelError, match="HF211"):
        load_model(path)


def test_numbers_that_no_member_owns_are_refused(tmp_path, x):
    path = save_model(ensemble(x), tmp_path / "all.safetensors", CARD)
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({**tensors, "3.extra": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=r"HF217.*3\.extra"):
        load_model(path)


class Evil:
    """Would run code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit",)


def test_no_pickle_is_opened(tmp_path, x):
    path = save_model(ensemble(x), tmp_path / "all.safetensors", CARD)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match="HF212"):
        load_model(path)


@pytest.mark.parametrize("bad", ["function", "stage", "nameless"])
def test_members_that_no_card_can_name_are_refused_and_nothing_is_written(bad, tmp_path, x):
    odd = {
        "function": wrap(lambda x: x.reshape(len(x), -1)[:, :3]),
        "stage": wrap(nets()[0]) | hf.defenses.BitDepth(bits=3),
        "nameless": wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))),
    }[bad]
    model = settle(wrap([wrap(nets()[0]), odd]), x / 2)
    with pytest.raises(ModelError, match="HF217"):
        save_model(model, tmp_path / "all.safetensors", CARD)
    assert not list(tmp_path.iterdir())


def test_what_learners_of_the_catalog_make_can_be_kept(tmp_path):
    digits = hf.data.load("digits").train.take(slice(0, 60))
    of = hf.Train(network="mlp", width=4, epochs=1, batch=20)
    for learner in (
        hf.defenses.Voting(of=(of,), members=2),
        hf.defenses.Stacking(of=(of, dataclasses.replace(of, width=3)), folds=2),
        hf.defenses.AdaptiveDiversity(of=of, members=2),
    ):
        model = learner.fit(digits, 0)
        path = save_model(model, tmp_path / "m.safetensors", Card(bounds=digits.bounds))
        again = settle(load_model(path), digits.x)
        shape = tuple(digits.x.shape[1:])
        assert fingerprint(again, shape) == fingerprint(model, shape)
