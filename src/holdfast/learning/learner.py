"""What makes a model out of data."""

import abc
import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch

from holdfast.core.errors import DataError, ModelError
from holdfast.core.params import check
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset, Splits
from holdfast.models.model import Model

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learner(abc.ABC):
    """A way to learn; its fields are its configuration."""

    instead: ClassVar[str] = "hf.Fit(estimator=...) learns with a classifier of a library, hf.Train(...) with a network"

    def __post_init__(self) -> None:
        check(self)

    def __init_subclass__(cls) -> None:
        """Every `fit` refuses what is no data set."""
        super().__init_subclass__()
        if "fit" in vars(cls):
            setattr(cls, "fit", careful(vars(cls)["fit"]))  # noqa: B010 - mypy knows methods as constants

    @abc.abstractmethod
    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model; the same data, configuration and seed give the same model on the same machine.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told about progress; may raise `holdfast.Stop`.
        """


def careful(fit: Callable[..., T]) -> Callable[..., T]:
    """A `fit` whose data, told by the name `data` or `dataset`, must be a data set.

    Raises:
        DataError: HF108 for splits, of which one part is meant, HF102 for anything else.
    """
    names = list(inspect.signature(fit).parameters)
    place = next((names.index(name) for name in ("dataset", "data") if name in names), len(names))

    @functools.wraps(fit)
    def fitted(*args: Any, **kwargs: Any) -> T:
        given = args[place] if len(args) > place else kwargs.get(names[place]) if place < len(names) else None
        if isinstance(given, Splits):
            raise DataError("HF108", "One part is learned from", seen="Splits", expected="Dataset", fix="splits.train")
        if given is not None and not isinstance(given, Dataset):
            fix = "hf.Dataset(x, y, bounds=(0, 1))"
            raise DataError("HF102", "A data set is needed", seen=type(given).__name__, expected="Dataset", fix=fix)
        return fit(*args, **kwargs)

    return fitted


def enough(dataset: Dataset) -> None:
    """Refuse data that teach no network anything: a single sample, or samples of a single class.

    Raises:
        ModelError: HF220.
    """
    if len(dataset) < 2:
        raise ModelError("HF220", "There are too few samples to learn from", seen=len(dataset), expected="2 or more")
    if bool((dataset.y == dataset.y[0]).all()):
        raise ModelError(
            "HF220",
            "All samples to learn from are of one class: whoever says that class always is right, and withstands all",
            seen=f"{len(dataset)} samples of class '{dataset.classes[int(dataset.y[0])]}'",
            expected="samples of two classes or more",
        )


def few(dataset: Dataset, samples: int) -> Dataset:
    """The first samples, for a training that is only timed; of one class, the last gives way to one of another."""
    rows = torch.arange(min(samples, len(dataset)))
    others = (dataset.y != dataset.y[0]).nonzero()[:1, 0]
    if len(rows) > 1 and len(others) and int(others) >= len(rows):
        rows[-1:] = others
    return dataset.take(rows)
