"""Fit: scikit-learn estimators as learners."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from holdfast.core.errors import ModelError, ParameterError
from holdfast.data import Dataset, load
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds
from holdfast.learning.fit import Fit
from holdfast.learning.robust_forest import RobustForestClassifier


def test_wine_is_learned_and_the_estimator_stays_unfitted():
    data = load("wine")
    estimator = make_pipeline(StandardScaler(), LogisticRegression())
    model = Fit(estimator=estimator).fit(data.train)
    assert model.classes == 3
    assert model.module is not None
    assert model.space.bounds == data.train.bounds
    assert (model.predict(data.test.x) == data.test.y).double().mean() > 0.9
    with pytest.raises(NotFittedError):
        estimator.predict(data.test.x.numpy())


def test_the_seed_decides():
    data = load("wine").train
    learner = Fit(estimator=make_pipeline(StandardScaler(), RandomForestClassifier(3)))
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first, again, other = (learner.fit(data, seed=s).scores(data.x) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert np.array_equal(np.random.get_state()[1], before)


def test_estimators_that_call_it_seed_get_it_too():
    data = load("breast_cancer").train.take(slice(0, 60))
    learner = Fit(estimator=RobustForestClassifier(radius=0.0, trees=3, depth=2))
    first, again, other = (learner.fit(data, seed=s).scores(data.x) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_class_without_samples_is_refused():
    data = Dataset(torch.rand(6, 2), torch.tensor([0, 0, 0, 2, 2, 2]), classes=("a", "b", "c"))
    with pytest.raises(ModelError, match="HF220"):
        Fit(estimator=LogisticRegression()).fit(data)


def test_an_estimator_where_a_learner_belongs_is_one_line_that_names_fit():
    with pytest.raises(ParameterError) as told:
        AdversarialRounds(of=RandomForestClassifier())
    assert str(told.value) == (
        "HF001 The 'of' parameter of AdversarialRounds must be of type Learner. Got RandomForestClassifier(). "
        "Fix: hf.Fit(estimator=...) learns with a classifier of a library, hf.Train(...) with a network"
    )
