"""What every thing that is made once needs: a model that can be followed, an aim, and what is climbed."""

import torch
from torch import Tensor

from holdfast.attacks.losses import log_odds
from holdfast.core.errors import ThreatError
from holdfast.data.dataset import Dataset
from holdfast.models.model import Model
from holdfast.models.prepared import prepared
from holdfast.models.settle import settle
from holdfast.threats.goals import Target, Wrong


def ready(model: Model, data: Dataset, target: int | None) -> Model:
    """The model, settled and prepared for the search.

    Raises:
        ModelError: HF240 for a model that is not wrapped.
        ThreatError: HF304 for a model without gradients, HF305 for a target that it cannot output.
    """
    model = settle(model, data.x)
    if model.module is None:
        raise ThreatError("HF304", "This needs a model that shows its module", seen=repr(model))
    if target is not None and not 0 <= target < (model.classes or 0):
        raise ThreatError(
            "HF305",
            "A target that the model cannot output",
            seen=target,
            expected=f"0 to {(model.classes or 0) - 1}",
        )
    return prepared(model, data.x)


def climbed(model: Model, x: Tensor, y: Tensor, target: int | None, most: float) -> Tensor:
    """Mean log-odds of the goal over a batch, each row's counted up to `most`; differentiable."""
    goal = Wrong(y) if target is None else Target(torch.full_like(y, target))
    answer = model.searched(x, gradient=True)
    return log_odds(goal.margins(answer), answer.scores).clamp(max=most).mean()
