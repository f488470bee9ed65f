"""Curriculum adversarial training, Cai, Du, Liu and Song, IJCAI 2018, arXiv:1805.04807."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.params import Count, Positive, PositiveShare
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._recipe import Recipe, Withstands
from holdfast.defenses.training._worst import Logits, Worst
from holdfast.learning.judging import Alert, Judged
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurriculumAdversarialTraining(Recipe):
    """Adversarial training whose attack grows by a step each time the model has learned to withstand it.

        strength 0 (clean inputs), then each time that the validation part at the present strength holds at `level`, or
        has not held more for `stay` epochs:   strength <- strength + 1,   up to `steps`
        x' <- as adversarial training finds it in `strength` steps; with mixing each batch is cut into
              strength + 1 parts, attacked with 0, 1, ... strength steps

    The paper waits for the plateau alone, ten epochs without a rise, and trains as long as that takes; here the epochs
    are fixed, so a level and a shorter wait stand beside it, and what strength was reached is told. Mixing keeps what
    was learned from weaker attacks. Of the epochs the one is kept that withstands PGD at full strength best. The
    paper's rounding of inputs is a stage of its own: `bit_depth+curriculum_adversarial_training`.

    Cost: `strength` + 1 forward and backward passes for each plain one, half as many with mixing, and two validation
    attacks an epoch.

    Args:
        of: The plain training whose batches are made harder; a part is always held out, and all epochs are trained.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack that chooses the epoch.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
        steps: Highest strength.
        step: Step length, as a fraction of the radius.
        level: Share of the validation samples that hold at the present strength, from which on it grows.
        stay: Epochs without a rise of that share after which it grows as well.
        mixing: Whether a batch holds all strengths up to the present one.
    """

    steps: Count = 7
    step: Positive = 0.25
    level: PositiveShare = 0.9
    stay: Count = 3
    mixing: bool = True

    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """Batches that grow harder, all epochs of them."""
        worst = Worst(threat=self.threat, space=dataset.space, steps=self.steps, step=self.step)
        return {"perturb": _Lesson(worst=worst, mixing=self.mixing, plan=self._plan), "patience": self.of.epochs}

    def training(self, dataset: Dataset, seed: int) -> Train:
        """The plain training with harder batches, examined at two strengths after each epoch."""
        made = super().training(dataset, seed)
        full = Withstands(threat=self.threat, steps=self.validation_steps, samples=self.validation_samples, seed=seed)
        tells = _Tells(plan=self._plan, last=self.of.epochs)
        judge = _Examined(full=full, step=self.step, plan=self._plan)
        return dataclasses.replace(made, judge=judge, alarms=(*made.alarms, tells))

    @property
    def _plan(self) -> "_Plan":
        return _Plan(most=self.steps, level=self.level, stay=self.stay)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plan:
    """When the strength grows.

    Args:
        most: Highest strength.
        level, stay: See the recipe.
    """

    most: int
    level: float
    stay: int

    def strength(self, epochs: Sequence[Judged]) -> int:
        """After these epochs; `easy` is the share that held at the strength of each."""
        found, best, waited = 0, -1.0, 0
        for one in epochs:
            best, waited = (one.easy, 0) if one.easy > best else (best, waited + 1)
            if one.easy >= self.level or waited >= self.stay:
                found, best, waited = min(found + 1, self.most), -1.0, 0
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Lesson:
    """Harder inputs at the present strength.

    Args:
        worst: The attack at full strength.
        mixing: Whether weaker ones take part.
        plan: When the strength grows.
        strength: Steps.
    """

    worst: Worst
    mixing: bool
    plan: _Plan
    strength: int = 0

    def after(self, epochs: Sequence[Judged]) -> "_Lesson":
        """The lesson that follows these epochs."""
        return dataclasses.replace(self, strength=self.plan.strength(epochs))

    def __call__(self, logits: Logits, x0: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """`(batch, ...)`; the batch is in random order, so its parts are random."""
        strengths = range(self.strength + 1) if self.mixing else (self.strength,)
        parts = zip(
            strengths, torch.tensor_split(x0, len(strengths)), torch.tensor_split(y, len(strengths)), strict=True
        )
        return torch.cat([self._at(steps, logits, x, labels, generator) for steps, x, labels in parts])

    def _at(self, steps: int, logits: Logits, x: Tensor, y: Tensor, generator: Generator) -> Tensor:
        if not steps or not len(x):
            return x
        return dataclasses.replace(self.worst, steps=steps)(logits, x, y, generator)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Examined:
    """The share that holds at full strength, and beside it (`easy`) the share at the present one.

    Args:
        full: What the epoch is chosen by.
        step: Step length of the weaker attack.
        plan: When the strength grows.
        strength: Steps; 0 for none, which leaves accuracy.
    """

    full: Withstands
    step: float
    plan: _Plan
    strength: int = 0

    def after(self, epochs: Sequence[Judged]) -> "_Examined":
        """The examination at the end of the lesson that followed these epochs."""
        return dataclasses.replace(self, strength=self.plan.strength(epochs))

    def __call__(self, model: Model, validation: Dataset) -> Judged:
        """Both shares, of the same samples."""
        found = self.full(model, validation)
        part = validation.sample(found.samples, self.full.seed)
        if not self.strength:
            share = float((model.predict(part.x) == part.y).double().mean())
        else:
            share = self.full.held(Pgd(steps=self.strength, step=self.step), model, part)
        return dataclasses.replace(found, easy=share)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Tells:
    """When the strength grows, and where it ended.

    Args:
        plan: When the strength grows.
        last: Epochs of the training.
    """

    plan: _Plan
    last: int

    def __call__(self, epochs: Sequence[Judged]) -> Alert | None:
        """One line, never the end."""
        before, now = self.plan.strength(epochs[:-1]), self.plan.strength(epochs)
        held = f"{epochs[-1].easy:.1%} hold at {before} of {self.plan.most} steps (n = {epochs[-1].samples})"
        if len(epochs) == self.last and before < self.plan.most:
            return Alert(f"the curriculum ended below its full strength: {held}; train for more epochs")
        return Alert(f"epoch {len(epochs)}: {held}, on with {now}") if now > before else None
