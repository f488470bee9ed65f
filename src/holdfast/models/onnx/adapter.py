"""ONNX behind `wrap`: a ModelProto or a session of onnxruntime as a Model."""

import functools
import hashlib
from typing import Any

import torch

from holdfast.core.errors import ModelError, some
from holdfast.core.extras import need
from holdfast.models.borrow import borrowed
from holdfast.models.model import Model
from holdfast.models.onnx.allowed import allow
from holdfast.models.onnx.gradient import Agreement, copied
from holdfast.models.onnx.graph import (
    ENDINGS,
    EXTRA,
    Inlet,
    Outlet,
    checked,
    extracted,
    inlet_of,
    outlet_of,
    several,
    through,
    unlinked,
)
from holdfast.models.onnx.runtime import Asked, Decided, written
from holdfast.models.onnx.session import started
from holdfast.models.outputs import Output
from holdfast.models.source import Source
from holdfast.models.trees import onnx as trees
from holdfast.threats.space import Box

KINDS = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}


def is_onnx(x: object) -> bool:
    """Whether it is a ModelProto or an InferenceSession; imports neither library."""
    kind = type(x)
    library = kind.__module__.partition(".")[0]
    return (library, kind.__name__) in (("onnx", "ModelProto"), ("onnxruntime", "InferenceSession"))


def from_onnx(
    x: Any, space: Box, *, output: Output | None = None, classes: int | None = None, name: str | None = None
) -> Model:
    """Wrap an ONNX model of one input. Scores come from onnxruntime, gradients from a torch copy of the graph.

    The copy is compared with onnxruntime on the first batch; where they differ there are no gradients, and a note says
    so. A session that was given answers itself; its graph is read where the session still knows it. Costs a start of
    onnxruntime and the conversion.

    Args:
        x: An `onnx.ModelProto` or an `onnxruntime.InferenceSession`.
        space: What an input is.
        output: What the scores are; None to follow the rules of `graph.outlet_of` and to see it on the first batch.
        classes: Number of classes, for a model of bare labels.
        name: What reports call it.

    Raises:
        ModelError: HF273 for several inputs or one without floating numbers, HF274 where no output can be told to hold
            the scores, HF275 for operators or data from elsewhere, HF276 for what onnxruntime refuses.
        MissingExtra: HF701 without the extra onnx.
    """
    given = None if type(x).__name__ == "ModelProto" else x
    model = x if given is None else _graph_of(given)
    if given is None:
        allow(model)
    inlet = inlet_of(model) if model is not None else _inlet_of(given)
    outlet = outlet_of(model, output) if model is not None else _outlet_of(given, output)
    if given is not None:
        outlet = _uncut(given, outlet, output)
    elif output is None:
        model, outlet = unlinked(model, outlet)
    session = given
    if session is None:
        session = started(written(extracted(model, _asked_for(outlet))), torch.get_num_threads())
    notes = [outlet.note] if outlet.note else []
    source, remark = _source(session, model, inlet, outlet, classes)
    plain = outlet.names == tuple(range(len(outlet.names)))
    if not plain:
        notes.append(f"class i is the i-th of {', '.join(map(str, outlet.names[:10]))}")
    read = None
    if model is not None and outlet.scores and trees.reads(model):
        read = functools.cache(
            functools.partial(trees.read, model, outlet.scores, inlet, source.ask, output, source.decide)
        )
    net = () if source.slope is None else (source.slope.net,)  # type: ignore[attr-defined]
    return source.model(
        Model(
            space=space,
            name=name or "ONNX model",
            adapter="onnxruntime" + (" (gradients of a torch copy)" if net else ""),
            notes=tuple(filter(None, [*notes, remark])),
            parameters=None if model is None else functools.partial(_digest, written(model)),
            borrowed=functools.partial(borrowed, *net),
            trees=read,
        )
    )


def _source(session: Any, model: Any, inlet: Inlet, outlet: Outlet, classes: int | None) -> tuple[Source, str]:
    """Where answers come from, and why there are no gradients."""
    names = outlet.names
    count = len(names) or classes
    decide = None
    if outlet.label and names:
        decide = Decided(Asked(session, inlet, outlet.label), names)
    labels = Source(
        ask=decide or Asked(session, inlet, outlet.label or outlet.scores),
        decide=decide,
        output="labels",
        classes=count,
    )
    if not outlet.scores or outlet.kind == "labels":
        return labels, ""
    ask = Asked(session, inlet, outlet.scores)
    slope, remark = (
        (None, "no gradients: the session does not tell its graph")
        if model is None
        else ((None, "") if trees.reads(model) else copied(extracted(model, [outlet.scores]), inlet))
    )
    source = Source(
        ask=ask,
        slope=slope,
        same=None if slope is None else Agreement(ask, slope),
        decide=decide,
        output=outlet.kind,
        classes=count if len(names) != 1 else None,
        others=(labels,) if decide else (),
    )
    return source, remark


def _asked_for(outlet: Outlet) -> list[str]:
    return list(dict.fromkeys(name for name in (outlet.scores, outlet.label) if name))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _graph_of(session: Any) -> Any:
    """The ModelProto that a session was started with; None where it keeps neither bytes nor path."""
    onnx = need("onnx", EXTRA)
    content, path = getattr(session, "_model_bytes", None), getattr(session, "_model_path", None)
    try:
        if content:
            return onnx.load_model_from_string(content)
        return onnx.load_model(path) if path else None
    except Exception:  # the file is gone, or of onnxruntime's own kind: the session answers all the same
        return None


def _inlet_of(session: Any) -> Inlet:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise several(inputs)
    one = inputs[0]
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in one.shape)
    return checked(one.name, KINDS.get(one.type, one.type), shape or None)


def _outlet_of(session: Any, output: Output | None) -> Outlet:
    """Of a session that does not tell its graph: its one output of floating numbers."""
    floats = [one.name for one in session.get_outputs() if one.type in KINDS]
    if len(floats) != 1:
        raise ModelError(
            "HF274",
            "Nothing tells which output of the session holds the scores",
            seen=some(f"'{one.name}' of {one.type}" for one in session.get_outputs()),
            expected="one output of floating numbers",
            fix="wrap the ModelProto or the .onnx file itself",
        )
    return Outlet(scores=floats[0], kind=output)


def _uncut(session: Any, outlet: Outlet, output: Output | None) -> Outlet:
    """The outlet among the outputs that a running session has: nothing can be cut open in it."""
    there = [one.name for one in session.get_outputs()]
    if all(name in there for name in _asked_for(outlet)):
        return outlet
    model = _graph_of(session)
    made = next(
        (value.name for value in model.graph.output if outlet.scores in _behind(model.graph, value.name)), there[0]
    )
    return Outlet(scores=made, kind=output, label=outlet.label, names=outlet.names)


def _behind(graph: Any, name: str) -> set[str]:
    """The names that stand directly behind an output: what goes into its ZipMap, softmax or copies."""
    found, node = through(graph, name, ("Identity", "ZipMap", *ENDINGS))
    return {found, name} | (set() if node is None else set(node.output))
