"""ONNX: TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble, each compared as onnxruntime compares."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.models.onnx.graph import Inlet, attributes, through
from holdfast.models.outputs import Output
from holdfast.models.trees.flat import LIBRARY, Flat, classifier, ensemble, regressor
from holdfast.models.trees.form import Trees
from holdfast.models.trees.planting import plant, refused
from holdfast.models.trees.unfolding import strict, unfolded

READERS: dict[str, Callable[[dict[str, Any]], Flat]] = {
    "TreeEnsembleClassifier": classifier,
    "TreeEnsembleRegressor": regressor,
    "TreeEnsemble": ensemble,
}
CAST = {1: "float32", 11: "float64"}
ROWS = 256
"""Rows at thresholds and beside them on which arrays and onnxruntime are compared."""

CLOSE = 1e-6
Ask = Callable[[Tensor], Tensor]


def reads(model: Any) -> bool:
    """Whether a ModelProto holds a tree ensemble."""
    return any(node.op_type in READERS for node in model.graph.node)


def read(
    model: Any, scores: str, inlet: Inlet, ask: Ask, output: Output | None = None, decide: Ask | None = None
) -> Trees:
    """The arrays of the one ensemble that makes the scores.

    Args:
        model: A ModelProto.
        scores: Name of the value that holds them.
        inlet: The input.
        ask: onnxruntime's answers, which the arrays must repeat.
        output: What the user said the scores are; "probabilities" is a share cut at a half.
        decide: The model's own labels, where they are read.

    The standard compares a value with those of a set; onnxruntime 1.32 cuts it to a whole number first. What the one
    that is installed does is tried both ways.

    Raises:
        ModelError: HF270 for what the form does not hold, and for arrays that answer otherwise than onnxruntime.
    """
    _, node = through(model.graph, scores, ("Identity", "Cast", "ZipMap"))
    if node is None or node.op_type not in READERS:
        raise refused(LIBRARY, f"{'nothing' if node is None else node.op_type} behind the trees", "an ensemble alone")
    dtype, precision = _types(model.graph, node.input[0], inlet)
    flat = READERS[node.op_type](attributes(node))
    if inlet.shape is None or len(inlet.shape) != 2 or inlet.shape[1] is None:
        raise refused(LIBRARY, f"an input of shape {inlet.shape}", "(batch, features) with a number of features")
    features = inlet.shape[1]
    try:
        return proven(_planted(flat, features, dtype, precision, output), inlet, ask, decide)
    except ModelError:
        if not flat.members:
            raise
        return proven(_planted(flat, features, dtype, precision, output, cut=True), inlet, ask, decide)


def _types(graph: Any, name: str, inlet: Inlet) -> tuple[Literal["float32", "float64"], Any]:
    """What a value is rounded to before the trees compare it, and what their sums are."""
    kinds = []
    while True:
        name, node = through(graph, name)
        if node is None:
            break
        kind = CAST.get(attributes(node).get("to", 0)) if node.op_type == "Cast" else None
        if kind is None:
            raise refused(LIBRARY, f"the operator {node.op_type} in front of the trees", "an input that they compare")
        kinds.append(kind)
        name = node.input[0]
    if name != inlet.name or inlet.dtype == "float16":
        raise refused(LIBRARY, f"trees over '{name}' ({inlet.dtype})", "over the input, of float32 or float64")
    precision = (*kinds, inlet.dtype)[0]
    return ("float32" if "float32" in (*kinds, inlet.dtype) else "float64"), precision


def _planted(flat: Flat, features: int, dtype: Any, precision: Any, output: Output | None, cut: bool = False) -> Trees:
    if len(flat.feature) and int(flat.feature.max()) >= features:
        raise refused(LIBRARY, f"a split on number {int(flat.feature.max())} of a row", f"{features} numbers in a row")
    flat, link = _linked(flat, output)
    below = strict(flat)
    return plant(
        [unfolded(flat, root, below, precision, cut) for root in flat.roots],
        library=LIBRARY,
        features=features,
        base=np.zeros(flat.values.shape[1]),
        shift=flat.base,
        divisor=float(len(flat.roots)) if flat.average else 1.0,
        operator="<" if below else "<=",
        dtype=dtype,
        precision=precision,
        link=link,
    )


def _linked(flat: Flat, output: Output | None) -> tuple[Flat, str]:
    """One output as onnxruntime makes two of it; and the link.

    A classifier of two classes whose leaves speak for one of them gives (1 - s, s) where no weight is below 0, and
    (-s, s) where some are.
    """
    known = {"NONE": "identity", "SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}
    if flat.after not in known:
        raise refused(LIBRARY, f"the transform {flat.after}", ", ".join(known))
    single = flat.values.shape[1] == 1
    if not single:
        return flat, known[flat.after]
    if flat.after == "SOFTMAX":
        raise refused(LIBRARY, "a softmax over one output", "NONE or LOGISTIC")
    shares = flat.shares or (flat.labels is None and output == "probabilities" and flat.after == "NONE")
    if not shares and (flat.labels is None or flat.after == "LOGISTIC"):
        return flat, "sigmoid"
    pair = np.concatenate([-flat.values, flat.values], 1)
    base = np.concatenate([float(shares) - flat.base, flat.base])
    return dataclasses.replace(flat, values=pair, base=base), "identity"


def proven(trees: Trees, inlet: Inlet, ask: Ask, decide: Ask | None = None) -> Trees:
    """The arrays, if they answer as onnxruntime does on rows at the thresholds and beside them.

    Raises:
        ModelError: HF270 where they do not.
    """
    draw = np.random.default_rng(0)
    x = draw.normal(size=(ROWS, trees.features))
    for feature in range(trees.features):
        cuts = trees.threshold[trees.feature == feature]
        if len(cuts):
            ends = (-np.inf, np.inf)
            with np.errstate(over="ignore"):
                narrow = [np.nextafter(cuts.astype(np.float32), np.float32(end)).astype(np.float64) for end in ends]
                pool = np.concatenate([cuts, *(np.nextafter(cuts, end) for end in ends), *narrow])
            x[:, feature] = draw.choice(pool[np.abs(pool) < 1e30] if (np.abs(pool) < 1e30).any() else [0.0], ROWS)
    x = x.astype(inlet.dtype)
    rows = torch.from_numpy(x)
    said = ask(rows).double().numpy().reshape(len(x), -1)
    ours = scores = trees.scores(x)
    if said.shape[1] == 1:  # a sum, or its logistic
        ours = trees.sums(x) if said.min() < 0 or said.max() > 1 else ours[:, 1:]
    apart = np.abs(said - ours).max(1) > CLOSE * np.maximum(1.0, np.abs(said).max(1))
    if apart.any():
        raise refused(
            LIBRARY,
            f"arrays that answer otherwise than onnxruntime on {int(apart.sum())} of {ROWS} rows",
            "the same answers",
            "attack it through its scores; and please report the file",
        )
    if decide is not None:
        short = scores.max(1) - scores[np.arange(len(x)), decide(rows).numpy()] > CLOSE
        if short.any():
            seen = f"a label that is not the class of the highest score on {int(short.sum())} of {ROWS} rows"
            raise refused(LIBRARY, seen, "one decision")
    return trees
