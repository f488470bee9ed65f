"""Adversarial training, Madry et al., ICLR 2018, arXiv:1706.06083; Rice et al., ICML 2020, arXiv:2002.11569."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.params import Count, Positive
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.geometry.draw import Draw
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.threats.space import Box
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialTraining(Learner):
    """Learn from the worst inputs near each sample, and keep the epoch that withstands a validation attack best.

        x' <- x + noise in the region, then `steps` times  x' <- project(x' + step * steepest(gradient of the loss))
        weights <- weights - rate * gradient of loss(x', y)

    Robust accuracy on held-out data peaks before training ends (Rice et al.), so `of` should have a patience: after
    each epoch the validation part is attacked by PGD with `validation_steps` steps at the same threat.

    Cost: `steps` + 1 forward and backward passes for each plain one, and the validation attacks.

    Args:
        of: The plain training whose batches are made harder.
        threat: What the model shall withstand; a radius is needed.
        steps: Forward and backward passes that look for each worst input.
        step: Step length, as a fraction of the radius.
        validation_steps: Steps of the attack on the validation part.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
    """

    of: Train = Train()
    threat: Threat = Linf(8 / 255)
    steps: Count = 7
    step: Positive = 0.25
    validation_steps: Count = 10
    validation_samples: Count = 500

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told after every epoch; may raise `holdfast.Stop`, after which the checkpoint continues.
            validation: What to choose the epoch by, where `of` has a patience.
        """
        worst = _Worst(threat=self.threat, space=dataset.space, steps=self.steps, step=self.step)
        judge = _Withstands(threat=self.threat, steps=self.validation_steps, samples=self.validation_samples, seed=seed)
        return dataclasses.replace(self.of, perturb=worst, judge=judge).fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Worst:
    """The worst inputs a few steps of PGD on the cross-entropy find, from a random start.

    The driver is not used here: it verifies, counts and ends rows, and training wants every row taken to the end and
    the last point, not the strongest, at the price of the passes alone.

    Args:
        threat: How far inputs may go.
        space: Where inputs live.
        steps: Forward and backward passes.
        step: Step length, as a fraction of the radius.
    """

    threat: Threat
    space: Box
    steps: int
    step: float

    def __call__(self, logits: Callable[[Tensor], Tensor], x0: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """Harder inputs of the same classes: `(batch, ...)`."""
        region = self.threat.around(x0, self.space)
        seed = int(torch.randint(2**40, (1,), generator=generator))
        x = region.sample(Draw(seed, "train", range(len(x0)), x0))
        for _ in range(self.steps):
            leaf = x.detach().requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(logits(leaf).float(), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf)
            x = region.project(x + self.step * region.steepest(gradient, x))
        return x


@dataclasses.dataclass(frozen=True)
class _Withstands:
    """Empirical robust accuracy on a seeded part of the validation data: what the epoch is chosen by.

    Args:
        threat: What the model shall withstand.
        steps: Steps of the attack.
        samples: Samples attacked at most.
        seed: Chooses them.
    """

    threat: Threat
    steps: int
    samples: int
    seed: int

    def __call__(self, model: Model, validation: Dataset) -> float:
        """Share of the samples that the model gets right and PGD does not break."""
        part = validation.sample(min(self.samples, len(validation)), self.seed)
        out = run(Pgd(steps=self.steps, step=0.25), model, part.x, part.y, self.threat, seed=self.seed)
        return out.status.count("unbroken") / len(out)
