"""Early stopping, Prechelt, "Early Stopping - But When?", 1998; for robust models Rice et al., ICML 2020."""

import dataclasses

from holdfast.core.params import Count, Fraction
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlyStopping(Learner):
    """Stop when the score on held-out data has not risen for some epochs, and take the weights of the best one.

    The score is accuracy unless `of` has a judge. The rate still follows the cycle over all epochs of `of`, so a
    training that stops early has not cooled down.

    Cost: one forward pass of the held-out data an epoch; that data is not learned from.

    Args:
        of: The plain training.
        patience: Epochs without a better score after which to stop.
        holdout: Share of the data that is held out, where `fit` gets no validation part.
    """

    of: Train = Train()
    patience: Count = 5
    holdout: Fraction = 0.1

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number, also what is held out; the global random state stays as it is.
            on_event: Told after every epoch, and when the training stops early.
            validation: What to choose the epoch by, in place of a part of `dataset`.
        """
        how = dataclasses.replace(self.of, patience=self.patience, holdout=self.holdout)
        return how.fit(dataset, seed, on_event, validation)
