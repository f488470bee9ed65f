"""What a training step minimizes."""

import dataclasses
from collections.abc import Callable, Mapping

from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

Logits = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One step of a training, as its objective sees it.

    Args:
        net: The network that learns, in training mode.
        logits: Its scores of a batch, differentiable in the weights: `(batch, ...)` -> `(batch, classes)`.
        x: The batch, augmented, `(batch, ...)`.
        harder: What `perturb` made of it; `x` itself where there is no perturbation.
        y: Class indices `(batch,)`.
        smoothing: Share of the label that is spread over all classes.
        classes: Number of classes.
        done: Share of the whole training that is done, from 0 to 1.
        draw: Random numbers of this epoch.
        memory: Tensors that the objective keeps from step to step, by name; they travel with the checkpoint.
        whole: What a hook inside the network saw, `(seen, ...)`, and the rows of the batch -> `(rows, ...)`. On several
            processes each sees its own rows there (`learning.processes`); else it is what was seen.
        groups: Of the samples, numbered from 0 in the order of their values, `(batch,)`; None where the data have none.
    """

    net: nn.Module
    logits: Logits
    x: Tensor
    harder: Tensor
    y: Tensor
    smoothing: float
    classes: int
    done: float
    draw: Generator
    memory: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    whole: Callable[[Tensor, int], Tensor] = lambda seen, rows: seen
    groups: Tensor | None = None


Objective = Callable[[Step], Tensor]


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy of the harder inputs with smoothed labels: what a training minimizes unless told otherwise."""

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return cross_entropy(step.logits(step.harder).float(), step.y, label_smoothing=step.smoothing)


class At:
    """The logits with other numbers in the network's place.

    Args:
        net: The network that `logits` asks.
        logits: batch -> scores.
        values: By the names of the network's parameters and buffers; the others stay.
    """

    def __init__(self, net: nn.Module, logits: Logits, values: Mapping[str, Tensor]):
        self.asked, self.values = _Asked(net, logits), {f"net.{name}": value for name, value in values.items()}

    def __call__(self, x: Tensor) -> Tensor:
        """Scores, differentiable in the values."""
        scores: Tensor = functional_call(self.asked, self.values, (x,))
        return scores


class _Asked(nn.Module):
    """A network behind a function that asks it, so that its weights can be exchanged for the time of a call."""

    def __init__(self, net: nn.Module, logits: Logits):
        super().__init__()
        self.net = net
        self.ask: Logits = lambda x: logits(x)  # a module would be a second name for the weights

    def forward(self, x: Tensor) -> Tensor:
        return self.ask(x)
