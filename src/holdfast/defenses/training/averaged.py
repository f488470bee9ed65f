"""Stochastic weight averaging, Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, UAI 2018, arXiv:1803.05407."""

import dataclasses

from holdfast.core.errors import ModelError
from holdfast.core.params import Fraction, Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.learning.inner import resting_on, training_of
from holdfast.learning.learner import Learner
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Averaged(Learner):
    """Any learner that trains a network, with the equal average of the weights at the ends of its later epochs.

        from the epoch `start` on   rate <- tail * the highest rate,   average <- mean of the weights after each epoch
        batch norms of the average  <- the mean of their statistics over a pass of the data

    The rate stays up so that epochs end at different points around a wide minimum. It takes the place of the running
    average that `Train` keeps. With adversarial training it softens robust overfitting (Chen et al., "Robust
    Overfitting may be mitigated by properly learned smoothening", ICLR 2021). The statistics are those of inputs that
    are augmented as in training but not attacked.

    Cost: a forward pass over the data after each averaged epoch, where there are batch norms.

    Args:
        of: Any learner that rests on a `Train`; where that has a patience, averages are judged.
        start: Share of the epochs that pass before the first one counts.
        tail: Rate from then on, as a share of the highest; 0 for the cycle to its end.
    """

    of: Learner = AdversarialTraining()
    start: Fraction = 0.5
    tail: Share = 0.3

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model, as the learner's.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told what the learner tells; may raise `holdfast.Stop`.

        Raises:
            ModelError: HF253 where no network is trained.
        """
        training = training_of(self.of)
        if training is None:
            raise ModelError(
                "HF253",
                "There are no weights to average",
                seen=type(self.of).__name__,
                expected="a learner that rests on a Train",
            )
        made = dataclasses.replace(training, equal_from=self.start, tail=self.tail)
        return resting_on(self.of, made).fit(dataset, seed, on_event)
