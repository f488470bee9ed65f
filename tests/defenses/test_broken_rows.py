"""Rows that break a model: which search finds them, that none is missed, and rounds on raw rows of a table."""

import dataclasses

import pytest
import torch

import holdfast as hf
from cases.tables import SCHEMA, possible_rows
from cases.training import hints
from holdfast.attacks.evasion.graph_search import GraphSearch
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import DataError, IntegrityError, ThreatError
from holdfast.core.progress import BatchDone, StageDone
from holdfast.defenses.training import _broken, adversarial_rounds
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds


def boosted(data, seed=0):
    return hf.Fit(estimator=boosted_estimator()).fit(data, seed)


def boosted_estimator():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=10)


def test_trees_break_by_the_exact_search_and_none_is_missed():
    data = hints(200)
    model = boosted(data)
    won, x = _broken.broken(model, data, hf.Linf(0.05))
    exact = hf.exact_distance(model, data.x, data.y)
    assert torch.equal(won, ((exact.distance > 0) & (exact.distance <= 0.05)).nonzero()[:, 0])
    assert 0 < len(won) < 200
    assert (model.predict(x) != data.y[won]).all()
    assert ((x - data.x[won]).abs() <= 0.05 + 1e-7).all()
    near = _broken._margin(model, exact.witness[won], data.y[won])
    far = _broken._margin(model, x, data.y[won])
    assert (far <= near).all()
    assert (far < near).any()


def test_models_without_trees_and_threats_that_hide_them_take_another_attack():
    from sklearn.linear_model import LogisticRegression

    data = hints(40)
    linear = hf.Fit(estimator=LogisticRegression()).fit(data)
    trees = boosted(data)
    assert _broken.exactly(trees, hf.Linf(0.1))
    assert not any(_broken.exactly(trees, t) for t in (hf.L2(0.1), hf.Linf(0.1, knowledge="labels"), hf.Linf()))
    assert isinstance(_broken.best(linear, hf.Linf(0.1)), Pgd)
    assert isinstance(_broken.best(trees, hf.Linf(0.1, knowledge="labels")), HopSkipJump)
    assert isinstance(_broken.best(trees, hf.Table(features=1)), GraphSearch)


def table():
    """Possible rows of every kind of column, labeled by two of them."""
    x = possible_rows()[::9]
    y = (x[:, 0] + 2 * x[:, 3] > 3).long()
    return hf.Dataset(x, y, schema=SCHEMA, classes=("bad", "good"))


def pipeline():
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.tree import DecisionTreeClassifier

    coded = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["grade", "job"]), remainder="passthrough")
    return hf.Fit(estimator=make_pipeline(coded, DecisionTreeClassifier(max_depth=4)))


def test_rounds_learn_from_possible_rows_of_one_class_through_a_pipeline(monkeypatch):
    monkeypatch.setattr(_broken, "PIECE", 16)
    data, notes = table(), []
    rounds = AdversarialRounds(of=pipeline(), threat=hf.Table(features=1), rounds=1, samples=40, source="bad")
    assert pipeline().fit(data).trees is None
    won, x = _broken.broken(pipeline().fit(data), data.take(data.y == 0), hf.Table(features=1))
    assert SCHEMA.validate(x, data.take(data.y == 0).x[won]).valid.all()
    model = rounds.fit(data, 0, notes.append)
    assert [(e.stage, e.total, e.broken > 0) for e in notes if isinstance(e, StageDone)] == [("round 1", 40, True)]
    assert [(e.stage, e.done, e.total) for e in notes if isinstance(e, BatchDone)] == [
        ("round 1", 16, 40),
        ("round 1", 32, 40),
    ]
    hard, _ = _broken.broken(model, data.take(data.y == 0), hf.Table(features=1))
    assert len(hard) < len(won)


def test_a_ball_on_a_table_and_a_class_that_is_none_are_one_line():
    data = table()
    with pytest.raises(ThreatError, match="^HF307 "):
        AdversarialRounds(of=pipeline(), threat=hf.Linf(0.1), rounds=1).fit(data)
    with pytest.raises(DataError, match="^HF154 "):
        AdversarialRounds(of=pipeline(), threat=hf.Table(features=1), rounds=1, source="evil").fit(data)


def test_rounds_that_are_kept_are_not_made_again(tmp_path, monkeypatch):
    data, asked = hints(120), []
    of = hf.Fit(estimator=boosted_estimator())
    rounds = AdversarialRounds(of=of, threat=hf.Linf(0.05), rounds=2, samples=30, checkpoint=str(tmp_path / "kept"))
    first = rounds.fit(data)
    plain = dataclasses.replace(rounds, checkpoint="").fit(data)
    assert torch.equal(first.scores(data.x), plain.scores(data.x))
    made = adversarial_rounds.broken
    monkeypatch.setattr(adversarial_rounds, "broken", lambda *a: asked.append(1) or made(*a))
    again = rounds.fit(data)
    assert asked == []
    assert torch.equal(first.scores(data.x), again.scores(data.x))
    more = dataclasses.replace(rounds, rounds=3).fit(data)
    assert asked == [1], "more rounds go on from those that are there"
    assert torch.equal(
        more.scores(data.x), dataclasses.replace(rounds, rounds=3, checkpoint="").fit(data).scores(data.x)
    )
    rounds.fit(data, seed=1)
    assert len(asked) > 2, "another seed begins anew"
    file = sorted((tmp_path / "kept").glob("*.npz"))[0]
    file.write_bytes(b"torn")
    with pytest.raises(IntegrityError, match="^HF418 "):
        rounds.fit(data), rounds.fit(data, seed=1)
