"""Universal perturbation, Moosavi-Dezfooli et al., CVPR 2017, arXiv:1610.08401, and Shafahi et al., AAAI 2020."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.attacks.crafted._making import climbed, ready
from holdfast.core.errors import ThreatError
from holdfast.core.params import Count, Positive, check
from holdfast.core.progress import BatchDone, Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.models.model import Model
from holdfast.threats.literals import parse
from holdfast.threats.space import Box
from holdfast.threats.threats import Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniversalPerturbation:
    """One change for all inputs, climbed with the mean gradient of batches.

        delta <- project(delta + step * steepest(mean over the batch of grad min(loss(clip(x + delta)), most)))

    The step falls along a cosine. A row's loss counts up to `most`, so that rows broken long ago leave the direction
    to the others.

    Cost: `epochs` forward and backward passes over the data.

    Deviations: Moosavi-Dezfooli et al. add up DeepFool steps, a sample at a time; this is the stochastic gradient form
    of Shafahi et al., arXiv:1811.11304, with the log-odds of the goal for cross-entropy.

    Args:
        epochs: Passes over the data.
        step: First step length, as a fraction of the radius.
        batch: Rows in a step.
        most: Log-odds of the goal after which a row has no say.
        target: The class to reach; None for any wrong one.
    """

    epochs: Count = 10
    step: Positive = 0.2
    batch: Count = 64
    most: Positive = 9.0
    target: int | None = None

    def __post_init__(self) -> None:
        check(self)

    def craft(
        self, model: Model, data: Dataset, threat: Threat | str, seed: int = 0, on_event: Listener = silent
    ) -> "Universal":
        """Make it on some data; judge it on others.

        Args:
            model: A wrapped model that torch can differentiate.
            data: What it is made on.
            threat: Norm and radius of the change.
            seed: Of the order of the samples.
            on_event: Told after every epoch; may raise `holdfast.Stop`.

        Raises:
            ModelError: HF240 for a model that is not wrapped.
            ThreatError: HF303 without a radius, HF304 for a model without gradients, HF305 for an impossible target.
        """
        threat = parse(threat)
        if not threat.bounded:
            raise ThreatError("HF303", "A universal perturbation needs a radius", seen=threat.literal)
        model = ready(model, data, self.target)
        low, high = model.space.limits(data.x[:1])
        width = float((high - low).amax())
        region = threat.around(torch.zeros_like(data.x[:1]), Box((-width, width)))
        delta, draw = torch.zeros_like(data.x[:1]), torch.Generator().manual_seed(seed)
        steps = self.epochs * math.ceil(len(data) / self.batch)
        done = 0
        with model.borrowed():
            for epoch in range(self.epochs):
                for rows in torch.split(torch.randperm(len(data), generator=draw), self.batch):
                    g = self._gradient(model, data.x[rows], data.y[rows], delta, low, high)
                    fall = (1 + math.cos(math.pi * done / steps)) / 2
                    delta = region.project(delta + self.step * fall * region.steepest(g, delta))
                    done += 1
                on_event(BatchDone("craft", epoch + 1, self.epochs, 0, 0))
        return Universal(delta[0], threat, self.target)

    def _gradient(self, model: Model, x: Tensor, y: Tensor, delta: Tensor, low: Tensor, high: Tensor) -> Tensor:
        leaf = delta.detach().requires_grad_()
        with torch.enable_grad():
            shown = torch.minimum(torch.maximum(x + leaf, low), high)
            value = climbed(model, shown, y, self.target, self.most)
        (g,) = torch.autograd.grad(value, leaf)
        return g.nan_to_num(0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Universal:
    """A finished perturbation.

    Args:
        delta: What is added to every input, `(...)`.
        threat: Within what it was made.
        target: The class it was made to reach; None for any wrong one.
    """

    delta: Tensor
    threat: Threat
    target: int | None = None

    def apply(self, data: Dataset, seed: int = 0) -> Dataset:
        """The inputs with the change, inside their bounds."""
        low, high = Box(data.bounds).limits(data.x)
        return dataclasses.replace(data, x=torch.minimum(torch.maximum(data.x + self.delta, low), high))

    def control(self, seed: int = 0) -> "Universal":
        """The same size without a purpose: its values in random order, with random signs."""
        draw = torch.Generator().manual_seed(seed)
        flat = self.delta.flatten()
        signs = torch.randint(0, 2, flat.shape, generator=draw).to(flat) * 2 - 1
        mixed = signs * flat[torch.randperm(len(flat), generator=draw)]
        return dataclasses.replace(self, delta=mixed.reshape(self.delta.shape))
