"""Keras models on the backend that KERAS_BACKEND names (torch here, all three in `make keras-test`)."""

import pytest
import torch

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import ModelError
from holdfast.defenses.detection.reconstruction import Reconstruction
from holdfast.models.keras.layout import Turn, layout_of
from holdfast.models.settle import fingerprint, settle
from holdfast.models.wrap import wrap
from holdfast.threats.literals import parse
from models.keras_cases import SHAPE, conv_net, keras, layers, same_in_torch, weighted

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own get_weights


@pytest.fixture(scope="module")
def x():
    return torch.rand(24, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net():
    return conv_net()


@pytest.fixture(scope="module")
def model(net, x):
    return settle(wrap(net), x)


def gradient(ask, x):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(ask(leaf).log_softmax(1)[:, 0].sum(), leaf)[0]


def test_scores_and_gradients_are_those_of_the_same_network_in_torch(net, model, x):
    plain = wrap(same_in_torch(net))
    assert torch.allclose(model.scores(x), plain.scores(x), atol=1e-5)
    assert torch.equal(model.labels(x), plain.labels(x))
    assert torch.allclose(gradient(model.module, x), gradient(plain.module, x), atol=1e-5)
    assert model.adapter == f"keras ({keras.config.backend()})"
    assert model.stages == ("channels-last",)
    assert "softmax" in model.notes[0]
    assert net.layers[-1].activation is keras.activations.softmax, "the user's model is as it was"


def test_gradients_are_finite_differences(model, x):
    g, draw = gradient(model.module, x), torch.Generator().manual_seed(2)
    for _ in range(3):
        d = torch.randn(x.shape, generator=draw) * 1e-3
        up, down = (model.scores(x + s * d).double().log_softmax(1)[:, 0] for s in (1, -1))
        assert torch.allclose((up - down) / 2, (g * d).flatten(1).sum(1).double(), atol=2e-5)


def test_one_forward_serves_several_backward_passes(model, x):
    leaf = x.clone().requires_grad_()
    z = model.module(leaf)
    first, second, again = (torch.autograd.grad(z[:, k].sum(), leaf, retain_graph=True)[0] for k in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.allclose(first, second)


def test_a_batch_of_any_size_and_a_row_alone(model, x):
    assert torch.allclose(torch.cat([model.scores(x[:7]), model.scores(x[7:8])]), model.scores(x[:8]), atol=1e-5)
    assert torch.allclose(gradient(model.module, x[:5]), gradient(model.module, x)[:5], atol=1e-5)


def test_pgd_breaks_the_samples_that_it_breaks_in_torch(net, model, x):
    plain = settle(wrap(same_in_torch(net)), x)
    y = plain.labels(x)
    both = [run(Pgd(steps=10), one, x, y, parse("linf:0.3"), seed=0) for one in (model, plain)]
    assert 0 < int(both[1].success.sum()) < len(x)
    assert torch.equal(both[0].success, both[1].success)
    assert torch.allclose(both[0].strongest, both[1].strongest, atol=1e-3)


@pytest.mark.parametrize("ending", ["layer", "sigmoid", "linear", "activation", "nested", "inside", "subclass"])
def test_endings(ending, x):
    if ending == "activation":
        net = conv_net("linear")
        net = keras.Model(net.inputs, layers.Activation("softmax")(net.outputs[0]))
    elif ending == "nested":
        net = keras.Sequential([keras.Input(SHAPE[1:] + SHAPE[:1]), conv_net()])
    elif ending == "inside":
        given = keras.Input(SHAPE[1:] + SHAPE[:1])
        net = keras.Model(given, conv_net()(given))
    elif ending == "subclass":
        net = Own(conv_net("linear").get_weights())
    else:
        net = conv_net(ending)
    made = settle(wrap(net), x)
    assert torch.allclose(made.scores(x), wrap(same_in_torch(net)).scores(x), atol=1e-5)
    assert any("cut open" in note for note in made.notes) == (ending != "linear")
    assert float(gradient(made.module, x).abs().amin(0).max()) > 0


class Own(keras.Model):
    """A subclassed model that knows no shapes."""

    def __init__(self, weights):
        super().__init__()
        inner = conv_net("linear")
        inner.set_weights(weights)
        self.body = keras.Model(inner.inputs, inner.layers[-2].output)
        self.head = layers.Dense(3, activation="softmax")
        self(keras.ops.zeros((2, 6, 6, 2)))
        self.head.set_weights(weights[-2:])

    def call(self, x, training=False):
        return self.head(self.body(x, training=training))


def test_one_sigmoid_is_two_classes(x):
    net = conv_net("sigmoid", classes=1)
    made = settle(wrap(net), x)
    assert made.classes == 2
    z = same_in_torch(net)(x).detach()[:, 0]
    assert torch.allclose(made.scores(x), torch.stack([torch.zeros_like(z), z], 1), atol=1e-5)
    assert torch.equal(made.labels(x), (z > 0).long())


class Turned(layers.Dense):
    """A layer of the author's own, which goes on behind its activation."""

    def call(self, x, training=None):
        return 1 - super().call(x)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")  # Keras's own, of one column
def test_only_endings_that_are_the_last_word_are_cut(x):
    flat = [keras.Input(SHAPE[1:] + SHAPE[:1]), layers.Flatten()]
    own = keras.Sequential([*flat, Turned(3, activation="sigmoid")])
    rows = keras.ops.convert_to_tensor(x.movedim(1, -1).numpy())
    said = keras.ops.convert_to_numpy(own(rows, training=False)).argmax(1)
    assert settle(wrap(own, output="probabilities"), x).predict(x).tolist() == said.tolist()
    one = keras.Sequential([*flat, layers.Dense(1, activation="softmax")])
    assert set(settle(wrap(one, output="probabilities"), x).predict(x).tolist()) == {1}, "a share of one is always 1"


def test_probabilities_of_zero_keep_their_gradient(x):
    net = conv_net()
    net.set_weights([500 * w for w in net.get_weights()])
    made = settle(wrap(net), x)
    leaf = x.clone().requires_grad_()
    z = made.module(leaf)
    (g,) = torch.autograd.grad((z[:, 0] - z[:, 1]).sum(), leaf)
    assert float(g.flatten(1).abs().amax(1).min()) > 0


def test_a_model_in_training_is_asked_as_deployed_and_comes_back_as_it_was(net, model, x):
    before = net.get_weights()
    if keras.config.backend() == "torch":
        net.train()
    with model.borrowed():
        first, second = model.scores(x), model.scores(x)
        gradient(model.module, x)
    assert torch.equal(first, second)
    assert not model.random
    assert all((a == b).all() for a, b in zip(before, net.get_weights(), strict=True))
    if keras.config.backend() == "torch":
        assert net.training
        net.eval()


def test_training_after_wrapping_is_seen(x):
    net = conv_net()
    made = settle(wrap(net), x)
    made.scores(x)
    weighted(net, seed=5)
    assert torch.allclose(made.scores(x), wrap(same_in_torch(net)).scores(x), atol=1e-5)


def test_half_precision_and_mean_and_std(x):
    net = conv_net("linear", dtype="mixed_float16" if keras.config.backend() == "torch" else "mixed_bfloat16")
    made = settle(wrap(net, mean=[0.5, 0.4], std=0.5), x)
    plain = same_in_torch(net)((x - torch.tensor([0.5, 0.4])[:, None, None]) / 0.5)
    assert made.scores(x.double()).dtype == torch.float32
    assert torch.allclose(made.scores(x.double()), plain, atol=0.1)
    assert gradient(made.module, x.double()).dtype == torch.float64


def test_weights_make_the_identity(net, model, x):
    other = conv_net()
    assert model.parameters() == wrap(other).parameters(), "the same weights on any backend"
    other.set_weights([w + 1e-3 for w in other.get_weights()])
    assert model.parameters() != wrap(other).parameters()
    assert len(fingerprint(model, SHAPE)) == 32


def test_channels():
    flat = keras.Sequential([keras.Input((6, 6)), layers.Flatten(), layers.Dense(3)])
    picture = torch.rand(4, 1, 6, 6)
    assert wrap(flat).scores(picture).shape == (4, 3), "gray pictures without an axis for channels"
    assert layout_of(conv_net()) == "channels-last"
    first = keras.Sequential([keras.Input((2, 6, 6)), layers.GlobalAveragePooling2D(data_format="channels_first")])
    assert layout_of(first) == "channels-first"
    assert wrap(first).scores(torch.rand(4, 2, 6, 6)).shape == (4, 2)
    bare = keras.Sequential([keras.Input((6, 6, 2)), layers.Dense(3)])
    assert layout_of(bare) == "channels-last", "as keras.config says"
    assert layout_of(bare, "channels-first") == "channels-first"
    table = keras.Sequential([keras.Input((72,)), layers.Dense(3)])
    same = keras.Sequential([keras.Input((6, 6, 2)), layers.Flatten(), table.layers[-1]])
    picture = torch.rand(4, 2, 6, 6)
    assert torch.allclose(wrap(table).scores(picture), wrap(same).scores(picture)), "pictures for rows, as Flatten does"
    turn, like = Turn(layout="channels-last", shape=(72,)), picture
    assert torch.equal(turn.back(turn.into(like), like), like)
    turn, like = Turn(layout="channels-last", shape=(None, None, 2)), torch.rand(3, 2, 5, 4)
    assert turn.into(like).shape == (3, 5, 4, 2)
    assert torch.equal(turn.back(turn.into(like), like), like)


def several():
    one, other = keras.Input((3,)), keras.Input((3,))
    return keras.Model([one, other], layers.Dense(2)(layers.Add()([one, other])))


def twice():
    one = keras.Input((3,))
    return keras.Model(one, [layers.Dense(2)(one), layers.Dense(2)(one)])


def mixed():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(2, 1),
            layers.GlobalAveragePooling2D(data_format="channels_first"),
        ]
    )


@pytest.mark.parametrize(
    ("make", "options", "code", "words"),
    [
        (several, {}, "HF290", "several inputs"),
        (twice, {}, "HF290", "several inputs or outputs"),
        (lambda: keras.Sequential([layers.Dense(2)]), {}, "HF290", "no weights"),
        (mixed, {}, "HF290", "disagree"),
        (conv_net, {"layout": "nhwc"}, "HF290", "layout"),
        (conv_net, {"output": "logits"}, "HF204", "softmax"),
        (conv_net, {"processor": 1}, "HF207", "Hugging Face"),
    ],
)
def test_what_cannot_be_wrapped_is_one_line(make, options, code, words):
    with pytest.raises(ModelError, match=words) as caught:
        wrap(make(), **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_another_shape_is_told(net):
    with pytest.raises(ModelError, match="HF291") as caught:
        settle(wrap(net), torch.rand(4, 6, 6, 2))
    assert "layout=" in str(caught.value)


def test_an_autoencoder_of_keras_is_a_reconstruction_with_its_gradient(net, model, x):
    given = keras.Input((6, 6, 2))
    coder = weighted(keras.Model(given, layers.Conv2D(2, 3, padding="same", activation="sigmoid")(given)))
    made = Reconstruction(reconstruct=coder, fpr=0.1, p=2)
    assert made.slope == "exact"
    from holdfast.data.dataset import Dataset

    stage = made.fit(model, Dataset(x, model.labels(x)), 0)
    back = torch.from_numpy(keras.ops.convert_to_numpy(coder(x.movedim(1, -1).numpy())).copy()).movedim(-1, 1)
    score = stage.score(x)
    assert torch.allclose(score, (x - back).square().double().flatten(1).mean(1), atol=1e-6)
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(stage.score(leaf).sum(), leaf)
    d = torch.randn(x.shape) * 1e-3
    slope = (stage.score(x + d) - stage.score(x - d)) / 2
    assert torch.allclose(slope, (g * d).flatten(1).sum(1).double(), atol=1e-5)
