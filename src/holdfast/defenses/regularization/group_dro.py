"""Group DRO, Sagawa, Koh, Hashimoto and Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020.

arXiv:1911.08731.
"""

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core.errors import ModelError
from holdfast.core.params import NonNegative
from holdfast.core.progress import Listener, Note, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.judging import Judged
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Step
from holdfast.learning.train import Train
from holdfast.models.model import Model

By = Literal["classes", "groups"]
MEMORY = "group dro"  # what a step's memory calls the logarithms of the weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupDro(Learner):
    """Weigh groups by how badly they do, so that the worst one counts most instead of the largest one.

        l_g <- mean loss of the group's samples in the batch + adjustment / sqrt(size of the group in the data)
        q_g <- q_g * exp(step * l_g),   then  q <- q / sum(q)          a group that the batch lacks keeps its weight
        weights <- weights - rate * gradient of  sum over groups of q_g * l_g

    Its last line needs strong regularization, its paper says: a network that fits every training sample leaves no group
    to be weighed. Where `of` has a patience the epoch is kept whose worst group is best, and at the end the worst group
    is told, of the validation part where there is one. Batches are drawn as they come, not group by group as in the
    paper, so a rare group's weight rises seldom. No defense against attacks: it is one against data where some people,
    scenes or classes are few.

    Cost: none.

    Args:
        of: The plain training, on its harder inputs where it has a perturbation; its objective is not used.
        by: Whether groups are the classes or those of the data; with thousands of groups, such as tracks of a video,
            nearly all of them are missing in a batch.
        step: How fast weights follow the losses; 0 for equal weights of all groups.
        adjustment: Of the loss of small groups.
    """

    of: Train = Train()
    by: By = "classes"
    step: NonNegative = 0.01
    adjustment: NonNegative = 0.0

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told after every epoch, and of the worst group at the end; may raise `holdfast.Stop`.
            validation: What to choose the epoch by, where `of` has a patience.

        Raises:
            ModelError: HF254 where the data have no groups and `by` asks for them.
        """
        if self.of.patience and validation is None:
            dataset, validation = dataset.divide(1 - self.of.holdout, seed)
        extra = tuple(self.adjustment / math.sqrt(max(size, 1)) for size in _sizes(dataset, self.by))
        judge = self.of.judge if self.of.judge is not None else _Worst(self.by)
        how = dataclasses.replace(self.of, objective=_Weighed(self.by, self.step, extra), judge=judge)
        model = how.fit(dataset, seed, on_event, validation)
        part = dataset if validation is None else validation
        shares = accuracies(model, part, self.by)
        low = min(shares, key=lambda group: shares[group][0])
        name = f"class {part.classes[low]}" if self.by == "classes" else f"group {low}"
        where = "training" if validation is None else "validation"
        on_event(
            Note(f"worst of {len(shares)}: {name}, {shares[low][0]:.1%} of {shares[low][1]} {where} samples right")
        )
        return model


@dataclasses.dataclass(frozen=True)
class _Weighed:
    """The weighted loss of the groups, whose weights rise with it.

    Args:
        by: What a group is.
        step: How fast.
        extra: What is added to the loss of each group.
    """

    by: By
    step: float
    extra: tuple[float, ...]

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        losses = cross_entropy(
            step.logits(step.harder).float(), step.y, reduction="none", label_smoothing=step.smoothing
        )
        groups = step.y if self.by == "classes" else step.groups
        if groups is None:
            raise _without_groups()
        extra = torch.tensor(self.extra, dtype=torch.float64, device=losses.device)
        count = torch.bincount(groups, minlength=len(extra))
        mean = torch.zeros(len(extra), dtype=losses.dtype, device=losses.device).index_add(0, groups, losses)
        mean = mean / count.clamp(min=1)
        logs = step.memory.get(MEMORY, torch.zeros_like(extra)).to(extra)
        rise = torch.where(count > 0, mean.detach().double() + extra, 0.0)
        logs = (logs + self.step * rise).log_softmax(0)
        step.memory[MEMORY] = logs
        loss: Tensor = (logs.exp().to(mean) * mean).sum()
        return loss


@dataclasses.dataclass(frozen=True)
class _Worst:
    """Accuracy of the worst group: what the epoch is chosen by."""

    by: By

    def __call__(self, model: Model, validation: Dataset) -> Judged:
        """Of the validation part's own groups."""
        return Judged(*min(accuracies(model, validation, self.by).values()))


def accuracies(model: Model, data: Dataset, by: By) -> dict[int, tuple[float, int]]:
    """Group -> share of its samples that the model gets right, and how many there are; empty classes are left out."""
    groups, right = _groups(data, by), (model.predict(data.x) == data.y).double()
    found = {group: right[groups == group] for group in sorted(set(groups.tolist()))}
    return {group: (float(rows.mean()), len(rows)) for group, rows in found.items()}


def _sizes(data: Dataset, by: By) -> list[int]:
    """Samples of each group, in the order in which a step numbers them."""
    groups = _groups(data, by)
    ordered = range(data.n_classes) if by == "classes" else sorted(set(groups.tolist()))
    return [int((groups == group).sum()) for group in ordered]


def _groups(data: Dataset, by: By) -> Tensor:
    """Of each sample, `(n,)`.

    Raises:
        ModelError: HF254 where there are none.
    """
    groups = data.y if by == "classes" else data.groups
    if groups is None:
        raise _without_groups()
    return groups


def _without_groups() -> ModelError:
    return ModelError(
        "HF254",
        "The data have no groups",
        seen="groups=None",
        expected="a Dataset with groups",
        fix='by="classes", or Dataset(..., groups=...)',
    )
