"""Image classifiers of transformers, made from configs with random weights: nothing is ever fetched."""

import json
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import ModelError
from holdfast.data.dataset import Dataset
from holdfast.evaluation.audit import facts_of_model
from holdfast.models.files import load_model
from holdfast.models.huggingface.pixels import Pixels, steps_of
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")
NAMES = {0: "cat", 1: "dog", 2: "<b>fox</b>"}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


def vit(**more):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(
        **sizes, image_size=16, patch_size=8, id2label=NAMES, initializer_range=0.3, hidden_dropout_prob=0.3, **more
    )
    torch.manual_seed(0)
    return transformers.ViTForImageClassification(config)


def res_net():
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], num_labels=3)
    return transformers.ResNetForImageClassification(config)


def conv_next():
    torch.manual_seed(0)
    return transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(hidden_sizes=[8, 8], depths=[1, 1], num_stages=2, num_labels=4)
    )


SETTINGS = {
    "do_resize": True,
    "size": {"height": 16, "width": 16},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": MEAN,
    "image_std": STD,
}


@pytest.fixture(scope="module")
def x():
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("hub") / "vit"
    transformers.utils.logging.disable_progress_bar()
    vit().save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return path


@pytest.mark.parametrize("make", [vit, res_net, conv_next])
def test_logits_and_gradients_are_the_model_s(make, x):
    net = make()
    model = settle(wrap(net), x)
    with model.borrowed():
        assert torch.equal(model.scores(x), net(pixel_values=x).logits), "in evaluation mode"
        leaf = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(model.module(leaf)[:, 0].sum(), leaf)
        d = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)) * 1e-3
        slope = (model.scores(x + d) - model.scores(x - d))[:, 0] / 2
    assert torch.allclose(slope, (g * d).flatten(1).sum(1), atol=1e-4)
    assert model.classes == net.config.num_labels
    assert model.features is not None
    assert model.adapter == "hugging face"


def test_names_of_classes_reach_the_report_where_the_data_have_none(x):
    model = wrap(vit())
    assert model.names == tuple(NAMES.values())
    assert wrap(res_net()).names == (), "LABEL_0 says nothing"
    for classes, wanted in (((), NAMES.values()), (("0", "1", "2"), NAMES.values()), (("a", "b", "c"), "abc")):
        data = Dataset(x, torch.arange(8) % 3, classes=classes)
        said = facts_of_model(SimpleNamespace(model=settle(model, x), data=data, fingerprint=""))
        assert said.class_names == tuple(wanted)


def test_pgd_breaks_it_in_pixels(x):
    model = settle(wrap(vit(), processor=SETTINGS), x)
    out = run(Pgd(steps=10), model, x, model.predict(x), "linf:0.1", seed=0)
    assert int(out.success.sum()) > 0
    assert float((out.strongest - x).abs().max()) <= 0.1 + 1e-6


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ViTImageProcessor", {"size": {"height": 16, "width": 16}}),
        ("ViTImageProcessor", {"size": {"height": 40, "width": 30}, "resample": 3}),
        ("ViTImageProcessor", {"do_resize": False, "do_rescale": False}),
        ("BitImageProcessor", {"size": {"shortest_edge": 18}, "crop_size": {"height": 15, "width": 14}}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 16}, "crop_pct": 0.8}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
        ("EfficientNetImageProcessor", {"size": {"height": 16, "width": 16}, "rescale_offset": True}),
        ("MobileViTImageProcessor", {"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}}),
    ],
)
def test_steps_are_those_of_the_processor(kind, options):
    made = getattr(transformers, kind + "Pil", None) or getattr(transformers, kind)
    processor = made(image_mean=MEAN, image_std=STD, **options)
    down, right = np.mgrid[:24, :33]
    waves = [100 + 40 * np.sin(down / 5 + c) + 40 * np.cos(right / 6 - c) for c in range(3)]
    picture = np.stack(waves).astype(np.uint8)
    said = processor(picture, return_tensors="np", input_data_format="channels_first")["pixel_values"]
    wanted = torch.as_tensor(np.array(said))
    step = 1 if options.get("do_rescale") is False else 1 / 255
    near = 1.6 * step / min(STD) ** (2 if kind.startswith("Efficient") else 1)  # it rounds pixels twice
    for bounds, given in (((0, 1), picture / 255.0), ((0, 255), picture)):
        found = Pixels(steps_of(processor, Box(bounds)))(torch.as_tensor(given, dtype=torch.float64)[None])
        assert found.shape == wanted.shape
        assert float((found - wanted).abs().max()) <= near


def test_gradients_go_through_resizing(x):
    model = settle(wrap(vit(), processor=SETTINGS), torch.rand(4, 3, 24, 20))
    large = torch.rand(2, 3, 24, 20)
    leaf = large.clone().requires_grad_()
    with model.borrowed():
        (g,) = torch.autograd.grad(model.module(leaf)[:, 0].sum(), leaf)
        d = torch.randn(large.shape) * 1e-3
        slope = (model.scores(large + d) - model.scores(large - d))[:, 0] / 2
    assert torch.allclose(slope, (g * d).flatten(1).sum(1), atol=1e-3)
    assert any("resize" in stage for stage in model.stages)


def text_model():
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=8
    )
    return transformers.BertForSequenceClassification(config)


@pytest.mark.parametrize(
    ("make", "options", "code"),
    [
        (text_model, {}, "HF295"),
        (lambda: vit(problem_type="multi_label_classification"), {}, "HF295"),
        (vit, {"processor": {**SETTINGS, "do_pad": True}}, "HF296"),
        (vit, {"processor": {**SETTINGS, "size": {"longest_edge": 3}}}, "HF296"),
        (vit, {"processor": SETTINGS, "bounds": (-1, 1)}, "HF296"),
        (vit, {"processor": 3}, "HF296"),
        (vit, {"processor": SETTINGS, "mean": 0.5}, "HF207"),
        (vit, {"layout": "channels-last"}, "HF207"),
        (lambda: nn.Linear(2, 2), {"processor": SETTINGS}, "HF207"),
    ],
)
def test_what_cannot_be_wrapped_is_one_line(make, options, code):
    with pytest.raises(ModelError) as caught:
        wrap(make(), **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_pixels_keep_their_precision_before_a_network_of_half_of_it(x):
    large = torch.nn.functional.interpolate(x, (20, 20))
    model = settle(wrap(res_net().to(torch.bfloat16), processor=SETTINGS), large)
    told = []
    hook = model.module.ask.net.register_forward_pre_hook(lambda _, given: told.append(given[0]))
    model.scores(large)
    hook.remove()
    wanted = Pixels(steps_of(SETTINGS, Box((0, 1))))(large).to(torch.bfloat16)
    assert torch.equal(told[0], wanted)
    assert model.stages[1].startswith("normalize"), "pixels * 1 - 0 is no step"


@pytest.mark.parametrize("shape", [(1, 16, 16), (16, 16)])
def test_pictures_of_other_channels_are_not_made_to_fit(shape):
    with pytest.raises(ModelError, match=r"HF296.*\(3, height, width\)"):
        settle(wrap(res_net(), processor=SETTINGS), torch.rand(4, *shape))


def test_a_way_of_resizing_that_torch_does_not_have_serves_pictures_of_that_size(x):
    model = settle(wrap(vit(), processor={**SETTINGS, "resample": 1}), x)
    with pytest.raises(ModelError, match="HF296"):
        model.scores(torch.rand(2, 3, 20, 20))


def test_a_folder_opens_with_its_processor_and_fetches_nothing(folder, x, monkeypatch):
    import socket

    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a connection"))
    before = torch.get_rng_state()
    model = settle(load_model(folder), x)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.allclose(model.scores(x), wrap(vit().eval(), processor=SETTINGS).scores(x), atol=1e-6)
    assert model.names == tuple(NAMES.values())
    assert any("sha256" in note for note in model.notes)


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"auto_map": {"AutoModelForImageClassification": "evil.Evil"}}, "HF297", "auto_map"),
        ({"backbone": "microsoft/resnet-50"}, "HF297", "backbone"),
        ({"inner": [{"quantization_config": {"quant_method": "gptq"}}]}, "HF297", "quantization_config"),
        ({"_attn_implementation": "some/kernel"}, "HF297", "_attn_implementation"),
        ({"architectures": ["evil.Evil"]}, "HF295", "image classifier"),
        ({"architectures": ["ResNetForImageClassification"]}, "HF297", "none of its model_type"),
        ({"model_type": "evil"}, "HF297", "cannot be built"),
        ({"num_hidden_layers": 10**9}, "HF297", "more layers"),
        ({"hidden_size": 10**6}, "HF297", "more numbers"),
        ({"intermediate_size": 17}, "HF297", "HF297"),
        ({"num_labels": 5, "id2label": None}, "HF297", "HF297"),
    ],
)
def test_configs_that_ask_for_more_run_nothing(change, code, words, folder, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert caught.value.code == code, str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_pickled_and_damaged_weights(folder, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(str(mark))))
    with pytest.raises(ModelError, match="HF297") as caught:
        load_model(tmp_path)
    assert "pytorch_model.bin" in str(caught.value)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-8])
    with pytest.raises(ModelError, match="HF212"):
        load_model(tmp_path)
    save_file({"a": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="HF297"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("[1")
    with pytest.raises(ModelError, match="HF297"):
        load_model(tmp_path)
    assert not mark.exists()
