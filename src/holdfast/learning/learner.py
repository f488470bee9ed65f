"""What makes a model out of data."""

import abc
import dataclasses
from typing import ClassVar

from holdfast.core.params import check
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learner(abc.ABC):
    """A way to learn; its fields are its configuration."""

    instead: ClassVar[str] = "hf.Fit(estimator=...) learns with a classifier of a library, hf.Train(...) with a network"

    def __post_init__(self) -> None:
        check(self)

    @abc.abstractmethod
    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model; the same data, configuration and seed give the same model on the same machine.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told about progress; may raise `holdfast.Stop`.
        """
