"""Adaptive diversity promoting (ADP) training, Pang, Xu, Du, Chen and Zhu, ICML 2019, arXiv:1901.08846."""

import dataclasses
from typing import Annotated, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from holdfast.core.params import NonNegative, Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Step
from holdfast.learning.train import Factory, Train
from holdfast.models.model import Model
from holdfast.models.networks import build

FLAT = 1e-6  # added to the diagonal of the Gram matrix, so that equal members have a finite loss


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveDiversity(Learner):
    """Members trained together, so that what they say about the other classes points in different directions.

        loss = sum of the members' cross-entropies - alpha * H(mean p) - beta * log det(M M^T)

    H is the entropy of the mean probabilities, and the rows of M are the members' probabilities of all classes but the
    true one, each of length 1: the determinant is the squared volume that they span. Broken to near zero by attacks of
    enough steps: Tramer et al., "On Adaptive Attacks to Adversarial Example Defenses", NeurIPS 2020, arXiv:2002.08347.

    Cost: `members` times what the training costs.

    Args:
        of: The plain training; its network is built once for each member.
        members: How many.
        alpha: Weight of the entropy.
        beta: Weight of the volume.
    """

    of: Train = Train()
    members: Annotated[int, Range(2)] = 3
    alpha: NonNegative = 2.0
    beta: NonNegative = 0.5

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model whose scores are the logarithms of the members' mean probabilities.

        Args:
            dataset: What they learn from.
            seed: Of every random number; the global random state stays as it is.
            on_event: Told after every epoch; may raise `holdfast.Stop`.
        """
        factory = Several(self.of.network, self.of.width, self.of.depth, self.members)
        objective = Diverse(alpha=self.alpha, beta=self.beta)
        return dataclasses.replace(self.of, network=factory, objective=objective).fit(dataset, seed, on_event)


@dataclasses.dataclass(frozen=True)
class Several:
    """Makes several networks of one kind.

    Args:
        network: A name of `holdfast.models.networks`, or a function (shape, classes) -> module.
        width, depth: Of a network by name; 0 for its default.
        members: How many.
    """

    network: str | Factory
    width: int
    depth: int
    members: int

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The networks as one."""
        return MeanProbability([self._one(shape, classes) for _ in range(self.members)])

    def _one(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        if not isinstance(self.network, str):
            return self.network(shape, classes)
        options = {key: value for key, value in (("width", self.width), ("depth", self.depth)) if value}
        return build(self.network, shape=shape, classes=classes, **options)


class MeanProbability(nn.Module):
    """Networks whose mean probability decides.

    Args:
        members: They return logits.
    """

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of the mean probabilities, `(batch, classes)`."""
        return torch.stack([member(x).log_softmax(1) for member in self.members]).logsumexp(0) - self._count()

    def _count(self) -> float:
        return float(torch.tensor(float(len(self.members))).log())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diverse:
    """The loss of members that are trained together.

    Args:
        alpha: Weight of the entropy.
        beta: Weight of the volume.
    """

    alpha: float
    beta: float

    def __call__(self, step: Step) -> Tensor:
        """A scalar; the members are listened to while the network answers as always."""
        said: list[Tensor] = []
        ears = [
            member.register_forward_hook(lambda module, given, out: said.append(out))
            for member in cast(nn.ModuleList, step.net.members)
        ]
        try:
            step.logits(step.harder)
        finally:
            for ear in ears:
                ear.remove()
        logits = torch.stack(said).float()  # (members, batch, classes)
        own = sum(cross_entropy(z, step.y, label_smoothing=step.smoothing) for z in logits)
        return own - self.alpha * entropy(logits).mean() - self.beta * volume(logits, step.y).mean()


def entropy(logits: Tensor) -> Tensor:
    """Of the mean probabilities: `(members, batch, classes)` -> `(batch,)`."""
    mean = logits.softmax(2).mean(0)
    return -(mean * mean.clamp_min(1e-20).log()).sum(1)


def volume(logits: Tensor, y: Tensor) -> Tensor:
    """Log of the squared volume spanned by the members' probabilities of the other classes: `(batch,)`."""
    others = ~one_hot(y, logits.shape[2]).bool()
    rest = logits.softmax(2)[:, others].reshape(len(logits), len(y), -1)
    rows = normalize(rest, dim=2).transpose(0, 1)  # (batch, members, classes - 1)
    gram = rows @ rows.transpose(1, 2)
    return torch.logdet(gram + FLAT * torch.eye(len(logits), dtype=gram.dtype, device=gram.device))
