"""The loop that a textbook has: the network as it is, a forward and a backward pass, a step, a clip."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from holdfast.models.model import Model
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized
from holdfast.threats.threats import Threat

STEP = 0.1  # of the radius
TEXTBOOK = (math.inf, 2.0)  # exponents of the norms that it knows


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Plain:
    """A textbook's projected gradient descent on cross-entropy.

    Args:
        model: Settled; its prepared copy is not used.
        threat: In Linf a signed step, in every other norm a normalized one; no radius is taken for 8/255 of the range.
        x, y: Samples and labels.
    """

    model: Model
    threat: Threat
    x: Tensor
    y: Tensor

    def run(self, gradients: int, forwards: int) -> Tensor:
        """The inputs after so many steps, and as many forward passes more that nothing is learned from."""
        low, high = self.model.space.limits(self.x[:1])
        radius = self.threat.radius if self.threat.bounded else 8 / 255 * float((high - low).mean())
        found = self.x
        with weights_asking(network(self.model)) as net:
            for _ in range(gradients if self.model.module is not None else 0):
                if net is not None:
                    net.zero_grad()
                found = self._clipped(found + STEP * radius * self._direction(self.slope(found)), radius)
                found = torch.minimum(torch.maximum(found, low), high)
        with torch.no_grad():
            for _ in range(forwards):
                self.model.answer(found)
        return found

    def slope(self, x: Tensor) -> Tensor:
        """The gradient of the summed loss with respect to the inputs, by `loss.backward()`."""
        leaf = x.detach().requires_grad_()
        loss = nn.functional.cross_entropy(asked(self.model)(leaf), self.y, reduction="sum")
        loss.backward()  # type: ignore[no-untyped-call]
        return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad

    def _direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign() if self.threat.p == math.inf else gradient / _length(gradient)

    def _clipped(self, x: Tensor, radius: float) -> Tensor:
        if self.threat.p == math.inf:
            return torch.minimum(torch.maximum(x, self.x - radius), self.x + radius)
        change = x - self.x
        return self.x + change * (radius / _length(change)).clamp(max=1)


def network(model: Model) -> nn.Module | None:
    """The torch module inside a wrapped model; None where it has none that holdfast can see."""
    source = source_of(model)
    return source.ask.net if source is not None and isinstance(source.ask, Normalized) else None


def asked(model: Model) -> Callable[[Tensor], Tensor]:
    """The way from a batch to its logits, differentiable, by the shortest path."""
    source = source_of(model)
    if source is not None and source.slope is not None and source.output == "logits":
        return source.slope
    return lambda x: model.answer(x, gradient=True).scores


@contextlib.contextmanager
def weights_asking(net: nn.Module | None) -> Iterator[nn.Module | None]:
    """Weights that ask for their gradients, as after building or loading a network; then as they were."""
    before = [] if net is None else [(p, p.requires_grad) for p in net.parameters() if p.is_floating_point()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(True)
        yield net
    finally:
        for parameter, asks in before:
            parameter.requires_grad_(asks)
            parameter.grad = None


def _length(change: Tensor) -> Tensor:
    far: Tensor = torch.linalg.vector_norm(change.flatten(1), dim=1).clamp(min=1e-12)
    return far.reshape(-1, *[1] * (change.dim() - 1))
