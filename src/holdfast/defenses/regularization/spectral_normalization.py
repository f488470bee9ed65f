"""Spectral normalization, Miyato et al., ICLR 2018, arXiv:1802.05957."""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrize import is_parametrized, register_parametrization, remove_parametrizations

from holdfast.core.params import Count, Positive
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._networks import changed, layers, plain
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model

SETTLED = 15  # power iterations from a line that is near already, or from a random one
TINY = 1e-12  # least singular value that weights are divided by


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectralNormalization(Learner):
    """Divide every layer's weights by their largest singular value, so that no layer stretches what it gets.

        `steps` times a training step  v <- W^T u / |W^T u|,  u <- W v / |W v|
        W' <- bound * W / (u . W v)

    What comes back has plain weights, divided by singular values that are exact. Bounded is the matrix of a
    linear layer, and of a convolution its kernel as a matrix (outputs, inputs * kernel size): the convolution itself
    stretches by at most the square root of the kernel size times as much. Batch norms are not bounded and can undo
    it, so only networks without them (`mlp`, or your own) are Lipschitz with the product of the bounds.

    Cost: two products with each weight matrix a training step.

    Args:
        of: The plain training.
        bound: Largest singular value of each layer.
        steps: Power iterations a training step.
    """

    of: Train = Train()
    bound: Positive = 1.0
    steps: Count = 1

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Raises:
            ModelError: HF265 where the network has no linear layer and no convolution.
        """
        how = changed(self.of, _Normalize(self.bound, self.steps), seed)
        return plain(how.fit(dataset, seed, on_event, validation), _Fix(self.bound), self.of, dataset.x)


class _Bounded(nn.Module):
    """Weights over their largest singular value, times the bound.

    Args:
        weight: The weights at the start, `(outputs, ...)`.
        bound: Largest singular value of what comes out.
        steps: Power iterations a pass while learning; passes in evaluation mode take `SETTLED` and keep none.
    """

    def __init__(self, weight: Tensor, bound: float, steps: int):
        super().__init__()
        self.bound, self.steps = bound, steps
        self.line: Tensor
        self.register_buffer("line", torch.randn(len(weight)).to(weight))
        self.line.copy_(_lines(weight, self.line, SETTLED)[0])

    def forward(self, weight: Tensor) -> Tensor:
        """The same shape; differentiable in the weights, the singular vectors taken as constants."""
        u, v = _lines(weight, self.line, self.steps if self.training else SETTLED)
        if self.training:
            self.line.copy_(u)
        largest = u @ weight.flatten(1) @ v
        return weight * (self.bound / largest.clamp(min=TINY))


@torch.no_grad()
def _lines(weight: Tensor, u: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Left and right singular vectors of the weights as a matrix, by power iteration from a left one."""
    matrix = weight.flatten(1)
    for _ in range(steps):
        v = normalize(u @ matrix, dim=0)
        u = normalize(matrix @ v, dim=0)
    return u, v


@dataclasses.dataclass(frozen=True)
class _Normalize:
    """Makes the weights of every layer a function of free ones."""

    bound: float
    steps: int

    def __call__(self, net: nn.Module) -> None:
        """In place."""
        for layer in layers(net):
            weight = layer.get_parameter("weight")
            register_parametrization(layer, "weight", _Bounded(weight.detach(), self.bound, self.steps))


@dataclasses.dataclass(frozen=True)
class _Fix:
    """Puts plain weights in the place of the function."""

    bound: float

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> None:
        """In place; the free weights over their exact largest singular value, in double precision."""
        for layer in layers(net):
            if not is_parametrized(layer, "weight"):
                continue
            remove_parametrizations(layer, "weight", leave_parametrized=False)
            weight = layer.get_parameter("weight")
            largest = torch.linalg.matrix_norm(weight.double().flatten(1), 2)
            weight.copy_(weight.double() * (self.bound / largest.clamp(min=TINY)))
