"""How far a network can stretch a change of its input, at most: layer by layer along what torch.fx sees of it.

Constants multiply along a chain and add where branches meet; that of a convolution is its own, not that of its kernel
as a matrix. Tsuzuku, Sato and Sugiyama, NeurIPS 2018, arXiv:1802.04034, section 4.
"""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from holdfast.core.errors import ModelError
from holdfast.models.borrow import borrowed

STILL = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.Hardtanh, nn.Softplus, nn.Identity, nn.Flatten, nn.Dropout)
NAMES = ("relu", "tanh", "flatten", "reshape", "view", "contiguous")
FUNCTIONS = (torch.relu, functional.relu, torch.tanh, torch.flatten)
SUMS = (operator.add, torch.add)
FIRST = 20  # power iterations of a line that is new
TINY = 1e-12

Lines = dict[str, Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Stretch:
    """The bound of one network, which changes with its weights.

    Args:
        net: The network.
        graph: What is computed, with shapes.
        shapes: Of what each step of it returns, by the step's name, without the batch.
    """

    net: nn.Module
    graph: fx.Graph
    shapes: dict[str, tuple[int, ...]]

    def __call__(self, lines: Lines, draw: Generator, steps: int = 1) -> Tensor:
        """The largest factor on a Euclidean length, differentiable in the weights: a scalar.

        Norms count as they are when deployed, with their running statistics. Power iteration comes from below, so for a
        promise `steps` should be large.

        Args:
            lines: Singular vectors found so far, by layer, which are moved on.
            draw: Where new ones are drawn.
            steps: Power iterations.
        """
        known: dict[fx.Node, Tensor | float] = {}
        for node in self.graph.nodes:
            if node.op == "output":
                return torch.as_tensor(known[node.args[0]])
            known[node] = self._factor(node, known, lines, draw, steps)
        raise _unknown("a network without an output")

    def _factor(self, node: fx.Node, known: dict[fx.Node, Any], lines: Lines, draw: Generator, steps: int) -> Any:
        before = [known[one] for one in node.all_input_nodes]
        if node.op == "placeholder":
            return 1.0
        if node.op == "call_module" and len(before) == 1:
            layer, target = self.net.get_submodule(str(node.target)), str(node.target)
            if isinstance(layer, nn.Linear | _ConvNd):
                return before[0] * self._largest(layer, target, node, lines, draw, steps)
            return before[0] * _of_layer(layer, self._shape(node))
        if node.target in SUMS and not node.kwargs:
            parts = [known[one] for one in node.args if isinstance(one, fx.Node)]
            return sum(parts[1:], parts[0])
        if node.target == "mean" or node.target is torch.mean:
            return before[0] * math.sqrt(math.prod(self.shapes[node.name]) / math.prod(self._shape(node)))
        if len(before) == 1 and (node.target in NAMES or node.target in FUNCTIONS):
            return before[0]
        raise _unknown(f"{node.op} {node.target}")

    def _shape(self, node: fx.Node) -> tuple[int, ...]:
        return self.shapes[node.all_input_nodes[0].name]

    def _largest(self, layer: nn.Module, name: str, node: fx.Node, lines: Lines, draw: Generator, steps: int) -> Tensor:
        """The largest singular value of a linear layer or a convolution: |J u|, u its right singular vector."""
        if isinstance(layer, _ConvTransposeNd):
            raise _unknown(type(layer).__name__)
        ask, weight = _linear(layer), layer.get_parameter("weight")
        if name not in lines:
            lines[name] = torch.randn(self._shape(node), generator=draw).to(weight)
            steps = max(steps, FIRST)
        u = lines[name].to(weight)
        u = u / u.norm().clamp(min=TINY)
        for _ in range(steps):
            leaf = u.clone().requires_grad_()
            with torch.enable_grad():
                (back,) = torch.autograd.grad(ask(leaf, weight.detach()).square().sum() / 2, leaf)
            u = back / back.norm() if float(back.norm()) > TINY else u  # a line is not lost to weights that are zero
        lines[name] = u
        with torch.no_grad():
            v = ask(u, weight)
            v = v / v.norm().clamp(min=TINY)
        largest: Tensor = (v * ask(u, weight)).sum()
        return largest


def stretch(net: nn.Module, shape: tuple[int, ...]) -> Stretch:
    """The bound of a network, ready to be computed; the network stays as it is.

    Costs a trace and one pass of one input.

    Args:
        net: The network.
        shape: Of one input, without the batch.

    Raises:
        ModelError: HF255 where torch.fx cannot follow it, or a part of it has no constant that is known here.
    """
    with borrowed(net):
        try:
            seen = fx.symbolic_trace(net)
        except Exception as error:  # noqa: BLE001 - a user's forward may raise anything under a trace
            raise _unknown(f"a network that torch.fx cannot follow: {str(error)[:80]}") from error
        like = next(net.parameters())
        with torch.no_grad():
            ShapeProp(seen).propagate(torch.zeros(1, *shape, dtype=like.dtype, device=like.device))
    found = {node.name: _seen(node) for node in seen.graph.nodes if node.op != "output"}
    return Stretch(net, seen.graph, found)


def _seen(node: fx.Node) -> tuple[int, ...]:
    said = node.meta.get("tensor_meta")
    if said is None or not hasattr(said, "shape"):
        raise _unknown(f"{node.op} {node.target}")
    return tuple(said.shape[1:])


def _linear(layer: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """One input through the layer without its bias."""
    if isinstance(layer, nn.Linear):
        return lambda u, weight: functional.linear(u, weight)
    forward = getattr(layer, "_conv_forward")  # noqa: B009 - of torch's convolutions, with their padding
    return lambda u, weight: forward(u[None], weight, None)


def _of_layer(layer: nn.Module, shape: tuple[int, ...]) -> Tensor | float:
    """The constant of a layer that is no linear map with weights of its own."""
    if isinstance(layer, _BatchNorm) and layer.running_var is not None:
        scale = (layer.running_var + layer.eps).rsqrt()
        return (scale if layer.weight is None else (layer.weight * scale).abs()).amax()
    if isinstance(layer, nn.LeakyReLU) and abs(layer.negative_slope) > 1:
        return abs(layer.negative_slope)
    if isinstance(layer, nn.ELU) and abs(layer.alpha) > 1:
        return float(abs(layer.alpha))
    if isinstance(layer, STILL):
        return 1.0
    if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d) and layer.dilation in (1, (1, 1), (1, 1, 1)):
        return math.sqrt(_windows(layer.kernel_size, layer.stride, len(shape) - 1))
    if isinstance(layer, nn.AvgPool2d) and _even(layer):
        sizes = layer.kernel_size if isinstance(layer.kernel_size, tuple) else (layer.kernel_size,) * 2
        return math.sqrt(_windows(sizes, layer.stride, 2) / math.prod(sizes))
    raise _unknown(type(layer).__name__)


def _even(layer: nn.AvgPool2d) -> bool:
    """Whether every window of an average pooling divides by its size."""
    pads = any(layer.padding) if isinstance(layer.padding, tuple) else bool(layer.padding)
    return layer.divisor_override is None and not layer.ceil_mode and (layer.count_include_pad or not pads)


def _windows(size: Any, stride: Any, dims: int) -> int:
    """In how many windows of a pooling a value is, at most."""
    sizes, strides = (one if isinstance(one, tuple) else (one,) * dims for one in (size, stride))
    return math.prod(math.ceil(a / b) for a, b in zip(sizes, strides, strict=True))


def _unknown(what: str) -> ModelError:
    return ModelError(
        "HF255",
        "The Lipschitz constant of a part of this network is not known",
        seen=what,
        expected="linear layers, convolutions, norms, rectifiers, poolings, means and sums",
    )
