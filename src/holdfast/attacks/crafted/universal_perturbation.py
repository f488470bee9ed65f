"""Universal perturbation, Moosavi-Dezfooli et al., CVPR 2017, arXiv:1610.08401, and Shafahi et al., AAAI 2020."""

import dataclasses
import math

import torch
from torch import Tensor

from holdfast.attacks.losses import log_odds
from holdfast.core.errors import ThreatError
from holdfast.core.params import Count, Positive, check
from holdfast.core.progress import BatchDone, Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.models.model import Model
from holdfast.models.prepared import prepared
from holdfast.models.settle import settle
from holdfast.threats.goals import Target, Wrong
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
            ThreatError: HF303 without a radius, HF304 for a model without gradients.
        """
        threat, model = parse(threat), settle(model, data.x)
        if not threat.bounded:
            raise ThreatError("HF303", "A universal perturbation needs a radius", seen=threat.literal)
        if model.module is None:
            raise ThreatError("HF304", "It needs a model that shows its module", seen=repr(model))
        model = prepared(model, data.x)
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
        return Universal(delta[0], threat)

    def _gradient(self, model: Model, x: Tensor, y: Tensor, delta: Tensor, low: Tensor, high: Tensor) -> Tensor:
        goal = Wrong(y) if self.target is None else Target(torch.full_like(y, self.target))
        leaf = delta.detach().requires_grad_()
        with torch.enable_grad():
            answer = model.searched(torch.minimum(torch.maximum(x + leaf, low), high), gradient=True)
            value = log_odds(goal.margins(answer), answer.scores).clamp(max=self.most).mean()
        (g,) = torch.autograd.grad(value, leaf)
        return g.nan_to_num(0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Universal:
    """A finished perturbation.

    Args:
        delta: What is added to every input, `(...)`.
        threat: Within what it was made.
    """

    delta: Tensor
    threat: Threat

    def apply(self, data: Dataset, seed: int = 0) -> Dataset:
        """The inputs with the change, inside their bounds."""
        low, high = Box(data.bounds).limits(data.x)
        return dataclasses.replace(data, x=torch.minimum(torch.maximum(data.x + self.delta, low), high))

    def control(self, seed: int = 0) -> "Universal":
        """The same size without a purpose: its values in random order, with random signs."""
        draw = torch.Generator().manual_seed(seed)
        flat = self.delta.flatten()
        signs = torch.randint(0, 2, flat.shape, generator=draw).to(flat) * 2 - 1
        return Universal(
            (signs * flat[torch.randperm(len(flat), generator=draw)]).reshape(self.delta.shape), self.threat
        )
