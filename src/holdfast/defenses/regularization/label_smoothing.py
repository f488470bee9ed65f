"""Label smoothing as a defense, Goibert and Dohmatob, 2019, arXiv:1906.11567; Szegedy et al., CVPR 2016."""

import dataclasses

from holdfast.core.params import Share
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelSmoothing(Learner):
    """Learn that no sample is certain: a share of each label is spread over all classes, in place of `of`'s share.

        y' <- (1 - share) * y + share / classes

    Single gradient steps find less against it, because it flattens the loss near the data. Attacks on the margin do
    not ask the loss, so compare under those.

    Cost: none.

    Args:
        of: The plain training.
        share: Of the label that is spread.
    """

    of: Train = Train()
    share: Share = 0.3

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`."""
        return dataclasses.replace(self.of, smoothing=self.share).fit(dataset, seed, on_event, validation)
