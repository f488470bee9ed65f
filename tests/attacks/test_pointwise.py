"""Pointwise: what is left cannot be taken back, one value costs one query, decisions alone."""

import numpy as np
import torch

from holdfast.attacks.evasion.pointwise import Pointwise
from holdfast.attacks.run import run
from holdfast.models.wrap import wrap
from holdfast.threats.goals import Target
from holdfast.threats.threats import L0
from laws.oracles import setting, torch_model


def test_no_value_that_is_left_can_be_taken_back():
    model, x, y = setting(shape=(20,))
    out = run(Pointwise(restarts=1), model, x, y, L0())
    assert out.success.all()
    for a, b, label in zip(out.adversarial, x, y, strict=True):
        for j in (a != b).nonzero()[:, 0]:
            back = a.clone()
            back[j] = b[j]
            assert model.labels(back[None])[0] == label


def test_equal_values_leave_as_few_as_needed():
    """The goal is more than 3 of 10 values up: whatever the order, 4 are left."""
    model = torch_model(lambda z: (z > 0.9).double().sum(1, keepdim=True) - 3.5, 2)
    x = torch.full((6, 10), 0.5, dtype=torch.float64)
    out = run(Pointwise(), model, x, torch.zeros(6).long(), L0())
    assert (out.distance("l0") == 4).all()
    assert (out.queries <= 10 * (100 + 2 * 10)).all()


def test_a_goal_that_no_noise_reaches_ends_after_the_tries():
    model = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    out = run(Pointwise(tries=7), model, torch.rand(4, 5).double(), Target(torch.ones(4).long()), L0())
    assert out.status == ("unbroken",) * 4
    assert (out.queries == 7).all()


def test_a_plain_function_of_labels_is_enough():
    x = np.full((5, 12), 0.25)

    def predict(batch):
        return (batch.sum(1) > 4.4).astype(np.int64)

    out = run(Pointwise(), wrap(predict, bounds=(0, 1), classes=2), x, predict(x), L0(queries=300))
    assert (out.distance("l0") <= 5).all()
