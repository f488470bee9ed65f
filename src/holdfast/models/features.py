"""Features of a torch network: what goes into its last linear layer."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """The input of the last linear layer in the order of execution, as deployed: batch -> `(batch, d)`, differentiable.

    Hooks are hung up for the call and taken down after it, also after an exception. Costs one forward pass.

    Args:
        net: The network.
        ask: The network behind its normalization: batch -> raw outputs.
    """

    net: nn.Module
    ask: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Features `(batch, d)`, at least float32.

        Raises:
            ModelError: HF256 where no linear layer makes the network's outputs.
        """
        found = self.last(x)[1].reshape(len(x), -1)
        return found.to(device=x.device, dtype=torch.promote_types(found.dtype, torch.float32))

    def last(self, x: Tensor) -> tuple[nn.Linear, Tensor]:
        """The linear layer that makes the network's outputs, and what goes into it.

        Raises:
            ModelError: HF256 where there is none.
        """
        seen: list[tuple[nn.Linear, Tensor]] = []

        def keep(layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            if isinstance(layer, nn.Linear):
                seen.append((layer, given[0] if given else named["input"]))

        layers = [layer for layer in self.net.modules() if isinstance(layer, nn.Linear)]
        hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]
        try:
            raw = self.ask(x)
        finally:
            for hook in hooks:
                hook.remove()
        if not seen or not isinstance(raw, Tensor) or seen[-1][0].out_features != raw.reshape(len(raw), -1).shape[1]:
            raise without_features(type(self.net).__name__, "a network whose outputs no linear layer makes")
        return seen[-1]


def features_of(net: nn.Module, ask: Callable[[Tensor], Tensor]) -> Features | None:
    """The features of a network that has a linear layer, None for others. Nothing is run."""
    return Features(net, ask) if any(isinstance(layer, nn.Linear) for layer in net.modules()) else None


def without_features(name: str, seen: str) -> ModelError:
    """The error for who wants features where there are none."""
    return ModelError(
        "HF256",
        f"The model '{name}' shows no features",
        seen=seen,
        expected="a torch module that ends in a linear layer",
        fix="layer='scores' or layer='inputs'",
    )
