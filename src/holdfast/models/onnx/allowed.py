"""What an ONNX graph may hold: operators of the standards, data of its own. Nothing else is opened for it."""

from collections.abc import Iterator
from typing import Any

from holdfast.core.errors import ModelError

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operators that onnxruntime brings along; all others are libraries that somebody has to load."""

RUNS_CODE = ("PythonOp", "PythonOpGrad", "EPContext")
"""Operators of these domains that call a function, or open a file, that the graph names."""

DEEPEST = 64
"""Graphs within graphs."""


def allow(model: Any) -> None:
    """Look through a ModelProto.

    Raises:
        ModelError: HF275 for operators of other domains, those that run code, and tensors that lie in other files.
    """
    local = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        known = node.domain in DOMAINS and node.op_type not in RUNS_CODE
        if not known and (node.domain, node.op_type) not in local:
            raise ModelError(
                "HF275",
                "The ONNX model needs an operator from elsewhere",
                seen=f"{node.domain}.{node.op_type}"[:120],
                expected="operators of ai.onnx, ai.onnx.ml and com.microsoft that run no code",
                fix="export it with standard operators; or start a session yourself and wrap that",
            )
    outside = next((tensor for tensor in tensors(model) if tensor.external_data), None)
    if outside is not None:
        raise ModelError(
            "HF275",
            "The ONNX model keeps numbers in another file",
            seen=f"'{outside.name}'"[:120],
            expected="a model with its numbers in it",
            fix="onnx.load(path) reads them; or hf.load_model(path)",
        )


def tensors(model: Any) -> Iterator[Any]:
    """All tensors of a model, in its graph, in graphs inside, in attributes and in functions."""
    for graph in _graphs(model.graph, 0):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for one in node.attribute:
            if one.HasField("t"):
                yield one.t
            yield from one.tensors
            for sparse in (*one.sparse_tensors, *([one.sparse_tensor] if one.HasField("sparse_tensor") else [])):
                yield from (sparse.values, sparse.indices)


def _nodes(model: Any) -> Iterator[Any]:
    for graph in _graphs(model.graph, 0):
        yield from graph.node
    for function in model.functions:
        for node in function.node:
            yield node
            for graph in _inner(node, 0):
                yield from graph.node


def _graphs(graph: Any, depth: int) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        yield from _inner(node, depth)


def _inner(node: Any, depth: int) -> Iterator[Any]:
    if depth > DEEPEST:
        raise ModelError("HF275", "The ONNX model is nested too deep", expected=f"at most {DEEPEST} graphs")
    for one in node.attribute:
        if one.HasField("g"):
            yield from _graphs(one.g, depth + 1)
        for graph in one.graphs:
            yield from _graphs(graph, depth + 1)
