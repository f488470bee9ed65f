"""Weight decay, Krogh and Hertz, "A Simple Weight Decay Can Improve Generalization", NIPS 1991."""

import dataclasses

from holdfast.core.params import NonNegative
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightDecay(Learner):
    """Pull every weight towards zero at each step, in place of the decay that `of` has.

        gradient <- gradient + decay * w, before the momentum

    Norms and biases do not decay. No defense against attacks by itself: a baseline, which smaller margins even make
    easier to break where the decay is strong.

    Cost: none.

    Args:
        of: The plain training.
        decay: Share of a weight in its gradient.
    """

    of: Train = Train()
    decay: NonNegative = 5e-3

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        return dataclasses.replace(self.of, weight_decay=self.decay).fit(dataset, seed, on_event, validation)
