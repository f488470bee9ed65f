"""What a training step minimizes."""

import dataclasses
from collections.abc import Callable

from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy


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
        groups: Of the samples, numbered from 0 in the order of their values, `(batch,)`; None where the data have none.
    """

    net: nn.Module
    logits: Callable[[Tensor], Tensor]
    x: Tensor
    harder: Tensor
    y: Tensor
    smoothing: float
    classes: int
    done: float
    draw: Generator
    memory: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    groups: Tensor | None = None


Objective = Callable[[Step], Tensor]


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy of the harder inputs with smoothed labels: what a training minimizes unless told otherwise."""

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return cross_entropy(step.logits(step.harder).float(), step.y, label_smoothing=step.smoothing)
