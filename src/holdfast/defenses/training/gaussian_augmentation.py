"""Gaussian augmentation, Zantedeschi, Nicolae and Rawat, AISec 2017, arXiv:1707.06728."""

import dataclasses

import torch

from holdfast.core.params import Natural, NonNegative
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._rows import enlarged
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianAugmentation(Learner):
    """Learn from the data and from noisy copies of them, whatever the learner is: the weak baseline.

        data <- data + `copies` times {(clip(x + sigma * normal noise), y)}

    Noise looks for nothing, so the worst points nearby are hardly ever among the copies. It stands here to be compared
    with.

    Cost: `copies` + 1 times what the learner costs.

    Args:
        of: Who learns.
        sigma: Standard deviation of the noise, in the data's own units.
        copies: Noisy copies of each sample.
    """

    of: Learner = Train()
    sigma: NonNegative = 0.1
    copies: Natural = 1

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model, as the learner's; a copy belongs to the group of its original.

        Args:
            dataset: What to learn from; it is left as it is.
            seed: Of the noise and of the learner; the global random state stays as it is.
            on_event: Told what the learner tells; may raise `holdfast.Stop`.
        """
        draw = torch.Generator().manual_seed(seed)
        low, high = dataset.space.limits(dataset.x)
        rows, whole = torch.arange(len(dataset)), dataset
        for _ in range(self.copies):
            noise = torch.randn(dataset.x.shape, generator=draw, dtype=dataset.x.dtype)
            noisy = torch.minimum(torch.maximum(dataset.x + self.sigma * noise, low), high)
            whole = enlarged(whole, rows, noisy)
        return self.of.fit(whole, seed, on_event)
