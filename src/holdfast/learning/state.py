"""A training in progress: the network, its running average, the optimizer; written to a file and read back bit for bit.

The running average of the weights: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992;
the equal one: Izmailov et al., UAI 2018, arXiv:1803.05407.
"""

import copy
import dataclasses
import io
import os
import pathlib
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError, ResourceError
from holdfast.core.files import write_atomic
from holdfast.core.trial import own
from holdfast.learning.judging import Judged
from holdfast.models.state_dict import tried
from holdfast.models.torch_module import digest_of


@dataclasses.dataclass(eq=False)
class State:
    """What changes while a network learns.

    Args:
        net: The network that learns.
        average: Its exponential running average, later the equal one, which is the result.
        optimizer: Stochastic gradient descent with its momenta.
        epoch: Epochs done.
        best: Highest validation score so far.
        best_epoch: When that was.
        chosen: The average's weights at that time; None where nothing is validated.
        judged: What the validation part said after each epoch.
        ended: Whether an alarm has ended the training.
        memory: What the objective keeps from step to step.
        averaged: Epochs in the equal average.
    """

    net: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    chosen: dict[str, Tensor] | None = None
    judged: list[Judged] = dataclasses.field(default_factory=list)
    ended: bool = False
    memory: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    averaged: int = 0

    def follow(self, decay: float, step: int) -> None:
        """Move the average a step towards the network; early steps move it further, so that it forgets the start."""
        self._toward(1 - (min(decay, (1 + step) / (10 + step)) if decay else 0.0))

    def count(self) -> None:
        """Take the network into the equal average; the first one counted replaces what was there."""
        self._toward(1 / (self.averaged + 1))
        self.averaged += 1

    @torch.no_grad()
    def _toward(self, share: float) -> None:
        own = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(own[name].detach(), share)
            else:
                value.copy_(own[name])

    def digest(self) -> bytes:
        """Of the epoch and of all weights, also the averaged ones."""
        return b"%d" % self.epoch + digest_of(self.net) + digest_of(self.average)

    def validated(self, found: Judged) -> None:
        """Remember what was found, and the average's weights where the score is the highest so far."""
        self.judged.append(found)
        if found.score > self.best:
            self.best, self.best_epoch = found.score, self.epoch
            self.chosen = {name: value.detach().clone() for name, value in self.average.state_dict().items()}

    def save(self, path: str | os.PathLike[str], identity: str) -> None:
        """Write everything, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(
            {
                "identity": identity,
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epoch": self.epoch,
                "best": self.best,
                "best_epoch": self.best_epoch,
                "chosen": self.chosen,
                "judged": [dataclasses.astuple(one) for one in self.judged],
                "ended": self.ended,
                "memory": self.memory,
                "averaged": self.averaged,
            },
            buffer,
        )
        write_atomic(path, buffer.getvalue())
        own(path)

    def restore(self, path: str | os.PathLike[str], identity: str) -> None:
        """Continue where the file was written; nothing happens where there is none.

        Costs 2 s for the child process that tries the file first, where this process has not written it itself.

        Raises:
            ModelError: HF219 where it was written by another training, HF212 where it cannot be read.
            ResourceError: HF505 or HF506 from that child, see `core.trial`.
        """
        if not pathlib.Path(path).exists():
            return
        try:
            tried(pathlib.Path(path))
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            said = found["identity"]
        except ResourceError:
            raise
        except Exception as error:  # torch raises many kinds for a broken file
            raise ModelError("HF212", f"The checkpoint '{path}' cannot be read", seen=str(error)[:120]) from error
        if said != identity:
            raise ModelError(
                "HF219",
                f"The checkpoint '{path}' belongs to another training",
                seen=said,
                expected=identity,
                fix="delete it, or choose another checkpoint=",
            )
        self.net.load_state_dict(found["net"])
        self.average.load_state_dict(found["average"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.epoch, self.best, self.best_epoch = found["epoch"], found["best"], found["best_epoch"]
        self.chosen, self.ended, self.memory = found["chosen"], found["ended"], found["memory"]
        self.judged = [Judged(*one) for one in found["judged"]]
        self.averaged = found["averaged"]


def begin(net: nn.Module, rate: float, momentum: float, weight_decay: float) -> State:
    """A training at its start; norms and biases do not decay."""
    decays = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() <= 1]
    groups = [{"params": decays, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD([g for g in groups if g["params"]], lr=rate, momentum=momentum, nesterov=momentum > 0)
    average = copy.deepcopy(net).requires_grad_(False).eval()
    return State(net, average, optimizer)
