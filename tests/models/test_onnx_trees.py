"""The tree ensembles of ONNX as arrays: onnxruntime's own answers on rows at the thresholds."""

import numpy as np
import pytest
import torch

from holdfast.core.errors import ModelError
from holdfast.models.settle import settle
from holdfast.models.trees import onnx as reading
from holdfast.models.wrap import wrap
from models.tree_cases import CASES, rows

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
FEATURES = 3
WRITTEN = (
    "tree", "extra tree", "forest", "forest, missing", "extra trees", "boosting", "boosting, 3", "histogram",
    "histogram, 3", "xgboost", "xgboost, missing", "xgboost, named", "lightgbm", "lightgbm, missing",
    "lightgbm, named, 3", "catboost", "catboost, missing", "catboost, missing above", "catboost, one against all",
)  # fmt: skip
NAMED = {case.name: case for case in CASES}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The ONNX model that the converters of a library make of a case, or CatBoost's own export."""

    def convert(case):
        fitted = case.fitted()
        if case.library == "catboost":
            fitted.save_model(str(tmp_path / "model.onnx"), format="onnx")
            return onnx.load(tmp_path / "model.onnx")
        if case.library == "sklearn":
            return of_sklearn(fitted, monkeypatch)
        tools = pytest.importorskip("onnxmltools")
        from onnxmltools.convert.common.data_types import FloatTensorType

        return getattr(tools, f"convert_{case.library}")(fitted, initial_types=[("x", FloatTensorType([None, 5]))])

    return convert


def of_sklearn(fitted, monkeypatch):
    """The model of skl2onnx, which hands on the booleans of histogram boosting where ONNX takes whole numbers alone."""
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.operator_converters import random_forest

    name, key = "add_tree_to_attribute_pairs_hist_gradient_boosting", "nodes_missing_value_tracks_true"
    add = getattr(random_forest, name)

    def whole(pairs, *given, **named):
        add(pairs, *given, **named)
        pairs[key] = [int(one) for one in pairs[key]]

    monkeypatch.setattr(random_forest, name, whole)
    return skl2onnx.to_onnx(fitted, np.zeros((1, 5), np.float32))


def asked(model, x):
    return model.labels.source.ask(torch.from_numpy(x)).numpy().astype(np.float64)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.filterwarnings("ignore")
def test_the_arrays_answer_as_onnxruntime_on_10_000_rows(name, written):
    case = NAMED[name]
    seen = torch.from_numpy(np.nan_to_num(case.data()[0])).float()
    model = settle(wrap(written(case), (-9, 9)), seen)
    trees = model.trees()
    x = rows(case, trees).astype(np.float32)
    assert np.abs(asked(model, x) - trees.scores(x)).max() <= 1e-6
    assert np.array_equal(model.predict(torch.from_numpy(x), 10_000).numpy(), trees.scores(x).argmax(1))
    assert len(np.unique(trees.leaves(x), axis=0)) > 5
    assert trees.library == "ONNX"
    assert model.module is None
    assert model.seen_as("scores").trees is None


@pytest.mark.parametrize(
    ("name", "behind"), [("adaboost", "Div"), ("adaboost, 4", "Div"), ("boosting, exponential", "Mul")]
)
@pytest.mark.filterwarnings("ignore")
def test_graphs_that_reckon_with_the_answers_of_trees_are_no_one_ensemble(name, behind, written):
    case = NAMED[name]
    model = wrap(written(case), (-9, 9))
    assert len(model.predict(torch.from_numpy(case.data(n=9)[0]).float())) == 9
    with pytest.raises(ModelError, match=f"HF270.*ONNX.*Seen {behind} behind the trees") as refused:
        model.trees()
    assert "\n" not in str(refused.value)


def grown(draw, modes, depth=4, trees=3):
    """Random trees as lists of nodes: whole thresholds, so that equalities happen."""
    found = {key: [] for key in ("tree", "node", "mode", "feature", "value", "true", "false", "track")}
    leaves = []
    for tree in range(trees):
        count = 2**depth - 1
        for node in range(count):
            inner = 2 * node + 2 < count and draw.random() < 0.9 if node else True
            if node and not any(
                found["true"][i] == node or found["false"][i] == node
                for i in range(len(found["tree"]))
                if found["tree"][i] == tree and found["mode"][i] != "LEAF"
            ):
                continue
            found["tree"].append(tree)
            found["node"].append(node)
            found["mode"].append(str(draw.choice(modes)) if inner else "LEAF")
            found["feature"].append(int(draw.integers(FEATURES)))
            found["value"].append(float(draw.integers(-2, 3)))
            found["true"].append(2 * node + 1 if inner else 0)
            found["false"].append(2 * node + 2 if inner else 0)
            found["track"].append(int(draw.random() < 0.5))
            if not inner:
                leaves.append((tree, node))
    return found, leaves


def listed(found):
    names = {"tree": "treeids", "node": "nodeids", "mode": "modes", "feature": "featureids", "value": "values"}
    names |= {"true": "truenodeids", "false": "falsenodeids", "track": "missing_value_tracks_true"}
    return {f"nodes_{names[key]}": value for key, value in found.items()}


def model_of(op, attributes, outputs, dtype=1, opset=3):
    make = onnx.helper
    labels = [make.make_tensor_value_info("label", 7, [None])] if len(outputs) == 2 else []
    node = make.make_node(op, ["x"], outputs, domain="ai.onnx.ml", **attributes)
    graph = make.make_graph(
        [node],
        "g",
        [make.make_tensor_value_info("x", dtype, [None, FEATURES])],
        [*labels, make.make_tensor_value_info(outputs[-1], dtype if opset == 5 else 1, None)],
    )
    versions = [make.make_opsetid("", 20), make.make_opsetid("ai.onnx.ml", opset)]
    return make.make_model(graph, opset_imports=versions, ir_version=9)


def answers(model, output="logits"):
    """A wrapped model, its trees, and rows of whole and broken numbers, missing ones among them."""
    made = wrap(model, (-9, 9), output=output)
    draw = np.random.default_rng(5)
    x = draw.choice([-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, np.nan, 1e30, 1 + 1e-7, 2 - 1e-7], size=(10_000, FEATURES))
    return made, made.trees(), x


MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


@pytest.mark.parametrize("modes", [*([mode] for mode in MODES), ["BRANCH_LT", "BRANCH_GTE"], MODES], ids=str)
@pytest.mark.parametrize("dtype", [1, 11])
def test_every_comparison_is_onnxruntime_s_with_missing_values(modes, dtype):
    draw = np.random.default_rng(len(modes))
    found, leaves = grown(draw, modes)
    ids = [{"target_treeids": t, "target_nodeids": n, "target_ids": k} for t, n in leaves for k in (0, 1)]
    weights = {key: [one[key] for one in ids] for key in ids[0]}
    said = listed(found) | weights | {"target_weights": draw.normal(size=len(ids)).tolist(), "n_targets": 2}
    if dtype == 11:
        for key in ("nodes_values", "target_weights"):
            values = said.pop(key)
            said[f"{key}_as_tensor"] = onnx.helper.make_tensor("t", 11, [len(values)], values)
    made, trees, x = answers(model_of("TreeEnsembleRegressor", said, ["y"], dtype))
    x = x.astype(np.float32 if dtype == 1 else np.float64)
    assert trees.operator == ("<" if set(modes) <= {"BRANCH_LT", "BRANCH_GTE"} else "<=")
    assert np.abs(asked(made, x) - trees.scores(x)).max() <= 1e-6
    assert len(np.unique(trees.leaves(x), axis=0)) > 5


@pytest.mark.parametrize("after", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("classes", [(0,), (1,), (0, 1), (0, 1, 2)], ids=str)
def test_classifiers_of_one_output_and_of_several(after, positive, classes):
    draw = np.random.default_rng(3)
    found, leaves = grown(draw, MODES[:2])
    ids = [(t, n, k) for t, n in leaves for k in classes]
    weights = draw.normal(size=len(ids))
    said = listed(found) | {
        "class_treeids": [one[0] for one in ids],
        "class_nodeids": [one[1] for one in ids],
        "class_ids": [one[2] for one in ids],
        "class_weights": (np.abs(weights) / 3 if positive else weights).tolist(),
        "classlabels_int64s": list(range(max(len(classes), 2))),
        "post_transform": after,
    }
    if classes not in ((1,), (0, 1)):
        said["base_values"] = [0.25] * len(classes)
    model = model_of("TreeEnsembleClassifier", said, ["label", "p"])
    if classes == (0,) and (after == "SOFTMAX" or (positive and after == "LOGISTIC")):
        with pytest.raises(ModelError, match=r"HF270.*(softmax over one output|cut at a half)"):
            answers(model, None)
        return
    draw = torch.from_numpy(np.random.default_rng(6).integers(-3, 4, size=(300, FEATURES)).astype(np.float32))
    source = wrap(model).labels.source
    if not torch.equal(source.decide(draw), source.ask(draw).argmax(1)):
        with pytest.raises(ModelError, match="HF270.*not the class of the highest score"):
            answers(model, None)
        return
    made, trees, x = answers(model, None)
    x = x.astype(np.float32)
    assert np.abs(asked(made, x) - trees.scores(x)).max() <= 1e-6
    assert np.array_equal(made.labels.source.decide(torch.from_numpy(x)).numpy(), trees.scores(x).argmax(1))


def fifth(**changes):
    """A TreeEnsemble of version 5: a set of values, then a threshold."""
    tensor = onnx.helper.make_tensor
    said = {
        "aggregate_function": 1,
        "leaf_targetids": [0, 1, 0, 1],
        "leaf_weights": tensor("w", 1, [4], [5.23, 12.12, -12.23, 7.21]),
        "membership_values": tensor("m", 1, [4], [1.0, 2.0, -1.0, np.nan]),
        "n_targets": 2,
        "nodes_falseleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 2, 3],
        "nodes_featureids": [0, 2, 1],
        "nodes_modes": tensor("k", 2, [3], [6, 0, 3]),
        "nodes_splits": tensor("s", 1, [3], [0.0, 1.5, -1.0]),
        "nodes_trueleafs": [0, 1, 1],
        "nodes_truenodeids": [1, 0, 1],
        "post_transform": 0,
        "tree_roots": [0],
    }
    return model_of("TreeEnsemble", said | changes, ["y"], opset=5)


def test_version_5_with_sets_of_values():
    made, trees, x = answers(fifth())
    x = x.astype(np.float32)
    assert np.abs(asked(made, x) - trees.scores(x)).max() <= 1e-6
    assert len(np.unique(trees.scores(x), axis=0)) == 4


@pytest.mark.filterwarnings("ignore")
def test_exact_distances_on_onnx_are_those_of_the_library(written):
    from holdfast.attacks.trees.exact import exact_distance

    case = NAMED["forest"]
    fitted = case.fitted()
    x, y = case.data(n=12, seed=4)
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    one, other = (exact_distance(wrap(m, (-9, 9)), x, y) for m in (written(case), fitted))
    assert bool(one.proven.all())
    assert torch.allclose(one.distance.double(), other.distance.double(), atol=1e-6)


def plain(op="TreeEnsembleRegressor", **changes):
    said = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 1],
        "target_weights": [1.0, 2.0],
        "n_targets": 2,
    }
    return said | changes


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"aggregate_function": "MAX"}, "aggregate MAX"),
        ({"post_transform": "PROBIT"}, "transform PROBIT"),
        ({"nodes_modes": ["BRANCH_ODD", "LEAF", "LEAF"]}, "mode BRANCH_ODD"),
        ({"nodes_truenodeids": [0, 0, 0]}, "circles"),
        ({"nodes_truenodeids": [7, 0, 0]}, "not there"),
        ({"nodes_featureids": [0, 0]}, "different lengths"),
        ({"nodes_nodeids": [0, 1, 1]}, "one number"),
        ({"target_ids": [0, 2]}, "not there"),
        ({"target_nodeids": [0, 1]}, "no leaves"),
        ({"target_weights": [1.0, np.inf]}, "not finite"),
        ({"nodes_featureids": [-1, 0, 0]}, "below 0"),
        ({"base_values": [1.0, 2.0, 3.0]}, "base values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_lists_that_are_no_trees_are_refused_in_a_line(changes, seen):
    with pytest.raises(ModelError, match=f"HF270.*{seen}"):
        reading._planted(reading.READERS["TreeEnsembleRegressor"](plain(**changes)), 3, "float32", "float32", None)


def test_arrays_that_answer_otherwise_are_not_believed():
    made, trees, _ = answers(model_of("TreeEnsembleRegressor", plain(), ["y"]))
    ask, inlet = made.labels.source.ask, made.labels.source.ask.inlet
    assert reading.proven(trees, inlet, ask) is trees
    with pytest.raises(ModelError, match="HF270.*otherwise than onnxruntime"):
        reading.proven(trees, inlet, lambda x: ask(x) + 1e-4)


def test_what_stands_around_the_trees_is_named():
    make = onnx.helper
    model = model_of("TreeEnsembleRegressor", plain(), ["y"])
    model.graph.node[0].output[0] = "raw"
    model.graph.node.append(make.make_node("Neg", ["raw"], ["y"]))
    with pytest.raises(ModelError, match="HF270.*Neg behind the trees"):
        wrap(model, (-9, 9)).trees()
    model = model_of("TreeEnsembleRegressor", plain(), ["y"])
    model.graph.node[0].input[0] = "scaled"
    model.graph.node.insert(0, make.make_node("Relu", ["x"], ["scaled"]))
    with pytest.raises(ModelError, match="HF270.*Relu in front of the trees"):
        wrap(model, (-9, 9)).trees()


def test_a_cast_in_front_of_the_trees_is_their_type():
    make = onnx.helper
    model = model_of("TreeEnsembleRegressor", plain(), ["y"])
    model.graph.input[0].type.tensor_type.elem_type = 11
    model.graph.node[0].input[0] = "narrow"
    model.graph.node.insert(0, make.make_node("Cast", ["x"], ["narrow"], to=1))
    made = wrap(model, (-9, 9))
    x = np.array([[0.5, 0, 0], [0.5 + 1e-9, 0, 0], [0.5 + 1e-6, 0, 0]])
    assert made.trees().dtype == "float32"
    assert np.array_equal(made.trees().scores(x).argmax(1), asked(made, x).argmax(1))
