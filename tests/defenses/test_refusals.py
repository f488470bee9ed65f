"""What is no wrapped model, no data set or no stage is one line with a code, in all defenses alike."""

import pytest
import torch
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import holdfast as hf
from holdfast.core.errors import DataError, ModelError, UsageError
from holdfast.evaluation.defending.chain import catalog, named
from holdfast.evaluation.defending.recipe import plain
from holdfast.learning.learner import Learner
from holdfast.models.settle import settle

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


SMALL = (
    D.Mahalanobis(),
    D.RangeCheck(),
    D.Reconstruction(updates=1),
    D.MagNet(updates=1, fpr=0.2),
    D.Purifier(updates=1),
    D.DiffusionPurifier(updates=1),
    D.OutlierModel(estimator=IsolationForest(n_estimators=2), layer="inputs"),
)


@pytest.mark.parametrize("made", SMALL, ids=lambda made: type(made).__name__)
def test_a_stage_fitted_to_other_inputs_is_refused_before_a_model(made):
    draw = torch.Generator().manual_seed(0)
    other = hf.Dataset(torch.rand(60, 1, 5, 5, generator=draw), torch.arange(60) % 10, bounds=(0, 1))
    stage = made.fit(settle(hf.wrap(nn.Sequential(nn.Flatten(), nn.Linear(25, 10)), bounds=(0, 1)), other.x), other)
    digits = DIGITS.test.x[:9]
    for ask in (lambda: settle(MODEL | stage, digits), lambda: (settle(MODEL, digits) | stage).predict(digits)):
        with pytest.raises(ModelError, match=r"^HF279 .*\(1, 8, 8\), expected \(1, 5, 5\)"):
            ask()


@pytest.mark.parametrize("made", SMALL[:4], ids=lambda made: type(made).__name__)
def test_data_that_the_model_cannot_take_are_refused_before_a_detector_learns(made):
    other = hf.Dataset(torch.zeros(60, 1, 5, 5), torch.arange(60) % 10, bounds=(0, 1))
    with pytest.raises(ModelError, match=r"^HF221 .*\(60, 1, 5, 5\)"):
        made.fit(settle(MODEL, DIGITS.test.x[:9]), other)


def test_a_detector_around_a_long_estimator_is_one_line():
    forest = IsolationForest(n_estimators=37, max_samples=0.75, contamination=0.125, max_features=0.5, bootstrap=True)
    long = D.OutlierModel(estimator=make_pipeline(StandardScaler(with_mean=False), forest), layer="inputs")
    assert "\n" in repr(long.estimator), "else there is nothing to join"
    assert "\n" not in str(long.fit(settle(MODEL, DIGITS.test.x[:9]), DIGITS.test.sample(60, 0)))


def test_a_long_list_of_names_in_an_error_is_cut():
    with pytest.raises(UsageError, match=r"^HF830 .* and \d+ more\. Fix: ") as caught:
        named("nosuch")
    assert len(str(caught.value)) < 400


def test_a_recipe_may_be_the_defense_itself():
    assert plain(D.Trades(beta=3)) == "trades(beta=3)"
    assert plain("multi-norm(steps=2)") == "multi_norm(steps=2)"
    for strange in (None, D.Jpeg(), hf.Train()):
        with pytest.raises(UsageError, match="^HF834 "):
            plain(strange)
