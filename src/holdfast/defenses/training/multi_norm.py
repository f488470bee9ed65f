"""Several threats at once, Tramer and Boneh, NeurIPS 2019, arXiv:1904.13000; Maini et al., ICML 2020, arXiv:1909.04068.

The random choice: Madaan, Shin and Hwang, ICML 2021, arXiv:2006.12135.
"""

import dataclasses
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from holdfast.attacks.run import belongs
from holdfast.core.errors import ParameterError
from holdfast.core.params import Count, Positive
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe, Withstands, with_radius
from holdfast.defenses.training._worst import Logits, Worst, slope
from holdfast.learning.objective import Objective, Step
from holdfast.learning.train import Train
from holdfast.threats.threats import L1, L2, Threat

Combine = Literal["max", "average", "random", "steepest"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiNorm(Recipe):
    """Learn from the worst inputs under several threats, for who withstands one norm does not withstand the others.

        x'_p <- `steps` times  project_p(x' + step * steepest_p(gradient of the loss)),   for each threat p
        max:       loss(x'_p) of the p where it is highest, sample by sample
        average:   mean over p of loss(x'_p)
        random:    loss(x'_p) of one p, drawn anew for each batch
        steepest:  one x' for all;  each step goes where the loss is highest among the steps of all p

    The last is the multi steepest descent of Maini et al., from the sample itself. With a patience the epoch is chosen
    that withstands the union best. At its single threats it stays below models trained for one of them: Tramer and
    Boneh prove that for a Gaussian toy problem no model reaches both.

    Cost: for k threats k * (`steps` + 1) + 1 forward and `steps` * k + 1 backward passes (max); k * (`steps` + 1) of
    each (average); `steps` + 1 (random); `steps` * (k + 1) + 1 forward and `steps` + 1 backward (steepest).

    Args:
        of: The plain training whose batches are made harder; its objective is kept.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack on the validation part, under each threat.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
        threats: What it shall withstand as well.
        combine: How the threats come together.
        steps: Forward and backward passes that look for each worst input.
        step: Step length, as a fraction of each radius.
    """

    threats: tuple[Threat, ...] = (L2(0.5), L1(12.0))
    combine: Combine = "max"
    steps: Count = 7
    step: Positive = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in self.threats:
            if not isinstance(one, Threat):
                raise ParameterError(
                    "HF001", f"The 'threats' parameter of MultiNorm must be of type Threat, each. Got {one!r}"
                )
            with_radius(one)

    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """Harder batches; for the average the mean over them."""
        each = [
            Worst(threat=one, space=dataset.space, steps=self.steps, step=self.step)
            for one in (self.threat, *self.threats)
        ]
        made: dict[str, Any] = {"perturb": _Together(each=tuple(each), combine=self.combine)}
        return made | ({"objective": _Mean(of=self.of.objective)} if self.combine == "average" else {})

    def training(self, dataset: Dataset, seed: int) -> Train:
        """The plain training with harder batches, judged by the union."""
        for one in self.threats:
            belongs(one, self.of.space_for(dataset))
        judge = Withstands(
            threat=self.threat,
            steps=self.validation_steps,
            samples=self.validation_samples,
            seed=seed,
            others=self.threats,
        )
        return dataclasses.replace(super().training(dataset, seed), judge=judge)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Together:
    """The worst inputs of several attacks as one batch.

    Args:
        each: The attacks.
        combine: How.
    """

    each: tuple[Worst, ...]
    combine: Combine

    def __call__(self, logits: Logits, x0: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """`(batch, ...)`; for the average `(threats, batch, ...)`, which its objective takes apart."""
        if self.combine == "steepest":
            return self._steepest(logits, x0, y)
        if self.combine == "random":
            return self.each[int(torch.randint(len(self.each), (1,), generator=generator))](logits, x0, y, generator)
        points = torch.stack([worst(logits, x0, y, generator) for worst in self.each])
        return points if self.combine == "average" else _highest(logits, points, y)

    def _steepest(self, logits: Logits, x0: Tensor, y: Tensor) -> Tensor:
        regions = [(worst.threat.around(x0, worst.space), worst.step) for worst in self.each]
        x = x0
        for _ in range(self.each[0].steps):
            g = slope(logits, x, lambda scores: cross_entropy(scores, y, reduction="sum"))
            moved = [region.project(x + step * region.steepest(g, x)) for region, step in regions]
            x = _highest(logits, torch.stack(moved), y)
        return x


@torch.no_grad()
def _highest(logits: Logits, points: Tensor, y: Tensor) -> Tensor:
    """Of `(threats, batch, ...)` the point of each row where the cross-entropy is highest: `(batch, ...)`."""
    losses = torch.stack([cross_entropy(logits(x).float(), y, reduction="none") for x in points])
    return points[losses.argmax(0), torch.arange(len(y), device=y.device)]


@dataclasses.dataclass(frozen=True)
class _Mean:
    """The mean of another objective over several sets of harder inputs."""

    of: Objective

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return torch.stack([self.of(dataclasses.replace(step, harder=x)) for x in step.harder]).mean()
