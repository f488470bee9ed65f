"""Models that compute in JAX or TensorFlow, as torch sees them: numbers and gradients change hands through dlpack."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils import dlpack

from holdfast.core.extras import need
from holdfast.models.keras.ending import Ending

Pull = Callable[[Tensor], Tensor]


class Foreign(nn.Module):
    """A model of another library; backward goes through that library's own differentiation, once.

    Args:
        side: Who asks the model.
        dtype: The floating type of its numbers.
    """

    def __init__(self, side: "Jax | TensorFlow", dtype: torch.dtype):
        super().__init__()
        self.side, self.dtype = side, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs, on the device of `x`."""
        inside = x.to(device="cpu", dtype=self.dtype) if self.side.on_cpu else x.to(self.dtype)
        if inside.requires_grad and torch.is_grad_enabled():
            raw: Tensor = _Through.apply(inside, self.side)  # type: ignore[no-untyped-call]
        else:
            raw = self.side.ask(_own(inside))
        return raw.to(x.device)


class _Through(torch.autograd.Function):
    """`f(x)`, and backward `g -> J(x)^T g` by the other library; it may be asked several times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, side: "Jax | TensorFlow") -> Tensor:
        raw, ctx.pull = side.both(_own(x))
        return raw

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return ctx.pull(_own(g)), None


@dataclasses.dataclass(frozen=True, eq=False)
class Jax:
    """A model on JAX, compiled for 1, 2, 4, 8, ... rows: attacks drop rows, and each new shape compiles.

    The weights are handed over at each call, so later training is seen.

    Args:
        ending: The model without its last activation.
    """

    ending: Ending

    @property
    def on_cpu(self) -> bool:
        """Whether the numbers have to be in the processor's memory."""
        return str(need("jax", "jax").default_backend()) == "cpu"

    def ask(self, x: Tensor) -> Tensor:
        """Raw outputs."""
        return _from_jax(self._compiled[0](*self._weights(), _to_jax(_filled(x))))[: len(x)]

    def both(self, x: Tensor) -> tuple[Tensor, Pull]:
        """Raw outputs, and what pulls a gradient back through them."""
        rows = len(x)
        raw, pull = self._compiled[1](*self._weights(), _to_jax(_filled(x)))

        def back(g: Tensor) -> Tensor:
            return _from_jax(self._compiled[2](pull, _to_jax(_filled(g, zeros=True))))[:rows]

        return _from_jax(raw)[:rows], back

    def _weights(self) -> tuple[list[Any], list[Any]]:
        model = self.ending.model
        return [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]

    @functools.cached_property
    def _compiled(self) -> tuple[Callable[..., Any], ...]:
        jax, model = need("jax", "jax"), self.ending.model

        def scores(trained: list[Any], kept: list[Any], x: Any) -> Any:
            with self.ending.opened():
                return model.stateless_call(trained, kept, x, training=False)[0]

        def both(trained: list[Any], kept: list[Any], x: Any) -> Any:
            return jax.vjp(functools.partial(scores, trained, kept), x)

        return jax.jit(scores), jax.jit(both), jax.jit(lambda pull, g: pull(g)[0])


@dataclasses.dataclass(frozen=True, eq=False)
class TensorFlow:
    """A model on TensorFlow, one graph for each shape of a row, whatever the number of rows.

    Args:
        ending: The model without its last activation.
    """

    ending: Ending
    graphs: dict[Any, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)

    @property
    def on_cpu(self) -> bool:
        """Whether the numbers have to be in the processor's memory."""
        return not need("tensorflow", "tf").config.list_logical_devices("GPU")

    def ask(self, x: Tensor) -> Tensor:
        """Raw outputs."""
        given = _to_tensorflow(x)
        return _from_tensorflow(self._graph(given)(given))

    def both(self, x: Tensor) -> tuple[Tensor, Pull]:
        """Raw outputs, and what pulls a gradient back through them."""
        tf, given = need("tensorflow", "tf"), _to_tensorflow(x)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(given)
            raw = self._graph(given)(given)

        def back(g: Tensor) -> Tensor:
            slope = tape.gradient(
                raw, given, output_gradients=_to_tensorflow(g), unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            return _from_tensorflow(slope)

        return _from_tensorflow(raw), back

    def _graph(self, x: Any) -> Callable[[Any], Any]:
        tf, key = need("tensorflow", "tf"), (tuple(x.shape[1:]), x.dtype)
        if key not in self.graphs:

            def scores(x: Any) -> Any:
                with self.ending.opened():
                    return self.ending.model(x, training=False)

            signature = [tf.TensorSpec([None, *key[0]], key[1])]
            self.graphs[key] = tf.function(scores, input_signature=signature, autograph=False)
        return self.graphs[key]


def _own(x: Tensor) -> Tensor:
    """Numbers that nobody else writes: the other library keeps them until backward."""
    return x.detach().clone(memory_format=torch.contiguous_format)


def _filled(x: Tensor, zeros: bool = False) -> Tensor:
    """As many rows as the next power of two, the added ones like the first, or zero."""
    more = (1 << max(len(x) - 1, 0).bit_length()) - len(x)
    if not more:
        return x
    added = x.new_zeros((more, *x.shape[1:])) if zeros or not len(x) else x[:1].expand(more, *x.shape[1:])
    return torch.cat([x, added])


def _to_jax(x: Tensor) -> Any:
    return need("jax.dlpack", "jax").from_dlpack(x)


def _from_jax(x: Any) -> Tensor:
    return dlpack.from_dlpack(x.block_until_ready()).clone()


def _to_tensorflow(x: Tensor) -> Any:
    return need("tensorflow", "tf").experimental.dlpack.from_dlpack(x.__dlpack__())


def _from_tensorflow(x: Any) -> Tensor:
    found = dlpack.from_dlpack(need("tensorflow", "tf").experimental.dlpack.to_dlpack(x))
    return found.clone()
