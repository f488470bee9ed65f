"""Laws of hardened learners: they repeat, resume, leave everything as it was, and their models withstand more."""

import dataclasses
import functools
import inspect
import random

import numpy as np
import pytest
import torch

import holdfast.defenses
from cases.learners import HARDENED, LEARNERS
from cases.training import hints
from holdfast.attacks.run import run
from holdfast.core.errors import Stop
from holdfast.core.progress import BatchDone
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train

hardened = pytest.mark.parametrize("case", HARDENED, ids=str)
TEST = hints(120, seed=9)


@functools.cache
def learned(kind, text, seed=0):
    """The model of a learner, by its text: laws of one learner share it."""
    return LEARNER[text].fit(hints(), seed)


LEARNER = {
    repr(one): one
    for case in LEARNERS
    for one in (case.learner, getattr(case, "plain", None), case.off)
    if one is not None
}


def model_of(learner, seed=0):
    return learned(type(learner), repr(learner), seed)


def same(first, second):
    """Whether two models have the same numbers, and give the same answers."""
    if first.parameters is not None and second.parameters is not None and first.parameters() != second.parameters():
        return False
    return torch.equal(first.answer(TEST.x).scores, second.answer(TEST.x).scores)


def kept(learner, path):
    """The same learner with a checkpoint in the training it rests on; None where none of it trains."""
    if isinstance(learner, Train):
        return dataclasses.replace(learner, checkpoint=path)
    inner = getattr(learner, "of", None)
    inner = kept(inner, path) if isinstance(inner, Learner) else None
    return None if inner is None else dataclasses.replace(learner, of=inner)


def held(case, model):
    out = run(case.attack, model, TEST.x, TEST.y, case.threat)
    return out.status.count("unbroken") / len(out)


def test_every_learner_of_the_catalog_has_a_row():
    kinds = {getattr(holdfast.defenses, name) for name in holdfast.defenses.__all__}
    learners = {kind for kind in kinds if issubclass(kind, Learner) and not inspect.isabstract(kind)}
    assert learners == {type(case.learner) for case in LEARNERS}


@hardened
def test_the_seed_decides_and_nothing_else_is_touched(case):
    data = hints()
    x, digests = data.x.clone(), data.digests
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    again = case.learner.fit(data, 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    assert torch.equal(data.x, x)
    assert data.digests == digests
    assert same(again, model_of(case.learner))
    assert not same(again, model_of(case.learner, 1))


@hardened
def test_an_interrupted_one_resumes_bit_for_bit(case, tmp_path):
    learner = kept(case.learner, str(tmp_path / "state.pt"))
    if learner is None:
        pytest.skip("nothing of it trains in epochs")

    def stop(event):
        if isinstance(event, BatchDone) and event.stage == "train" and event.done == 2:
            raise Stop

    with pytest.raises(Stop):
        learner.fit(hints(), 0, stop)
    assert same(learner.fit(hints(), 0), model_of(case.learner))


@hardened
def test_switched_off_it_learns_the_bits_of_the_plain_one(case):
    if case.off is None:
        pytest.skip(case.why or "another row of the same class says it")
    assert same(model_of(case.off), model_of(case.plain))
    assert not same(model_of(case.learner), model_of(case.plain))


@hardened
def test_its_model_withstands_more_and_still_answers(case):
    hard, plain = held(case, model_of(case.learner)), held(case, model_of(case.plain))
    assert hard >= plain + case.gain
    right = (model_of(case.learner).predict(TEST.x) == TEST.y).double().mean()
    assert right >= 0.8


@hardened
def test_its_model_is_whole(case):
    model = model_of(case.learner)
    assert model.classes == 2
    assert torch.isfinite(model.answer(TEST.x).scores).all()
    if model.module is not None:
        leaf = TEST.x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model.module(leaf).sum(), leaf)
        assert torch.isfinite(slope).all()
