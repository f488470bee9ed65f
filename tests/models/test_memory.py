"""Answers that are remembered: no row is paid twice, budgets and results stay."""

import math

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import holdfast as hf
from holdfast.attacks import HopSkipJumpTable, Square
from holdfast.core.errors import ModelError
from holdfast.defenses import BitDepth
from holdfast.models import memory
from holdfast.models.direction import toward
from holdfast.models.settle import settle
from holdfast.models.spending import Spent, remembers, rows_left, spent, unremembered


def fitted():
    draw = np.random.default_rng(0)
    x = draw.random((200, 4)).round(1)
    return RandomForestClassifier(8, max_depth=4, random_state=0).fit(x, (x.sum(1) > 2).astype(int)), torch.from_numpy(
        x
    )


class Counted:
    """A function that keeps the rows it was asked about."""

    def __init__(self, answer):
        self.answer, self.rows = answer, []

    def __call__(self, x):
        rows = x.to_numpy() if hasattr(x, "to_numpy") else x
        self.rows += [row.tobytes() for row in np.ascontiguousarray(rows)]
        return self.answer(rows)


@pytest.mark.parametrize(
    "literal", ["linf:0.2,knowledge=scores,queries=60", "table:linf=inf,knowledge=labels,queries=90"]
)
def test_no_row_is_asked_twice_and_nothing_else_changes(literal):
    made, x = fitted()
    schema = hf.Schema(tuple(hf.Feature(name, low=0, high=1, step=0.1) for name in "abcd"), classes=("no", "yes"))
    space = schema if literal.startswith("table") else (0, 1)
    attack = HopSkipJumpTable(steps=2) if literal.startswith("table") else Square(steps=60)
    plain, kept = Counted(made.predict_proba), Counted(made.predict_proba)
    y = torch.from_numpy(made.predict(x.numpy()))[:8]
    models = [settle(hf.wrap(each, space, remember=each is kept), x[:8]) for each in (plain, kept)]
    plain.rows, kept.rows = [], []  # what the first look costs
    first, second = (hf.run(attack, model, x[:8], y, literal) for model in models)
    assert first.status == second.status
    assert torch.equal(first.adversarial, second.adversarial)
    assert torch.equal(first.queries, second.queries), "a budget counts what is asked, remembered or not"
    assert len(plain.rows) > len(set(plain.rows)), "else there is nothing to save"
    assert len(kept.rows) == len(set(kept.rows))
    assert set(kept.rows) == set(plain.rows)
    assert spent(models[0]) == Spent(0, 0)
    assert spent(models[1]) == Spent(len(kept.rows), len(plain.rows) - len(kept.rows))


def test_a_function_that_draws_random_numbers_is_not_remembered():
    draw = np.random.default_rng(0)

    def waver(x):
        return np.stack([x[:, 0], draw.random(len(x))], 1)

    counted = Counted(waver)
    model = settle(hf.wrap(counted, (0, 1), output="logits", remember=True), torch.rand(8, 2).double())
    assert model.random
    x = torch.rand(3, 2).double()
    before = len(counted.rows)
    assert not torch.equal(model.scores(x), model.scores(x))
    assert len(counted.rows) == before + 6


def test_estimators_remember_beside_a_threshold_and_old_answers_go(monkeypatch):
    made, x = fitted()
    monkeypatch.setattr(memory, "REMEMBERED", 50)
    model = settle(hf.wrap(made, (0, 1), remember=True, threshold=0.3), x)
    want = torch.from_numpy(made.predict_proba(x.numpy())[:, 1] >= 0.3).long()
    for _ in range(2):
        assert torch.equal(model.predict(x), want)


def test_models_with_gradients_are_refused():
    made, x = fitted()
    with pytest.raises(ModelError, match="HF207 remember= is for functions"):
        hf.wrap(LogisticRegression().fit(x.numpy(), made.predict(x.numpy())), (0, 1), remember=True)


def test_what_was_remembered_is_gone_when_the_weights_have_changed():
    x, sign = torch.rand(40, 2, dtype=torch.float64), [1.0]
    model = hf.wrap(lambda rows: sign[0] * (rows - rows[:, ::-1]), (0, 1), output="logits", remember=True)
    y = (x[:, 1] > x[:, 0]).long()
    for _ in range(2):
        assert torch.equal(model.predict(x), (y if sign[0] > 0 else 1 - y)), "nothing is remembered before an audit"
        found = hf.run(Square(steps=5), model, x, y, "linf:0.001,knowledge=scores,queries=5")
        assert {"wrong"} == set(found.status) if sign[0] < 0 else "wrong" not in found.status
        sign[0] = -1.0


def test_a_function_whose_answers_hang_on_the_company_of_a_row_is_not_remembered():
    def centered(rows):
        return (rows - rows.mean(0)) @ np.array([[1.0, -1.0], [0.5, 0.0]])

    x = torch.rand(32, 2, dtype=torch.float64)
    plain, model = (
        settle(hf.wrap(centered, (0, 1), output="logits", remember=remember), x) for remember in (False, True)
    )
    assert model.noise == plain.noise > 0
    assert model.notes == plain.notes
    assert torch.equal(model.scores(x[:1]), torch.zeros(1, 2).double()), "alone it is its own mean"


def test_what_was_asked_is_seen_behind_stages_and_in_one_direction():
    x, counted = torch.rand(40, 4, dtype=torch.float64), Counted(lambda rows: rows[:, :3])
    model = settle(hf.wrap(counted, (0, 1), output="logits", remember=True), x)
    for made in (toward(model, [1]), model | BitDepth(bits=3), toward(model | BitDepth(bits=2), [0, 2])):
        assert remembers(made)
        assert rows_left(made) == math.inf
        answers, before, asked = made.predict(x), spent(made), len(counted.rows)
        assert torch.equal(made.predict(x), answers)
        assert (spent(made) - before, len(counted.rows)) == (Spent(0, 40), asked)
        assert torch.equal(unremembered(made).predict(x), answers)
        assert (spent(made) - before, len(counted.rows)) == (Spent(40, 40), asked + 40)


def test_without_its_memory_a_model_is_asked_anew_and_all_else_is_as_it_was():
    x = torch.rand(40, 4, dtype=torch.float64)
    for labels in (False, True):
        counted = Counted((lambda rows: rows[:, :3].argmax(1)) if labels else (lambda rows: rows[:, :3]))
        one, vote = hf.wrap(counted, (0, 1), classes=3, remember=True), "labels" if labels else "logits"
        several = hf.wrap([counted, counted], (0, 1), classes=3, vote=vote, remember=True)
        for wrapped in (one, several):
            model = settle(wrapped, x)
            assert torch.equal(model.predict(x), unremembered(model).predict(x))
            before = len(counted.rows)
            assert torch.equal(model.predict(x), unremembered(model).predict(x))
            assert len(counted.rows) == before + (1 if wrapped is one else 2) * len(x)
            assert (unremembered(model).scores is None) is labels
        assert spent(settle(hf.wrap(counted, (0, 1), classes=3, remember=False), x)) == Spent()
