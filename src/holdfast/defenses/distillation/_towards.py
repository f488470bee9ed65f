"""Learning a teacher's answers: soft labels, their loss, and inputs on which a student leaves its teacher."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from holdfast.core.errors import ModelError
from holdfast.core.progress import Listener
from holdfast.data.dataset import Dataset
from holdfast.geometry.draw import Draw
from holdfast.learning.learner import Learner
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.space import Box
from holdfast.threats.threats import Threat


def taught(teacher: Model | Learner, dataset: Dataset, seed: int, on_event: Listener) -> Model:
    """The teacher as a model: as it is, settled, or trained first.

    Raises:
        ModelError: HF266 where it shows no scores, or has other classes than the data.
    """
    model = teacher.fit(dataset, seed, on_event) if isinstance(teacher, Learner) else settle(teacher, dataset.x)
    if model.scores is None or model.classes != dataset.n_classes:
        raise ModelError(
            "HF266",
            "The teacher cannot teach these data",
            seen="no scores" if model.scores is None else f"{model.classes} classes",
            expected=f"scores of {dataset.n_classes} classes",
        )
    return model


def soft(teacher: Model, x: Tensor, temperature: float = 1.0) -> Tensor:
    """The teacher's probabilities at a temperature, without gradients: `(batch, classes)`, float32."""
    with torch.no_grad():
        return (teacher.answer(x.detach()).scores.float() / temperature).softmax(1).to(x.device)


def divergence(scores: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(labels || softmax(scores / temperature)) of each row: `(batch,)`."""
    logs = (scores.float() / temperature).log_softmax(1)
    return (torch.xlogy(labels, labels) - labels * logs).sum(1)


@dataclasses.dataclass(frozen=True)
class Leaving:
    """Inputs near each sample on which the student's answer is far from what the teacher says about the sample.

        x' <- x + noise in the region, then `steps` times
        x' <- project(x' + step * steepest(gradient of KL(teacher(x) || student(x'))))

    A hook for `Train.perturb`.

    Args:
        teacher: Settled, with scores.
        threat: How far inputs may go.
        space: Where inputs live.
        steps: Forward and backward passes.
        step: Step length, as a fraction of the radius.
    """

    teacher: Model
    threat: Threat
    space: Box
    steps: int
    step: float

    def __call__(self, logits: Callable[[Tensor], Tensor], x0: Tensor, y: Tensor, generator: Generator) -> Tensor:
        """Harder inputs of the same classes: `(batch, ...)`."""
        labels, region = soft(self.teacher, x0), self.threat.around(x0, self.space)
        seed = int(torch.randint(2**40, (1,), generator=generator))
        x = region.sample(Draw(seed, "train", range(len(x0)), x0))
        for _ in range(self.steps):
            leaf = x.detach().requires_grad_()
            with torch.enable_grad():
                loss = divergence(logits(leaf), labels).sum()
            (gradient,) = torch.autograd.grad(loss, leaf)
            x = region.project(x + self.step * region.steepest(gradient, x))
        return x
