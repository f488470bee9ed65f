"""What is hardened: a file opened for the data, a network as it takes them."""

import os
from typing import Any

from holdfast.data.dataset import Dataset, Splits
from holdfast.models.estimators import estimator_of
from holdfast.models.files import load_model
from holdfast.models.model import Model
from holdfast.models.threshold import Threshold
from holdfast.models.wrap import wrap


def opened_for(data: Dataset | Splits, model: Any, trust: str | None) -> Any:
    """The model; a file is opened for the rows of the data, a network in it for their codes inside the bounds."""
    if not isinstance(model, str | os.PathLike):
        return model
    one = data.test if isinstance(data, Splits) else data
    space: Any = one.bounds if one.schema is None else one.space
    found = load_model(model, trust=trust, bounds=space)
    network = one.schema is not None and estimator_of(found) is None
    return load_model(model, trust=trust, bounds=one.bounds) if network else found


def inside(opened: Any) -> tuple[Any, str, Threshold | None]:
    """What learns in a wrapped model, its name and where it decides a class; anything else as it is."""
    if not isinstance(opened, Model):
        return opened, "", None
    return estimator_of(opened), opened.name, opened.threshold


def as_model(model: Any, data: Dataset | Splits) -> Model:
    """A network in the data's own units."""
    one = data.test if isinstance(data, Splits) else data
    return model if isinstance(model, Model) else wrap(model, one.bounds)
