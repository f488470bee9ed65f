"""Lipschitz-margin training, Tsuzuku, Sato and Sugiyama, NeurIPS 2018, arXiv:1802.04034."""

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from holdfast.core.params import Count, NonNegative, Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._lipschitz import Lines, Stretch, stretch
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Step
from holdfast.learning.train import Train
from holdfast.models.model import Model

LINE = "singular vector of "  # how a step's memory names those of a layer


@dataclasses.dataclass(frozen=True, kw_only=True)
class LipschitzMargin(Learner):
    """Learn with a head start for every wrong class, as large as a change of the input can be worth.

        L <- product over the layers of their largest singular values, by `steps` power iterations a training step
        loss <- cross-entropy of  logits + sqrt(2) * radius * L  on all classes but the right one

    Where the right class leads by sqrt(2) * radius * L no change of that Euclidean length takes the lead away: trained
    so, samples earn a certificate. L is a bound, far above the true constant in deep networks, so it costs accuracy.
    Convolutions count as such, not as their kernels' matrices; branches add up; norms count with their running
    statistics, and the division by the data's deviation inside the model counts too. While training power iteration
    comes from below: a certificate needs one that has converged.

    Cost: `steps` passes of one input through each layer, forward and backward, a training step.

    Args:
        of: The plain training, on its harder inputs where it has a perturbation; its objective is not used.
        radius: Euclidean, in the data's own units; 0 for the plain training.
        warm_up: Share of the training in which the radius grows to its value.
        steps: Power iterations a training step.
    """

    of: Train = Train()
    radius: NonNegative = 0.1
    warm_up: Share = 0.5
    steps: Count = 1

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Raises:
            ModelError: HF255 where a part of the network has no constant that is known.
        """
        if not self.radius:
            return self.of.fit(dataset, seed, on_event, validation)
        if self.of.patience and validation is None:  # divided here, for the scale is that of what is learned from
            dataset, validation = dataset.divide(1 - self.of.holdout, seed)
        _, std = self.of.scaling(dataset)
        unit = 1.0 if std is None else 1 / min(std)
        ahead = _Ahead(radius=self.radius, warm_up=self.warm_up, steps=self.steps, unit=unit)
        return dataclasses.replace(self.of, objective=ahead).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Ahead:
    """The cross-entropy with wrong classes ahead.

    Args:
        radius, warm_up, steps: See the learner.
        unit: Lengths in front of the network, of one before the normalization.
        seen: Networks that were followed already.
    """

    radius: float
    warm_up: float
    steps: int
    unit: float
    seen: list[Stretch] = dataclasses.field(default_factory=list, compare=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        grown = min(1.0, step.done / self.warm_up) if self.warm_up else 1.0
        constant = self.constant(step).float()  # before the pass moves the statistics of norms, which processes share
        lead = math.sqrt(2) * self.radius * grown * self.unit * constant
        scores = step.logits(step.harder).float()
        others = torch.ones_like(scores).scatter(1, step.y[:, None], 0.0)
        return cross_entropy(scores + lead * others, step.y, label_smoothing=step.smoothing)

    def constant(self, step: Step) -> Tensor:
        """The bound of the network behind the normalization: a scalar, differentiable in its weights."""
        lines: Lines = {name.removeprefix(LINE): v for name, v in step.memory.items() if name.startswith(LINE)}
        found = self._followed(step.net, tuple(step.x.shape[1:]))(lines, step.draw, self.steps)
        step.memory.update({LINE + name: line for name, line in lines.items()})
        return found

    def _followed(self, net: nn.Module, shape: tuple[int, ...]) -> Stretch:
        if not self.seen or self.seen[-1].net is not net:
            self.seen.append(stretch(net, shape))
        return self.seen[-1]
