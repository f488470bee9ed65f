"""Twins of scikit-learn's ensembles: their probabilities, and gradients that are finite differences of them."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from holdfast.models.settle import settle
from holdfast.models.twin_ensemble import joint_twin
from holdfast.models.wrap import wrap


def data(classes, n=120, features=4, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centers = draw.normal(size=(classes, features))
    return centers[y] + 0.7 * draw.normal(size=(n, features)), y


def linear(c=1.0):
    return make_pipeline(StandardScaler(), LogisticRegression(C=c))


def two():
    return [("a", linear()), ("b", LogisticRegression(C=0.01))]


EXACT = {
    "soft voting": lambda: VotingClassifier(two(), voting="soft"),
    "weighted voting": lambda: VotingClassifier([*two(), ("c", "drop")], voting="soft", weights=[3, 1, 9]),
    "bagging": lambda: BaggingClassifier(LogisticRegression(), 3, random_state=0),
    "bagging of columns": lambda: BaggingClassifier(LogisticRegression(), 3, max_features=0.5, random_state=0),
    "stacking": lambda: StackingClassifier(two(), LogisticRegression(), cv=3),
    "stacking with features": lambda: StackingClassifier(two(), linear(), cv=3, passthrough=True),
    "behind a scaler": lambda: make_pipeline(StandardScaler(), VotingClassifier(two(), voting="soft")),
    "nested": lambda: VotingClassifier(
        [("bag", BaggingClassifier(LogisticRegression(), 2, random_state=0)), *two()], voting="soft"
    ),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", EXACT)
def test_the_twin_is_the_estimator_and_its_gradient_the_finite_difference(kind, classes):
    x, y = data(classes)
    estimator = EXACT[kind]().fit(x, y)
    model = settle(wrap(estimator, (-9, 9)), torch.from_numpy(x))
    assert "twin" in model.adapter
    points = torch.from_numpy(x)
    np.testing.assert_allclose(model.scores(points).softmax(1).numpy(), estimator.predict_proba(x), atol=1e-10)
    assert (model.predict(points).numpy() == estimator.predict(x)).all()
    leaf, label = points[:20].clone().requires_grad_(), torch.from_numpy(y[:20])[:, None]
    (g,) = torch.autograd.grad(model.module(leaf).log_softmax(1).gather(1, label).sum(), leaf)
    step = 1e-6
    for j in range(x.shape[1]):
        shift = np.eye(x.shape[1])[j] * step
        up, down = (np.log(estimator.predict_proba(x[:20] + s * shift))[np.arange(20), y[:20]] for s in (1, -1))
        np.testing.assert_allclose((up - down) / (2 * step), g[:, j].numpy(), atol=1e-6)


OTHERS = {
    "hard voting": (lambda: VotingClassifier(two(), voting="hard"), None),
    "voting with neighbors": (
        lambda: VotingClassifier([*two(), ("c", KNeighborsClassifier())], voting="soft"),
        "scores",
    ),
    "bagged trees": (lambda: BaggingClassifier(DecisionTreeClassifier(), 3, random_state=0), "scores"),
    "boosted stumps": (lambda: AdaBoostClassifier(n_estimators=5, random_state=0), "scores"),
    "boosted lines": (lambda: AdaBoostClassifier(LogisticRegression(), n_estimators=3, random_state=0), "scores"),
    "stack of a forest": (
        lambda: StackingClassifier([*two(), ("c", RandomForestClassifier(5, random_state=0))], cv=3),
        "scores",
    ),
    "stack of margins": (lambda: StackingClassifier([*two(), ("c", SVC())], cv=3), "scores"),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", OTHERS)
def test_ensembles_without_a_twin_work_through_scores_or_labels(kind, classes):
    x, y = data(classes)
    make, shown = OTHERS[kind]
    estimator = make().fit(x, y)
    model = settle(wrap(estimator, (-9, 9)), torch.from_numpy(x))
    assert joint_twin(estimator) is None
    assert model.module is None
    assert (model.scores is not None) == (shown == "scores")
    assert (model.predict(torch.from_numpy(x)).numpy() == estimator.predict(x)).all()


def test_a_twin_that_does_not_repeat_the_probabilities_is_not_used():
    x, y = data(3)
    estimator = EXACT["soft voting"]().fit(x, y)
    estimator.predict_proba = lambda rows: np.full((len(rows), 3), 1 / 3)
    assert joint_twin(estimator) is None
