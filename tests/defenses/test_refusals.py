"""What is no wrapped model, no data set or no stage is one line with a code, in all defenses alike."""

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.core.errors import DataError, ModelError, UsageError
from holdfast.evaluation.defending.chain import catalog
from holdfast.evaluation.defending.recipe import plain
from holdfast.learning.learner import Learner

D = hf.defenses
NET = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
MODEL = hf.wrap(NET, bounds=(0, 1))
DIGITS = hf.data.load("digits")
OTHERS = (D.OutlierModel, D.RobustDistillation)  # need an argument
MAKEABLE = [kind for kind in catalog().values() if hasattr(kind, "fit") and kind not in OTHERS]


@pytest.mark.parametrize("kind", MAKEABLE, ids=lambda kind: kind.__name__)
def test_nothing_learns_from_splits(kind):
    made = kind()
    given = (DIGITS,) if isinstance(made, Learner) else (MODEL, DIGITS)
    with pytest.raises(DataError, match=r"^HF108 .*splits\.train"):
        made.fit(*given)
    with pytest.raises(DataError, match="^HF102 .*tuple"):
        made.fit(*given[:-1], (torch.zeros(2, 64), torch.zeros(2)))


def test_data_by_name_are_looked_at_too():
    with pytest.raises(DataError, match="^HF108 "):
        D.Mahalanobis().fit(model=MODEL, data=DIGITS)
    with pytest.raises(DataError, match="^HF108 "):
        D.Trades().fit(dataset=DIGITS)
    with pytest.raises(DataError, match="^HF108 "):
        hf.Train().fit(DIGITS)


def test_a_network_that_is_not_wrapped_is_refused():
    for ask in (lambda: D.Jpeg().guard(NET), lambda: D.Mahalanobis().fit(NET, DIGITS.test)):
        with pytest.raises(ModelError, match=r"^HF240 .*hf\.wrap"):
            ask()


@pytest.mark.parametrize("stage", [D.Jpeg, D.Mahalanobis, D.Mahalanobis(), D.Trades()], ids=lambda s: repr(s)[:24])
def test_what_is_no_stage_yet_is_refused(stage):
    with pytest.raises(ModelError, match="^HF289 "):
        MODEL | stage
    with pytest.raises(ModelError, match="^HF289 "):
        hf.detection(MODEL, stage, DIGITS.test.sample(4, 0), "linf:0.2")
    with pytest.raises(TypeError, match="unsupported operand"):
        MODEL | 3


def test_a_recipe_may_be_the_defense_itself():
    assert plain(D.Trades(beta=3)) == "trades(beta=3)"
    assert plain("multi-norm(steps=2)") == "multi_norm(steps=2)"
    for strange in (None, D.Jpeg(), hf.Train()):
        with pytest.raises(UsageError, match="^HF834 "):
            plain(strange)
