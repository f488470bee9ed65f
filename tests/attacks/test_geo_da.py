"""GeoDA: the ray along the normal, how queries are shared out, decisions alone."""

import math

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.geo_da import GeoDa
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.models.wrap import wrap
from holdfast.threats.goals import Wrong
from holdfast.threats.threats import L2, Linf
from laws.oracles import balanced, corners, linear, nearest, weights


def test_the_first_point_along_the_normal_that_reaches_the_goal():
    """<w, x> = 4 from 3, along w / |w| = (0.6, 0.8): 5 r = 1; tried at 0.8, 1, 1.25, ... of 0.15, so at 0.234."""
    model = linear(torch.tensor([[3.0, 4.0]], dtype=torch.float64), -4.0)
    x0 = torch.full((1, 2), 3 / 7, dtype=torch.float64)
    draw, y = Draw(0, "test", [0], x0), torch.zeros(1, dtype=torch.long)
    probe = Probe(model, x0, Wrong(y), L2().around(x0), draw, stop=False)
    g = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    found = GeoDa()._bracket(probe, torch.ones_like(x0), torch.tensor([0.15], dtype=torch.float64), g)
    assert found[0].tolist() == pytest.approx((x0 + 0.15 * 0.8 * 1.25**3 * g)[0].tolist())
    assert int(probe.queries) == 4
    none = GeoDa()._bracket(probe, torch.ones_like(x0), torch.tensor([0.15], dtype=torch.float64), -g)
    assert none[0].tolist() == [1.0, 1.0]


def test_each_estimate_takes_more_decisions():
    attack = GeoDa(samples=10, growth=2.0, most=50)
    assert [attack._count(i) for i in range(5)] == [10, 20, 40, 50, 50]


@pytest.mark.parametrize("threat", [L2(), Linf()], ids=str)
def test_near_the_nearest_on_a_plane(threat):
    x, w = corners(8, 24), weights(1, 24)
    model = linear(w, balanced(w, x))
    y, z = model.labels(x), model.scores(x)[:, 1]
    out = run(GeoDa(steps=8), model, x, y, threat)
    for i in range(8):
        v = w[0].numpy() * (1 if y[i] == 1 else -1)
        least = nearest(v, x[i].numpy(), abs(z[i].item()), threat.p)
        assert out.distance(threat.norm)[i].item() <= 1.15 * least


def test_a_plain_function_of_labels_is_enough():
    x = np.full((5, 12), 0.25)

    def predict(batch):
        return (batch.sum(1) > 4).astype(np.int64)

    out = run(GeoDa(), wrap(predict, bounds=(0, 1), classes=2), x, predict(x), L2(queries=1500))
    assert np.allclose(out.distance("l2"), 1 / math.sqrt(12), rtol=0.02)
    assert (out.queries == 1500).all()
