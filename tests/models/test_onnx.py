"""ONNX behind `wrap`: onnxruntime answers, gradients are held against it, rules can be said in advance."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from holdfast.core.errors import HoldfastError, ModelError
from holdfast.models.onnx.gradient import Agreement
from holdfast.models.settle import fingerprint, settle
from holdfast.models.wrap import wrap

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
parser = pytest.importorskip("onnx.parser")


def text(body, opset='"" : 20', inputs="float[n, 4] x", outputs="float[n, 3] y", extra=""):
    """A model in ONNX's own text form."""
    head = f"<ir_version: 9, opset_import: [{opset}]>"
    return parser.parse_model(f"{head}\ng ({inputs}) => ({outputs}) {extra} {{ {body} }}")


def weights(name="w", shape=(4, 3), seed=0):
    draw = np.random.default_rng(seed)
    return onnx.numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), name)


def dense(body="y = MatMul(x, w)", **options):
    model = text(body, **options)
    model.graph.initializer.append(weights())
    return model


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(64, 5), nn.Softmax(1)).eval()


def exported(net, folder, batch=None, **options):
    path = folder / f"net-{batch}.onnx"
    axes = {"dynamic_axes": {"image": {0: "n"}}} if batch is None else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.zeros(batch or 2, 1, 8, 8)
        torch.onnx.export(net, (x,), str(path), dynamo=False, input_names=["image"], **axes, **options)
    return path


@pytest.fixture(scope="module")
def path(net, tmp_path_factory):
    return exported(net, tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def model(path):
    return onnx.load(path)


@pytest.fixture
def x():
    return torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def rows():
    return torch.rand(10, 4, generator=torch.Generator().manual_seed(1)) - 0.5


def same_as(made, net, x):
    """Scores and gradients of the network before its softmax."""
    inner = net[:-1]
    assert torch.allclose(made.scores(x), inner(x), atol=1e-5)
    pulled = []
    for ask in (made.module, inner):
        given = x.clone().requires_grad_()
        ask(given)[:, 1].sum().backward()
        pulled.append(given.grad)
    assert torch.allclose(*pulled, atol=1e-6)
    assert float(pulled[0].abs().max()) > 1e-4


@pytest.mark.parametrize("batch", [None, 4])
def test_a_network_exported_by_torch_answers_as_it_did(batch, net, tmp_path, x):
    made = settle(wrap(onnx.load(exported(net, tmp_path, batch))), x)
    same_as(made, net, x)
    assert (made.classes, made.adapter) == (5, "onnxruntime (gradients of a torch copy)")
    assert any("Softmax at the end was cut open" in note for note in made.notes)
    assert 0 <= made.noise < 1e-4  # exactly 0 where onnxruntime and torch add up in the same order
    assert not made.random


@pytest.mark.slow
def test_the_exporter_of_dynamo_is_read_too(net, tmp_path, x):
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamic = ({0: torch.export.Dim("n")},)
        torch.onnx.export(net, (x[:2],), str(path), dynamo=True, dynamic_shapes=dynamic)
    assert path.with_name("net.onnx.data").is_file()
    from holdfast.models.files import load_model

    same_as(settle(load_model(path), x), net, x)


def test_a_session_answers_itself(model, net, path, x):
    for given in (ort.InferenceSession(str(path)), ort.InferenceSession(model.SerializeToString())):
        made = settle(wrap(given), x)
        assert torch.allclose(made.scores(x).exp(), net(x), atol=1e-5)
        assert made.module is not None
        assert made.scores.source.ask.session is given
        assert not any("cut open" in note for note in made.notes)


def test_a_session_that_does_not_tell_its_graph_shows_scores_alone(model, x):
    session = ort.InferenceSession(model.SerializeToString())
    session._model_bytes = session._model_path = None
    made = settle(wrap(session), x)
    assert made.module is None
    assert "no gradients: the session does not tell its graph" in made.notes


def test_the_fingerprint_follows_the_weights(model, x):
    other = onnx.ModelProto()
    other.CopyFrom(model)
    same = fingerprint(settle(wrap(other), x), (1, 8, 8))
    assert same == fingerprint(settle(wrap(model), x), (1, 8, 8))
    first = other.graph.initializer[0]
    first.CopyFrom(onnx.numpy_helper.from_array(1.001 * onnx.numpy_helper.to_array(first), first.name))
    assert fingerprint(settle(wrap(other), x), (1, 8, 8)) != same


def test_an_attack_breaks_it_through_the_copy_and_onnxruntime_has_the_last_word(model, x):
    from holdfast.attacks.evasion.pgd import Pgd
    from holdfast.attacks.run import run

    made = settle(wrap(model), x)
    y = made.predict(x)
    found = run(Pgd(steps=10), made, x, y, "linf:0.5", seed=0)
    broken = torch.tensor([status == "broken" for status in found.status])
    assert broken.any()
    session = ort.InferenceSession(model.SerializeToString())
    said = session.run(None, {"image": found.adversarial[broken].float().numpy()})[0].argmax(1)
    assert (torch.from_numpy(said) != y[broken]).all()


# Gradients that are not believed


def test_a_copy_that_answers_otherwise_gives_no_gradients_and_that_is_said(monkeypatch, x, model):
    import onnx2fx

    monkeypatch.setattr(onnx2fx, "convert", lambda _: nn.Sequential(nn.Flatten(), nn.Linear(64, 5)))
    made = settle(wrap(model), x)
    assert made.module is None
    assert made.scores is not None
    assert any("the torch copy answers otherwise than onnxruntime" in note for note in made.notes)


def test_a_copy_without_a_path_to_the_input_gives_no_gradients(rows):
    made = settle(wrap(dense("z = MatMul(x, w) y = Floor(z)")), rows)
    assert made.module is not None
    made = settle(wrap(dense("z = MatMul(x, w) b = Cast<to = 9>(z) y = Cast<to = 1>(b)")), rows)
    assert made.module is None
    assert any("none reach the input" in note for note in made.notes)


def test_what_nothing_converts_is_named_in_a_line(rows):
    model = dense("z = ai.onnx.ml.Binarizer<threshold = 0.1>(x) y = MatMul(z, w)", opset='"" : 20, "ai.onnx.ml" : 1')
    made = settle(wrap(model, output="logits"), rows)
    assert made.module is None
    assert "no gradients: nothing converts ai.onnx.ml.Binarizer to torch" in made.notes


def test_names_in_a_file_are_no_code(rows, tmp_path):
    mark = tmp_path / "ran"
    strange = f"w');__import__('pathlib').Path('{mark}').touch()#\n\"\"\""
    model = dense("y = MatMul(x, w)")
    model.graph.initializer[0].name = strange
    model.graph.node[0].input[1] = strange
    model.graph.node[0].name = strange
    made = settle(wrap(model), rows)
    made.module(rows)
    assert made.module is not None
    assert not mark.exists()


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_a_copy_is_measured_by_what_margins_are_made_of(output):
    said = torch.tensor([[0.9, 1e-4]])
    apart, remark = Agreement(lambda _: said, lambda x: said + torch.tensor([0.0, 1e-5]) + 0 * x.sum())(
        torch.ones(1, 2), output
    )
    assert (apart, remark) == ({"logits": 1e-4, "probabilities": 1.0}[output], "")


# Which output means what


@pytest.mark.parametrize(
    ("body", "outputs", "column"),
    [
        ("features = Relu(x) logits = MatMul(x, w)", "float[n, 4] features, float[n, 3] logits", "logits"),
        ("p_prob = Softmax(x) a = MatMul(x, w)", "float[n, 3] a, float[n, 4] p_prob", "p_prob"),
        ("label = ArgMax<axis = 1, keepdims = 0>(x) y = MatMul(x, w)", "int64[n] label, float[n, 3] y", "y"),
    ],
)
def test_the_scores_among_several_outputs(body, outputs, column, rows):
    model = dense(body, outputs=outputs)
    made = settle(wrap(model), rows)
    said = ort.InferenceSession(model.SerializeToString()).run([column], {"x": rows.numpy()})[0]
    assert np.array_equal(made.predict(rows).numpy(), said.argmax(1))


@pytest.mark.parametrize("ending", ["Sigmoid", "LogSoftmax"])
def test_endings_are_cut_open_but_not_where_the_output_was_told(ending, rows):
    model = dense(f"z = MatMul(x, w) y = {ending}(z)")
    plain = rows.numpy() @ onnx.numpy_helper.to_array(weights())
    assert np.allclose(settle(wrap(model), rows).scores(rows).numpy(), plain, atol=1e-6)
    with pytest.raises(ModelError, match=f"HF204.*{ending}"):
        wrap(model, output="logits")
    if ending == "Sigmoid":
        told = settle(wrap(model, output="probabilities"), rows)
        assert np.allclose(told.scores(rows).numpy(), np.log(1 / (1 + np.exp(-plain))), atol=1e-5)


def test_bare_labels_need_the_number_of_classes(rows):
    model = dense("z = MatMul(x, w) y = ArgMax<axis = 1, keepdims = 0>(z)", outputs="int64[n] y")
    made = settle(wrap(model, classes=3), rows)
    assert made.scores is None
    assert np.array_equal(made.predict(rows).numpy(), (rows.numpy() @ onnx.numpy_helper.to_array(weights())).argmax(1))
    with pytest.raises(ModelError, match="HF210"):
        settle(wrap(model), rows)


def outside():
    model = dense()
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return model


@pytest.mark.parametrize(
    ("make", "code", "seen"),
    [
        (lambda: dense("y = MatMul(x, w)", inputs="float[n, 4] x, float[n, 2] other"), "HF273", "'x', 'other'"),
        (lambda: dense("z = Cast<to = 1>(x) y = MatMul(z, w)", inputs="int64[n, 4] x"), "HF273", "int64"),
        (lambda: dense("y = MatMul(x, w)", inputs="float[4] x"), "HF273", "the batch first"),
        (lambda: dense("y = MatMul(x, w) b = Relu(y)", outputs="float[n, 3] y, float[n, 3] b"), "HF274", "'y', 'b'"),
        (
            lambda: dense("y = mine.MatMul(x, w)", opset='"" : 20, "mine" : 1'),
            "HF275",
            "mine.MatMul",
        ),
        (
            lambda: dense("y = com.microsoft.PythonOp(x)", opset='"" : 20, "com.microsoft" : 1'),
            "HF275",
            "PythonOp",
        ),
        (outside, "HF275", "another file"),
        (lambda: dense("y = Nonsense(x, w)"), "HF276", "Nonsense"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_wrapped_is_one_clear_line(make, code, seen):
    with pytest.raises(HoldfastError, match=code) as caught:
        wrap(make())
    assert seen in str(caught.value)
    assert "\n" not in str(caught.value)


def test_inputs_of_another_shape_are_refused_before_onnxruntime_sees_them(rows, model):
    with pytest.raises(ModelError, match="HF221.*'x' of shape"):
        settle(wrap(dense()), rows[:, :3])
    with pytest.raises(ModelError, match="HF221"):
        settle(wrap(model), torch.zeros(2, 3, 8, 8))
    assert settle(wrap(dense()), rows.reshape(10, 1, 2, 2)).classes == 3
    fixed = dense("z = Reshape(x, s) y = MatMul(z, w)", extra="<int64[2] s = {2, 4}>")
    with pytest.raises(ModelError, match=r"HF221.*\(10, 4\).*Fix: .*number of rows"):
        settle(wrap(fixed), rows)


def test_of_one_column_a_file_s_card_says_what_it_is(rows, tmp_path):
    from holdfast.models.files import load_model

    (tmp_path / "net.onnx").write_bytes(
        dense("z = ReduceSum(x, a) q = Abs(z) y = Tanh(q)", extra="<int64[1] a = {1}>").SerializeToString()
    )
    with pytest.raises(ModelError, match="HF203.*card"):
        settle(load_model(tmp_path / "net.onnx"), rows)
    (tmp_path / "net.card.json").write_text('{"output": "probabilities"}')
    assert settle(load_model(tmp_path / "net.onnx"), rows).classes == 2


# Pipelines that skl2onnx writes


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 4))
    return x, np.array(["ant", "bee", "cat"])[(x[:, 0] > 0).astype(int) + (x[:, 1] > 0)]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pipeline_of_scikit_learn_has_its_decisions_and_its_gradients(zipped, table):
    to_onnx = pytest.importorskip("skl2onnx").to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = table
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    model = to_onnx(pipeline, x[:1].astype(np.float32), options={"zipmap": zipped})
    rows = torch.from_numpy(x).float()
    made, twin = settle(wrap(model, (-9, 9)), rows), settle(wrap(pipeline, (-9, 9)), rows)
    said = [pipeline.classes_.tolist().index(name) for name in pipeline.predict(x)]
    assert made.predict(rows).tolist() == said
    assert any("ant, bee, cat" in note for note in made.notes)
    asked = settle(wrap(ort.InferenceSession(model.SerializeToString()), (-9, 9)), rows)
    assert torch.allclose(asked.scores(rows), made.scores(rows).log_softmax(1), atol=1e-5)
    assert any("SOFTMAX of the LinearClassifier" in note for note in made.notes)
    pulled = []
    for one in (made, twin):
        given = rows.clone().requires_grad_()
        one.module(given).log_softmax(1)[:, 0].sum().backward()
        pulled.append(given.grad)
    assert torch.allclose(*pulled, atol=1e-4)


@pytest.mark.parametrize("link", ["SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("scaled", ["", "q"])
def test_a_linear_classifier_is_cut_open_so_that_slopes_do_not_vanish(link, scaled, rows):
    steep = "[400.0, 0.0, 0.0, 0.0, 0.0, 400.0, 0.0, 0.0]"
    body = (
        "label, p = ai.onnx.ml.LinearClassifier<classlabels_ints = [0, 1], intercepts = [0.0, 0.1],"
        f' coefficients = {steep}, post_transform = "{link}">(x)'
    )
    body += ' q = ai.onnx.ml.Normalizer<norm = "L1">(p)' if scaled else ""
    outputs = f"int64[n] label, float[n, 2] {scaled or 'p'}"
    model = text(body, opset='"" : 20, "ai.onnx.ml" : 1', outputs=outputs)
    made, told = settle(wrap(model), rows), settle(wrap(model, output="probabilities"), rows)
    said = ort.InferenceSession(model.SerializeToString()).run(["label"], {"x": rows.numpy()})[0].tolist()
    assert made.predict(rows).tolist() == told.predict(rows).tolist() == said
    assert torch.allclose(made.scores(rows), rows[:, :2] * 400 + torch.tensor([0.0, 0.1]), atol=1e-4)
    given = rows.clone().requires_grad_()
    (slope,) = torch.autograd.grad(made.module(given)[:, 0].sum(), given)
    assert bool((slope[:, 0] == 400).all())


def test_the_model_s_own_label_decides_where_it_disagrees_with_the_scores(rows):
    model = text(
        "label, p = ai.onnx.ml.LinearClassifier<classlabels_ints = [0, 1], coefficients = [0.0, 0.0, 0.0, 0.0,"
        ' 0.0, 0.0, 0.0, 1.0], intercepts = [0.0, 0.1], post_transform = "NONE">(x)'
        " turned = Neg(p)",
        opset='"" : 20, "ai.onnx.ml" : 1',
        outputs="int64[n] label, float[n, 2] turned",
    )
    made = settle(wrap(model), rows)
    assert made.scores is None
    assert "the scores were not used" in " ".join(made.notes)
    session = ort.InferenceSession(model.SerializeToString())
    assert made.predict(rows).tolist() == session.run(["label"], {"x": rows.numpy()})[0].tolist()
