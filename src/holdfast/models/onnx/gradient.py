"""Gradients: the graph as a torch module, held against onnxruntime before it is believed."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import MissingExtra
from holdfast.core.extras import need
from holdfast.models.onnx.graph import EXTRA, Inlet, attributes
from holdfast.models.onnx.runtime import fitted, in_pieces
from holdfast.models.outputs import Output, as_scores, saturated

CLOSE = 1e-4
"""Of the outputs' spread that the copy may be off."""

Ask = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Copied:
    """The torch copy of a graph: batch -> raw outputs, differentiable."""

    net: nn.Module
    inlet: Inlet

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs, on the device of `x`."""
        kind: torch.dtype = getattr(torch, self.inlet.dtype)
        rows = fitted(x.to(device="cpu", dtype=kind), self.inlet)
        return in_pieces(self.net, rows, self.inlet.batch).to(x.device)


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
    """How far a copy is from the model, on inputs: the largest difference, and what is wrong in words.

    Args:
        ask: The model.
        slope: Its copy.
    """

    ask: Ask
    slope: Ask

    def __call__(self, x: Tensor, output: Output) -> tuple[float, str]:
        """The difference of a margin, rounded up to a power of ten, and a sentence; empty where the two are one.

        Outputs are compared as they are, so that a probability of almost 0 costs no gradients; margins are differences
        of scores, which are logarithms of probabilities.

        Args:
            x: Inputs `(batch, ...)`.
            output: What the outputs are.
        """
        said = self.ask(x).double()
        finite = torch.isfinite(said.reshape(len(said), -1)).all(1)
        x, said = x[finite], said[finite]
        given = x.clone().requires_grad_()
        try:
            with torch.enable_grad():
                copied = self.slope(given)
            if copied.requires_grad:
                (pulled,) = torch.autograd.grad(copied.sum(), given, allow_unused=True)
            else:
                pulled = None
        except Exception as error:  # whatever a converted graph raises
            return (
                0.0,
                f"no gradients: the torch copy fails ({type(error).__name__}: {' '.join(str(error).split())[:80]})",
            )
        if copied.shape != said.shape:
            return 0.0, f"no gradients: the torch copy answers in shape {tuple(copied.shape)}, not {tuple(said.shape)}"
        if pulled is None or not bool(torch.isfinite(pulled).all()):
            return 0.0, "no gradients: none reach the input of the torch copy, or some are not finite"
        raw = copied.detach()
        apart = float((raw.double() - said).abs().max())
        spread = float(said.max() - said.min()) or 1.0
        if not apart <= CLOSE * spread:
            return 0.0, f"no gradients: the torch copy answers otherwise than onnxruntime, by up to {apart:.2g}"
        free = ~(saturated(raw, output) | saturated(said.to(raw), output)).to(raw.device)
        margins = (as_scores(raw.double(), output) - as_scores(said, output))[free].abs()
        moved = 2 * float(margins.max()) if len(margins) else 0.0
        return (10.0 ** math.ceil(math.log10(moved)) if moved else 0.0), ""


def copied(model: Any, inlet: Inlet) -> tuple[Copied | None, str]:
    """The graph of a ModelProto as a torch module, or why there is none, in a sentence.

    Args:
        model: With the one output that is asked.
        inlet: Its input.
    """
    try:
        onnx2fx = need("onnx2fx", EXTRA)
    except MissingExtra as error:
        return None, f"no gradients: {error.what}"
    with _linear(onnx2fx):
        if strange := _unknown(onnx2fx, model):
            return None, f"no gradients: nothing converts {', '.join(strange)} to torch"
        try:
            net = onnx2fx.convert(model).eval().requires_grad_(False)
        except Exception as error:  # whatever a converter raises: the scores do not need it
            return None, f"no gradients: the conversion to torch fails ({' '.join(str(error).split())[:120]})"
    return Copied(net, inlet), ""


def _unknown(onnx2fx: Any, model: Any) -> list[str]:
    """Operators of a graph that the converter does not know."""
    found = {(node.domain, node.op_type) for node in model.graph.node}
    local = {(function.domain, function.name) for function in model.functions}
    return sorted(
        f"{domain}.{name}".lstrip(".")
        for domain, name in found
        if (domain, name) in local or not onnx2fx.is_supported(name, "" if domain == "ai.onnx" else domain)
    )


@contextlib.contextmanager
def _linear(onnx2fx: Any) -> Iterator[None]:
    """Teach the converter scikit-learn's linear operators while it is used, and nobody else."""
    handlers = {"Scaler": _scaler, "LinearClassifier": _classifier, "Normalizer": _normalizer}
    taught = [name for name in handlers if not onnx2fx.is_supported(name, "ai.onnx.ml")]
    for name in taught:
        onnx2fx.register_op(name, handlers[name], "ai.onnx.ml")
    try:
        yield
    finally:
        for name in taught:
            onnx2fx.unregister_op(name, "ai.onnx.ml")


def _scaler(builder: Any, node: Any) -> Any:
    said = attributes(node)
    offset, scale = torch.tensor(said["offset"]), torch.tensor(said["scale"])
    return builder.call_function(lambda x: (x - offset) * scale, (builder.get_value(node.input[0]),))


def _classifier(builder: Any, node: Any) -> Any:
    """A column for each row of coefficients; the comparison with onnxruntime tells where that is not all."""
    said = attributes(node)
    bias = torch.tensor(said["intercepts"])
    weight = torch.tensor(said["coefficients"]).reshape(len(bias), -1)
    links: dict[str, Ask] = {"SOFTMAX": _softmax, "LOGISTIC": torch.sigmoid}
    link = links.get(said.get("post_transform", "NONE"), _same)

    def scores(x: Tensor) -> tuple[Tensor, Tensor]:
        z = nn.functional.linear(x, weight.to(x.dtype), bias.to(x.dtype))
        return z.argmax(1), link(z)

    return builder.call_function(scores, (builder.get_value(node.input[0]),))


def _normalizer(builder: Any, node: Any) -> Any:
    order = {"L1": 1.0, "L2": 2.0, "MAX": math.inf}[attributes(node).get("norm", "MAX")]

    def scaled(x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, ord=order, dim=-1, keepdim=True)
        return x / torch.where(length == 0, torch.ones_like(length), length)

    return builder.call_function(scaled, (builder.get_value(node.input[0]),))


def _softmax(z: Tensor) -> Tensor:
    return z.softmax(1)


def _same(z: Tensor) -> Tensor:
    return z
