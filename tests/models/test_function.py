"""Predict functions behind `wrap`."""

import numpy as np
import pytest
import torch

from holdfast.core.errors import ModelError
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap

WEIGHT = np.random.default_rng(0).normal(size=(4, 3))


def logits(x):
    return (x - 0.5) @ WEIGHT


def probabilities(x):
    e = np.exp(logits(x))
    return e / e.sum(1, keepdims=True)


@pytest.fixture
def x():
    return torch.rand(40, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def want(x):
    return logits(x.numpy()).argmax(1).tolist()


FORMS = {
    "logits": (logits, {}),
    "probabilities": (probabilities, {}),
    "log": (lambda x: np.log(probabilities(x)), {}),
    "one-hot": (lambda x: np.eye(3)[logits(x).argmax(1)], {}),
    "one-hot integers": (lambda x: np.eye(3, dtype=int)[logits(x).argmax(1)], {}),
    "labels": (lambda x: logits(x).argmax(1), {"classes": 3}),
    "labels (n, 1)": (lambda x: logits(x).argmax(1)[:, None], {"classes": 3}),
    "float labels": (lambda x: logits(x).argmax(1).astype(float), {"classes": 3}),
    "list": (lambda x: logits(x).tolist(), {}),
    "tensor": (lambda x: torch.from_numpy(logits(x)), {}),
    "float32": (lambda x: logits(x).astype(np.float32), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_decisions(form, x):
    function, options = FORMS[form]
    model = settle(wrap(function, **options), x)
    assert model.classes == 3
    assert model.labels(x).tolist() == want(x)
    assert model.labels(x).dtype == torch.int64
    assert (model.scores is None) == ("labels" in form or "one-hot" in form)
    assert model.answer(x).scores.argmax(1).tolist() == want(x)
    assert model.module is None


@pytest.mark.parametrize("form", FORMS)
def test_every_form_can_be_declared(form, x):
    function, options = FORMS[form]
    output = {"log": "log-probabilities", "probabilities": "probabilities"}.get(form)
    output = output or ("labels" if "labels" in form or "one-hot" in form else "logits")
    model = settle(wrap(function, output=output, **options), x)
    assert model.labels(x).tolist() == want(x)


def test_log_probabilities_of_zero_are_floored(x):
    hard = lambda x: np.where(probabilities(x) > 0.4, probabilities(x), 0)  # noqa: E731
    model = settle(wrap(hard, output="probabilities"), x)
    assert torch.isfinite(model.scores(x)).all()
    logs = lambda x: np.log(np.maximum(hard(x), 1e-320) * (hard(x) > 0))  # noqa: E731
    with np.errstate(divide="ignore"):
        assert torch.isfinite(settle(wrap(logs, output="log-probabilities"), x).scores(x)).all()


def test_one_column_of_scores(x):
    model = settle(wrap(lambda x: logits(x)[:, 0]), x)
    assert model.labels(x).tolist() == (logits(x.numpy())[:, 0] > 0).astype(int).tolist()


@pytest.mark.parametrize("column", [lambda x: probabilities(x)[:, 0], lambda x: (logits(x)[:, 0] > 0).astype(float)])
def test_b09_a_column_between_zero_and_one_is_refused(column, x):
    with pytest.raises(ModelError, match="HF203"):
        settle(wrap(column), x)
    model = settle(wrap(column, output="probabilities"), x)
    assert model.labels(x).tolist() == (column(x.numpy()) > 0.5).astype(int).tolist()


def test_labels_need_the_number_of_classes(x):
    function = FORMS["labels"][0]
    with pytest.raises(ModelError, match="HF210"):
        settle(wrap(function), x)
    assert settle(wrap(function), x, classes=3).classes == 3
    with pytest.raises(ModelError, match="HF210"):
        settle(wrap(function, classes=2), x)


def test_a_wrong_number_of_classes_is_refused(x):
    with pytest.raises(ModelError, match="HF210"):
        settle(wrap(logits, classes=4), x)


def test_b12_the_function_gets_an_array_of_its_own(x):
    def scribbler(x):
        z = logits(x)
        x[:] = 7
        return z

    before = x.clone()
    model = settle(wrap(scribbler), x)
    model.scores(x)
    assert torch.equal(x, before)


def test_the_floating_type_of_the_data_arrives(x):
    seen = []
    settle(wrap(lambda x: seen.append(x.dtype) or logits(x)), x.float())
    assert set(seen) == {np.dtype(np.float32)}


@pytest.mark.parametrize("answer", [lambda x: ["cat"] * len(x), lambda x: None, lambda x: logits(x)[:1], lambda x: 1.0])
def test_answers_that_are_no_scores_are_refused(answer, x):
    with pytest.raises(ModelError, match="HF204"):
        settle(wrap(answer), x)


@pytest.mark.parametrize("thing", [7, "digits-mlp", None, dict])
def test_things_that_are_no_models_are_refused(thing):
    with pytest.raises(ModelError, match="HF207"):
        wrap(thing)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="HF207"):
        wrap(logits, mean=0.5)
    with pytest.raises(ModelError, match="HF204"):
        wrap(logits, output="scores")
