"""Stacking, Wolpert, "Stacked Generalization", Neural Networks 5, 1992; Ting and Witten, JAIR 10, 1999."""

import dataclasses
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from holdfast.core.params import Positive, Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import fitted, folds, seed_of, several
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.ensemble import Head, from_members
from holdfast.models.model import Model
from holdfast.models.settle import settle

STEPS = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stacking(Learner):
    """Learn how to combine the members from answers to samples that they did not learn from.

        z_i <- (p_1(x_i), ..., p_M(x_i)), each member fitted without the fold of sample i
        W, b <- argmin mean cross-entropy(W z_i + b, y_i) + penalty / 2 * |W|^2        p(x) <- softmax(W z(x) + b)

    The members of the model are fitted on all data. The linear model is multinomial logistic regression in torch, so
    the whole stack is one differentiable model and attacked as such.

    Cost: (`folds` + 1) trainings of each learner; the model asks all members.

    Args:
        of: The learners, two or more.
        folds: Parts that the data are divided into; groups are never split, classes are spread evenly.
        penalty: On the squared weights of the linear model; it keeps their number in check where members are alike.
        level: What of the members it sees, their "probabilities" or their "logits".
    """

    of: tuple[Learner, ...] = (Train(), Train(network="mlp"))
    folds: Annotated[int, Range(2)] = 5
    penalty: Positive = 1e-3
    level: Literal["probabilities", "logits"] = "probabilities"

    def __post_init__(self) -> None:
        super().__post_init__()
        several(self.of)

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled ensemble.

        Raises:
            ModelError: HF209 for members that show decisions only; what the learners raise.
            DataError: HF109 where there are fewer samples or groups than folds.
        """
        answers = self.unseen(dataset, seed, on_event)
        head = head_of(answers, dataset.y, dataset.n_classes, self.penalty)
        found = fitted(self.of, dataset, seed, on_event)
        made = from_members(found, dataset.space, vote=self.level, head=head, classes=dataset.n_classes)
        return settle(made, dataset.x)

    def unseen(self, data: Dataset, seed: int = 0, on_event: Listener = silent) -> Tensor:
        """Each member's answer to each sample, learned without its fold: `(members, n, classes)` float64."""
        fold = folds(data, self.folds, seed)
        answers = torch.empty(len(self.of), len(data), data.n_classes, dtype=torch.float64)
        for part in range(self.folds):
            rest, held = data.take(fold != part), data.x[fold == part]
            for k, member in enumerate(fitted(self.of, rest, seed_of(seed, "fold", part), on_event)):
                answers[k, fold == part] = _scores(member, held)
        return answers.softmax(2) if self.level == "probabilities" else answers


def head_of(answers: Tensor, y: Tensor, classes: int, penalty: float) -> Head:
    """Multinomial logistic regression on answers `(members, n, classes)`; its loss is convex, its intercept free."""
    rows = answers.double().movedim(0, 1).flatten(1)
    weight = torch.zeros(rows.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [weight, bias],
        max_iter=STEPS,
        tolerance_grad=1e-9,
        tolerance_change=1e-14,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        value = cross_entropy(rows @ weight + bias, y) + penalty / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    return Head(weight.detach(), bias.detach())


@torch.no_grad()
def _scores(member: Model, x: Tensor, batch: int = 256) -> Tensor:
    """`(n, classes)` float64."""
    with member.borrowed():
        return torch.cat([member.answer(rows).scores.double().cpu() for rows in torch.split(x, batch)])
