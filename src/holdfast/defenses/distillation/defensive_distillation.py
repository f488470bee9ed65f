"""Defensive distillation, Papernot, McDaniel, Wu, Jha and Swami, IEEE S&P 2016, arXiv:1511.04508."""

import dataclasses
import math
import pathlib

from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core.params import Positive
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.distillation._towards import divergence, soft
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Step
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefensiveDistillation(Learner):
    """Train a teacher at a high temperature, a student of the same form on its answers, and deploy the student at 1.

        teacher: least cross-entropy(softmax(z / T), y)
        student: least cross-entropy(softmax(z / T), softmax(teacher / T)),  deployed as softmax(z)

    Its logits grow to T times their usual size, so that at temperature 1 the cross-entropy has no gradient left:
    attacks that follow it fail, attacks on the margin of the logits do not notice. Broken by Carlini and Wagner,
    "Towards Evaluating the Robustness of Neural Networks", IEEE S&P 2017, arXiv:1608.04644. A historical lesson.

    Both losses are multiplied by the root of T: their gradients are 1 / T of the usual ones at the start, and would
    need thousands of steps to move the logits at all; multiplied by T, deep networks diverge later on. Expect to need
    more epochs than a plain training, the more the higher T is, and no weight decay.

    Cost: two trainings, and one more forward pass a step of the second.

    Args:
        of: Both trainings; what `of` says of an objective is not used.
        temperature: T; the paper takes 20 to 100.
    """

    of: Train = Train(weight_decay=0.0, smoothing=0.0)
    temperature: Positive = 20.0

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, the student, as `Train.fit`."""
        if self.of.patience and validation is None:
            dataset, validation = dataset.divide(1 - self.of.holdout, seed)
        hot = dataclasses.replace(self.of, objective=_Hot(self.temperature), checkpoint=_beside(self.of.checkpoint))
        teacher = hot.fit(dataset, seed + 1, on_event, validation)
        how = dataclasses.replace(self.of, objective=_Soft(self.temperature, teacher))
        with teacher.borrowed():
            return how.fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Hot:
    """The cross-entropy at a temperature."""

    temperature: float

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        scores = step.logits(step.harder).float() / self.temperature
        return math.sqrt(self.temperature) * cross_entropy(scores, step.y, label_smoothing=step.smoothing)


@dataclasses.dataclass(frozen=True)
class _Soft:
    """How far the student is from its teacher, both at a temperature; the cross-entropy but for a constant."""

    temperature: float
    teacher: Model

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        labels = soft(self.teacher, step.x, self.temperature)
        return math.sqrt(self.temperature) * divergence(step.logits(step.harder), labels, self.temperature).mean()


def _beside(checkpoint: str) -> str:
    return f"{checkpoint}.teacher" if checkpoint and not pathlib.Path(checkpoint).is_dir() else checkpoint
