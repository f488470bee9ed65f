"""Sign-OPT: the slope from decisions, the distance along a direction, decisions alone."""

import math

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.sign_opt import SignOpt
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.models.wrap import wrap
from holdfast.threats.goals import Wrong
from holdfast.threats.threats import L2
from laws.oracles import linear, weights


def probe_of(model, x):
    draw = Draw(0, "test", list(range(len(x))), x)
    return Probe(model, x, Wrong(torch.zeros(len(x), dtype=torch.long)), L2().around(x), draw, stop=False)


def test_the_slope_turns_the_direction_toward_the_normal():
    """On a plane the distance along e is c / <w, e>: it falls fastest along what is left of w beside e."""
    w = weights(1, 30)[0]
    w, x = w / w.norm(), torch.full((4, 30), 0.5, dtype=torch.float64)
    model = linear(w[None], -float(w.sum()) / 2 - 0.1)
    v = torch.eye(30, dtype=torch.float64)[0]
    e = (w + v) / (w + v).norm()
    e, far = e.expand(4, 30), torch.full((4,), 0.1 / float(e @ w), dtype=torch.float64)
    g = SignOpt(samples=2000, spread=0.01)._slope(probe_of(model, x), e, far)
    best = w - (e[0] @ w) * e[0]
    assert (g @ best / best.norm() > 0.9).all()


def test_the_distance_along_a_direction_by_hand():
    """<w, x> = 0.5 along the first axis; from 0.55 it is shorter, from 0.9 cut at 0.8 of it, from 0.4 it is not."""
    x = torch.zeros(3, 2, dtype=torch.float64)
    model = linear(torch.tensor([[1.0, 0.0]], dtype=torch.float64), -0.5)
    e = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(3, 2)
    far = torch.tensor([0.55, 0.9, 0.4], dtype=torch.float64)
    probe = probe_of(model, x)
    shorter, hit = SignOpt()._distance(probe, e, far, torch.ones(3, dtype=torch.bool))
    assert hit.tolist() == [True, True, False]
    assert shorter[:2].tolist() == pytest.approx([0.5, 0.72], abs=0.55 * 0.2 / 2**5)
    assert shorter[0] > 0.5
    assert probe.queries.tolist() == [7, 2, 1]


def test_a_plain_function_of_labels_is_enough():
    x = np.full((5, 12), 0.25)

    def predict(batch):
        return (batch.sum(1) > 4).astype(np.int64)

    out = run(SignOpt(), wrap(predict, bounds=(0, 1), classes=2), x, predict(x), L2(queries=1500))
    assert np.allclose(out.distance("l2"), 1 / math.sqrt(12), rtol=0.02)
    assert (out.queries == 1500).all()


def test_rows_already_wrong_stay_finite():
    model, x = linear(weights(3, 12)), torch.rand(4, 12, generator=torch.Generator().manual_seed(0)).double()
    out = run(SignOpt(steps=3), model, x, (model.labels(x) + 1) % 3, L2(1.0), perturb=True)
    assert out.status == ("wrong",) * 4
    assert out.strongest.isfinite().all()
