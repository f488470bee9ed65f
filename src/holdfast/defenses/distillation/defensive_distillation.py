"""Defensive distillation, Papernot, McDaniel, Wu, Jha and Swami, IEEE S&P 2016, arXiv:1511.04508."""

import copy
import dataclasses
import pathlib

import torch
from torch import Tensor

from holdfast.core.params import Positive
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.distillation._towards import divergence, soft
from holdfast.learning.learner import Learner
from holdfast.learning.objective import CrossEntropy, Step
from holdfast.learning.train import Train
from holdfast.models.features import Features, without_features
from holdfast.models.model import Model

LOOKED_AT = 8  # inputs on which logits are seen to grow
OFF = 1e-3  # of the largest logit: rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefensiveDistillation(Learner):
    """Train a teacher at a high temperature, a student of the same form on its answers, and deploy the student at 1.

        teacher: least cross-entropy(softmax(z / T), y)
        student: least cross-entropy(softmax(z / T), softmax(teacher / T)),  deployed as softmax(z)

    Its logits grow to T times their usual size, so that at temperature 1 the cross-entropy has no gradient left:
    attacks that follow it fail, attacks on the margin of the logits do not notice. Broken by Carlini and Wagner,
    "Towards Evaluating the Robustness of Neural Networks", IEEE S&P 2017, arXiv:1608.04644. A historical lesson.

    The last linear layer is learned in units of T: with weights W = T V, the losses above are those of V at
    temperature 1, whose gradients have their usual size whatever T is (those of W are 1 / T of it and need thousands of
    steps to move the logits at all). The student's V is multiplied by T at the end. Weight decay then acts on V.

    Cost: two trainings, and one more forward pass a step of the second.

    Args:
        of: Both trainings; what `of` says of an objective is not used.
        temperature: T; the paper takes 20 to 100.
    """

    of: Train = Train(smoothing=0.0)
    temperature: Positive = 20.0

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, the student, as `Train.fit`.

        Raises:
            ModelError: HF256 where no linear layer makes the network's outputs.
        """
        if self.of.patience and validation is None:
            dataset, validation = dataset.divide(1 - self.of.holdout, seed)
        cool = dataclasses.replace(self.of, objective=CrossEntropy(), checkpoint=_beside(self.of.checkpoint))
        teacher = cool.fit(dataset, seed + 1, on_event, validation)
        grown(copy.deepcopy(teacher), self.temperature, dataset.x[:LOOKED_AT])  # refused before the second training
        how = dataclasses.replace(self.of, objective=_Soft(teacher))
        with teacher.borrowed():
            student = how.fit(dataset, seed, on_event, validation)
        return grown(student, self.temperature, dataset.x[:LOOKED_AT])


def grown(model: Model, factor: float, x: Tensor) -> Model:
    """The model with logits `factor` times as large: its last linear layer is multiplied in place.

    Args:
        model: A wrapped network that nobody else holds.
        factor: Positive.
        x: A few inputs, to find the layer and to see what it does.

    Raises:
        ModelError: HF256 where no linear layer makes the network's outputs, or not alone.
    """
    features = model.features
    if not isinstance(features, Features):
        raise without_features(model.name, "a network without a linear layer")
    with model.borrowed(), torch.no_grad():
        before = model.answer(x).scores
        layer, _ = features.last(x)
        for weights in layer.parameters():
            weights.mul_(factor)
        after = model.answer(x).scores
    if float((after - factor * before).abs().max()) > OFF * float((factor * before).abs().max()):
        raise without_features(model.name, "outputs that do not grow with its last linear layer")
    return dataclasses.replace(model, noise=factor * model.noise)


@dataclasses.dataclass(frozen=True)
class _Soft:
    """How far the student is from its teacher; the cross-entropy but for a constant."""

    teacher: Model

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return divergence(step.logits(step.harder), soft(self.teacher, step.x)).mean()


def _beside(checkpoint: str) -> str:
    return f"{checkpoint}.teacher" if checkpoint and not pathlib.Path(checkpoint).is_dir() else checkpoint
