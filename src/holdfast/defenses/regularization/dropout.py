"""Dropout, Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014."""

import dataclasses
from typing import Annotated, Any, Literal

from torch import nn
from torch.nn.functional import dropout

from holdfast.core.errors import ModelError
from holdfast.core.params import Range
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization._networks import changed, layers, plain
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout(Learner):
    """Set a random share of a layer's inputs to zero at each step, while learning only.

        h' <- h * keep / (1 - share),   keep ~ Bernoulli(1 - share) per entry

    Works in any network, by name or made by a function, whose layers are called as modules. The model that comes back
    has the plain network's layers and draws nothing. No defense against attacks by itself: a baseline.

    Cost: one random number per dropped-out entry.

    Args:
        of: The plain training.
        share: Of the inputs that become zero.
        where: "last" for the inputs of the last linear layer, "all" for those of every linear layer and convolution
            but the first.
    """

    of: Train = Train()
    share: Annotated[float, Range(0, 1, open_high=True)] = 0.5
    where: Literal["last", "all"] = "last"

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Raises:
            ModelError: HF265 where the network has no such layer.
        """
        how = changed(self.of, _Insert(self.share, self.where), seed)
        return plain(how.fit(dataset, seed, on_event, validation), _take_out, self.of, dataset.x)


@dataclasses.dataclass(frozen=True)
class _Drop:
    """A hook in front of a layer: its first input with some entries at zero."""

    share: float

    def __call__(self, layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the layer sees."""
        return (dropout(given[0], self.share, layer.training), *given[1:])


@dataclasses.dataclass(frozen=True)
class _Insert:
    """Puts hooks in front of the layers, so that the names of the weights stay as they are."""

    share: float
    where: str

    def __call__(self, net: nn.Module) -> None:
        """In place."""
        last, every = self.where == "last", layers(net)
        found = [layer for layer in every if isinstance(layer, nn.Linear)][-1:] if last else every[1:]
        if not found:
            raise ModelError(
                "HF265",
                "There is no layer that this defense could change",
                seen=f"{type(net).__name__} with where={self.where!r}",
                expected="a linear layer" if last else "two layers or more",
            )
        for layer in found:
            layer.register_forward_pre_hook(_Drop(self.share))


def _take_out(net: nn.Module) -> None:
    for layer in net.modules():
        for key in [key for key, hook in layer._forward_pre_hooks.items() if isinstance(hook, _Drop)]:
            del layer._forward_pre_hooks[key]
