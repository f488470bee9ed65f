"""Parseval networks, Cisse, Bojanowski, Grave, Dauphin and Usunier, ICML 2017, arXiv:1704.08847."""

import dataclasses
import math

import torch
from torch import Tensor, nn

from holdfast.core.params import Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._networks import changed, layers, plain
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParsevalNetworks(Learner):
    """Pull every layer towards a tight frame after each step, so that it hardly stretches what it gets.

        W <- (1 + beta) W - beta W W^T W,   after each training step, all singular values towards 1

    A convolution's kernel as a matrix (outputs, inputs * kernel size) goes towards 1 / sqrt(windows around a value), so
    that the convolution itself stretches by 1 at most. Weights that are far too long are pulled more gently. A training
    that starts from random weights starts from the nearest tight frame. The pull is not a projection: gradients and
    decay work against it, so singular values lie near 1, not below. Batch norms are not bounded and can undo it, so
    only networks without them (`mlp`, or your own) have a small constant. The paper's convex sums in residual blocks
    are not made here. A small constant alone withstands little where margins shrink with it: compare under attacks on
    the margin.

    Cost: two products with each weight matrix a training step.

    Args:
        of: The plain training.
        beta: Strength of the pull; the paper's 0.0003 for long trainings. Beyond 0.5 it overshoots; 0 pulls nothing.
    """

    of: Train = Train()
    beta: Share = 0.01

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Raises:
            ModelError: HF265 where the network has no linear layer and no convolution.
        """
        if not self.beta:
            return self.of.fit(dataset, seed, on_event, validation)
        how = dataclasses.replace(self.of, retract=_Pull(self.beta))
        if self.of.start is not None:
            return how.fit(dataset, seed, on_event, validation)
        how = changed(how, _Framed(), seed)
        return plain(how.fit(dataset, seed, on_event, validation), _nothing, self.of, dataset.x)


@dataclasses.dataclass(frozen=True)
class _Pull:
    """The pull on every layer."""

    beta: float

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> None:
        """In place."""
        for layer in layers(net):
            weight, unit = layer.get_parameter("weight"), length(layer)
            w = weight.flatten(1) / unit
            weight.copy_((unit * pulled(w, self.beta)).reshape(weight.shape))


@dataclasses.dataclass(frozen=True)
class _Framed:
    """The nearest tight frame in the place of every layer's weights."""

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> None:
        """In place, by singular values in double precision."""
        for layer in layers(net):
            weight = layer.get_parameter("weight")
            left, _, right = torch.linalg.svd(weight.double().flatten(1), full_matrices=False)
            weight.copy_((length(layer) * (left @ right)).reshape(weight.shape))


def pulled(w: Tensor, beta: float) -> Tensor:
    """A matrix after one pull, by 1 / s^2 at most, s its largest singular value, beyond which values change sign."""
    wide = len(w) <= w.shape[1]
    gram = w @ w.T if wide else w.T @ w
    if beta * float(gram.norm()) > 1:  # never where the largest eigenvalue is below 1 / beta
        beta = min(beta, 1 / float(torch.linalg.eigvalsh(gram.double())[-1]))
    return (1 + beta) * w - beta * (gram @ w if wide else w @ gram)


def length(layer: nn.Module) -> float:
    """Singular values that let a layer stretch by 1 at most: 1, for a convolution 1 / sqrt(windows around a value)."""
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return 1.0
    sizes = zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    windows = [math.ceil(size * math.gcd(stride, dilation) / stride) for size, stride, dilation in sizes]
    return 1 / math.sqrt(math.prod(windows))


def _nothing(net: nn.Module) -> None:
    """Weights are plain already."""
