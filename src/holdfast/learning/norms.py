"""Statistics of batch norms for weights that no step has seen, such as an average of others."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def norms(net: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep statistics."""
    return [layer for layer in net.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]


@torch.no_grad()
def estimate(net: nn.Module, ask: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> None:
    """Statistics anew, each the mean over all batches; every other layer stays in the mode that it is in.

    Costs one forward pass of each batch.

    Args:
        net: Changed in place.
        ask: Asks it about a batch.
        batches: Inputs in a random order, for a batch of one class has another variance.
    """
    found = norms(net)
    before = [(norm.momentum, norm.training) for norm in found]
    for norm in found:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        for x in batches:
            ask(x)
    finally:
        for norm, (momentum, training) in zip(found, before, strict=True):
            norm.momentum = momentum
            norm.train(training)
