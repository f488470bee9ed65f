"""The copy of a learning network that each step's attack asks: frozen, norms folded, channels last, refreshed."""

import copy
import dataclasses

import torch
from torch import Tensor, nn

from holdfast.models.borrow import borrowed
from holdfast.models.folded import Folded, folded
from holdfast.models.prepared import ChannelsLast, compared, slack_of
from holdfast.models.torch_module import Normalized
from holdfast.threats.space import Box

ROUGH, BENT = 0.1, 0.5  # of the scores' spread and the gradients' length that bfloat16 may be off


@dataclasses.dataclass(frozen=True, eq=False)
class Attacked:
    """Scores in evaluation mode of the network as it was at the last refresh, with a gradient in the inputs only.

    Args:
        made: The copy.
        ask: The same behind the normalization. A batch goes through whole: in pieces of 64 and 16 rows a ResNet-18
            took 3 % and 20 % longer.
    """

    made: Folded
    ask: ChannelsLast

    def refresh(self, net: nn.Module) -> "Attacked":
        """Itself, with the weights that the network has now."""
        self.made.refresh(net)
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs of a batch `(batch, ...)`: `(batch, classes)`."""
        return self.ask(x)


def attacked(like: Normalized, space: Box, x: Tensor, bfloat16: bool) -> Attacked | None:
    """A copy that agrees with the network on a few seeded inputs; None where there is none, or it cannot be refreshed.

    Costs a trace and four small passes, six with bfloat16; the network and the random state stay as they are.

    Args:
        like: The network that learns, behind its normalization.
        space: Where inputs live.
        x: Inputs `(n, ...)`, of which the shape counts.
        bfloat16: Whether the copy computes in bfloat16, its norms that are left in float32.
    """
    if x.dim() != 4 or not len(x):
        return None
    with borrowed(like.net):
        made = folded(like.net)
        if made is None or not made.follows(like.net):
            return None
        ask, probes = ChannelsLast(dataclasses.replace(like, net=made.net)), compared(space, x)
        if slack_of(like, ask, probes) is None:
            return None
        if bfloat16:
            exact = ChannelsLast(dataclasses.replace(like, net=copy.deepcopy(made.net)))
            for module in made.net.modules():
                if not isinstance(module, nn.BatchNorm2d):
                    _narrow(module)
            if slack_of(exact, ask, probes, ROUGH, BENT) is None:
                return None
    return Attacked(made, ask)


def _narrow(module: nn.Module) -> None:
    """Its own floating numbers in bfloat16, not those of the modules inside it."""
    for value in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
        if value.is_floating_point():
            value.data = value.data.to(torch.bfloat16)
