"""Suites on tree ensembles: they walk over the leaves first, and say why where they do not."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

import holdfast as hf
from holdfast.evaluation import suites
from holdfast.evaluation.suites import adapted, describe, resolve
from holdfast.models.settle import settle
from holdfast.threats.literals import parse


@pytest.fixture(scope="module")
def forest():
    x = np.random.default_rng(0).random((200, 4))
    made = RandomForestClassifier(6, max_depth=4, random_state=0).fit(x, (x.sum(1) > 2).astype(int))
    return settle(hf.wrap(made, (0, 1)), torch.from_numpy(x)), torch.from_numpy(x[:40])


@pytest.mark.parametrize(
    ("suite", "literal", "expected"),
    [
        ("quick", "linf:0.1", ["leaf_tuple(restarts=3)", "square(steps=200)"]),
        ("frugal", "l2:0.1", ["leaf_tuple(restarts=5)", "square(steps=2000, hope=4.0)"]),
        ("standard", "linf:0.1", ["leaf_tuple", "square"]),
        ("quick", "l0:1", ["leaf_tuple(restarts=3)"]),
        ("quick", "l2:inf", ["leaf_tuple(restarts=3)", "hop_skip_jump(steps=5)"]),
        ("quick", "linf:0.1,knowledge=scores", ["square(steps=200)"]),
        ("quick", "linf:0.1,knowledge=labels", ["hop_skip_jump(steps=5)"]),
    ],
)
def test_walks_come_before_what_asks_the_model(suite, literal, expected, forest):
    threat = parse(literal)
    found = adapted(resolve(suite), forest[0].seen_as(threat.knowledge), [threat])
    assert [describe(a) for a in found.serving(threat).attacks] == expected


def test_too_many_leaves_and_arrays_that_cannot_be_read_are_told(forest, monkeypatch):
    model, threat = forest[0], parse("linf:0.1")
    monkeypatch.setattr(suites, "LEAVES", 5)
    found = adapted(resolve("quick"), model, [threat])
    assert [describe(a) for a in found.serving(threat).attacks] == ["square(steps=200)"]
    assert "No walk over leaves (leaf_tuple(restarts=3)): " in found.note

    def unreadable():
        raise hf.ModelError("HF270", "This is not read", seen="linear trees")

    assert "HF270" in adapted(resolve("quick"), dataclasses.replace(model, trees=unreadable), [threat]).note


def test_an_audit_leaves_no_more_than_is_exactly_robust_and_hardly_more(forest):
    model, x = forest
    y = model.predict(x)
    run = hf.audit(model, (x, y), threat="linf:0.05", suite="quick")
    held = int((hf.exact_distance(model, x, y).distance > 0.05).sum())
    assert held <= run.empirical_robust_accuracy.k <= held + 2
    assert run.summary.threats[0].attacks[0].name == "leaf_tuple"


def test_arrays_that_do_not_answer_as_the_model_are_told_and_no_row_becomes_an_error(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.random((60, 2))
    y = (x[:, 0] > 0.5).astype(int)
    model = hf.wrap(DecisionTreeClassifier(max_depth=3, random_state=0).fit(x, y), (0, 1))
    right = model.trees()
    wrong = dataclasses.replace(model, trees=lambda: dataclasses.replace(right, values=right.values[:, ::-1]))
    data = hf.Dataset(torch.from_numpy(x[:16]), torch.from_numpy(y[:16]), bounds=(0, 1))
    found = hf.audit(wrong, data, threat="linf:0.1", suite="quick", out=tmp_path / "named").summary
    told = (tmp_path / "named" / "summary.json").read_text()
    assert "No walk over leaves (leaf_tuple(restarts=3)): HF272" in told
    assert not any(a.name.startswith("LeafTuple") for t in found.threats for a in t.attacks)
    with pytest.raises(hf.ModelError, match="^HF272"):
        hf.audit(wrong, data, threat="linf:0.1", suite="leaf_tuple", out=tmp_path / "alone")
