"""Robust soft label adversarial distillation, Zi, Zhao, Ma and Jiang, ICCV 2021, arXiv:2108.07969."""

import dataclasses

from torch import Tensor

from holdfast.attacks.run import belongs
from holdfast.core.params import Count, Positive, Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.distillation._towards import Leaving, divergence, soft, taught
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Step
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustDistillation(Learner):
    """A robust teacher's soft labels teach a smaller student, near the samples and on them; no hard label is used.

        x' <- the point near x where KL(teacher(x) || student(x')) is large
        loss <- share * KL(teacher(x) || student(x')) + (1 - share) * KL(teacher(x) || student(x))

    A student of a teacher that is not robust learns to be smooth around wrong answers at best: audit the teacher too.

    Cost: `steps` + 2 forward and backward passes for each plain one, and two forward passes of the teacher.

    Args:
        teacher: A model with scores, or a Learner that trains one on the same data first.
        of: The plain training of the student; what it says of objective and perturbation is not used.
        threat: What the student shall withstand; a radius is needed.
        steps: Forward and backward passes that look for each harder input.
        step: Step length, as a fraction of the radius.
        share: Weight of the harder inputs.
    """

    teacher: Model | Learner
    of: Train = Train(smoothing=0.0)
    threat: Threat = Linf(8 / 255)
    steps: Count = 10
    step: Positive = 0.25
    share: Share = 5 / 6

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, the student, as `Train.fit`.

        Raises:
            ThreatError: HF307 for a ball around rows of a table, HF308 for a table threat on other data.
            ModelError: HF266 where the teacher shows no scores, or has other classes than the data.
        """
        belongs(self.threat, self.of.space_for(dataset))
        teacher = taught(self.teacher, dataset, seed, on_event)
        leaving = Leaving(teacher, self.threat, dataset.space, self.steps, self.step)
        how = dataclasses.replace(self.of, perturb=leaving, objective=_Following(self.share, teacher))
        with teacher.borrowed():
            return how.fit(dataset, seed, on_event, validation)


@dataclasses.dataclass(frozen=True)
class _Following:
    """How far the student is from what its teacher says about the sample, on it and near it."""

    share: float
    teacher: Model

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        labels = soft(self.teacher, step.x)
        near = divergence(step.logits(step.harder), labels).mean()
        return self.share * near + (1 - self.share) * divergence(step.logits(step.x), labels).mean()
