"""Adaptive diversity promoting, Pang, Xu, Du, Chen and Zhu, ICML 2019, arXiv:1901.08846."""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from holdfast.core.errors import ModelError
from holdfast.core.params import Count, NonNegative
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.ensembles._members import several
from holdfast.learning.learner import Learner
from holdfast.learning.objective import Step
from holdfast.learning.train import Factory, Train
from holdfast.models.ensemble import from_members
from holdfast.models.model import Model
from holdfast.models.networks import build
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized
from holdfast.models.wrap import wrap

SMALL = 1e-6  # added to the diagonal of the Gram matrix, whose determinant may be zero at the start


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveDiversity(Learner):
    """Train the members together so that their wrong classes differ while their right class agrees.

        loss <- sum over members of cross-entropy(p_m, y) - alpha * H(mean p) - beta * log det(G)
        G_jk <- the cosine of p_j and p_k without their entry y, H the entropy

    The determinant is the squared volume that the members' wrong answers span: what fools one member towards a class
    fools no other towards it. Broken by attacks of more steps on the whole ensemble: Tramer et al., "On Adaptive
    Attacks to Adversarial Example Defenses", NeurIPS 2020, arXiv:2002.08347.

    Cost: `members` trainings at once; the model asks all members.

    Args:
        of: The training of all members together; its `perturb` works on their vote.
        members: How many, fewer than classes: more wrong answers than wrong classes cannot all differ.
        alpha: Weight of the entropy of the vote.
        beta: Weight of the logarithm of the determinant.
    """

    of: Train = Train()
    members: Count = 3
    alpha: NonNegative = 2.0
    beta: NonNegative = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        several(self.of, self.members)

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled ensemble whose members are networks of their own.

        Raises:
            ModelError: HF269 where members are as many as classes, or the training starts from a model; as `Train.fit`.
        """
        if self.members >= dataset.n_classes or self.of.start is not None:
            raise ModelError(
                "HF269",
                "Members that are trained to differ must be fewer than the classes, and start from random weights",
                seen=f"{self.members} members, {dataset.n_classes} classes, start={self.of.start!r}",
                expected=f"at most {dataset.n_classes - 1} members and no start",
            )
        network = _Factory(self.of.network, self.of.width, self.of.depth, self.members)
        how = dataclasses.replace(self.of, network=network, objective=_Diverse(self.alpha, self.beta))
        inside = _inside(how.fit(dataset, seed, on_event))
        space = self.of.space_for(dataset)
        found = [
            wrap(net, space, output="logits", mean=inside.mean, std=inside.std, classes=dataset.n_classes)
            for net in inside.net.children()
        ]
        return settle(from_members(found, space, classes=dataset.n_classes), dataset.x)


@dataclasses.dataclass(frozen=True)
class _Diverse:
    """The objective of the whole ensemble.

    Args:
        alpha: Weight of the entropy of the vote.
        beta: Weight of the logarithm of the determinant.
    """

    alpha: float
    beta: float

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        said: list[Tensor] = []
        hooks = [net.register_forward_hook(lambda _net, _x, out: said.append(out)) for net in step.net.children()]
        try:
            step.logits(step.harder)
        finally:
            for hook in hooks:
                hook.remove()
        z = torch.stack([step.whole(one, len(step.y)) for one in said]).float()
        loss = sum(cross_entropy(one, step.y, label_smoothing=step.smoothing) for one in z)
        p = z.softmax(2)
        return loss - self.alpha * entropy(p.mean(0)).mean() - self.beta * log_det(p, step.y).mean()


def entropy(p: Tensor) -> Tensor:
    """Of each row of probabilities `(batch, classes)`: `(batch,)`."""
    return -(p * p.clamp(min=torch.finfo(p.dtype).tiny).log()).sum(1)


def log_det(p: Tensor, y: Tensor) -> Tensor:
    """Log det(G + small I) for the members' probabilities `(members, batch, classes)`: `(batch,)`."""
    others = torch.ones(p.shape[1:], dtype=torch.bool, device=p.device).scatter(1, y[:, None], False)
    wrong = p.movedim(0, 1)[others[:, None].expand(-1, len(p), -1)].reshape(len(y), len(p), -1)
    unit = normalize(wrong, dim=2, eps=torch.finfo(p.dtype).tiny ** 0.5)
    gram = unit @ unit.transpose(1, 2)
    return torch.logdet(gram + SMALL * torch.eye(len(p), dtype=p.dtype, device=p.device))


class _Joint(nn.Module):
    """Members side by side; its output is the logarithm of their mean probability."""

    def __init__(self, nets: list[nn.Module]):
        super().__init__()
        for k, net in enumerate(nets):
            self.add_module(str(k), net)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.stack([net(x).float() for net in self.children()])
        return z.log_softmax(2).logsumexp(0) - torch.tensor(float(len(z))).log()


@dataclasses.dataclass(frozen=True)
class _Factory:
    """Makes the joint network; its text is its identity."""

    network: str | Factory
    width: int
    depth: int
    members: int

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        options = {key: value for key, value in (("width", self.width), ("depth", self.depth)) if value}
        if isinstance(self.network, str):
            return _Joint([build(self.network, shape=shape, classes=classes, **options) for _ in range(self.members)])
        return _Joint([self.network(shape, classes) for _ in range(self.members)])


def _inside(model: Model) -> Normalized:
    source = source_of(model)
    if source is None or not isinstance(source.ask, Normalized):
        raise ModelError("HF220", "A training returns a wrapped torch module", seen=repr(model))
    return source.ask
