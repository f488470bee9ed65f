"""SurFree: its circle, its planes, decisions alone."""

import math

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.sur_free import SurFree, around
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.models.wrap import wrap
from holdfast.threats.goals import Wrong
from holdfast.threats.space import Box
from holdfast.threats.threats import L2
from laws.oracles import linear, setting, torch_model, weights


def probe_of(model, x):
    draw = Draw(0, "test", list(range(len(x))), x)
    y = torch.zeros(len(x), dtype=torch.long)
    return Probe(model, x, Wrong(y), L2().around(x, Box((-9.0, 9.0))), draw, stop=False)


def test_the_circle_over_the_segment():
    """Angle 0 is x; every point sees the segment under a right angle; toward v at a right angle lies the input."""
    w, x0 = weights(1, 5), torch.zeros(1, 5, dtype=torch.float64)
    x, v = torch.tensor([[2.0, 0, 0, 0, 0]]).double(), torch.tensor([[0, 1.0, 0, 0, 0]]).double()
    probe = probe_of(linear(w, -99.0), x0)
    for angle in (0.0, 0.3, -0.3, 1.2):
        z = around(probe, x, v, torch.tensor([angle], dtype=torch.float64))
        assert z[0].tolist() == pytest.approx(
            [2 * math.cos(angle) ** 2, 2 * math.cos(angle) * math.sin(angle), 0, 0, 0]
        )
        assert float((z * (z - x)).sum()) == pytest.approx(0, abs=1e-12)
    assert around(probe, x, v, torch.tensor([math.pi / 2], dtype=torch.float64)).norm() < 1e-12


def test_the_nearest_point_of_a_plane_within_the_first_plane_turned():
    """In two dimensions there is one plane: the nearest point of a line is on the circle, and the steps lead there."""
    w = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    model, x = linear(w, -5.0), torch.zeros(1, 2, dtype=torch.float64)
    wide = torch_model(model.module, 2, Box((-9.0, 9.0)))
    out = run(SurFree(steps=300, halvings=12), wide, x, torch.zeros(1).long(), L2())
    assert out.distance("l2").item() == pytest.approx(math.sqrt(5), rel=1e-4)


def test_directions_are_orthogonal_to_the_last_ones(monkeypatch):
    seen = []

    def spy(self, probe, x, v, widest):
        seen.append(v[0].clone())
        return x, torch.zeros_like(probe.alive)

    monkeypatch.setattr(SurFree, "_turn", spy)
    model, x, y = setting(n=1)
    run(SurFree(steps=30, past=4), model, x, y, L2())
    v = torch.stack(seen)
    gram = (v @ v.T).abs()
    for i in range(4, 30):
        assert gram[i, i - 4 : i].max() < 1e-9
    assert gram[10, :6].max() > 1e-3


def test_a_plain_function_of_labels_is_enough():
    x = np.full((5, 12), 0.25)

    def predict(batch):
        return (batch.sum(1) > 4).astype(np.int64)

    out = run(SurFree(), wrap(predict, bounds=(0, 1), classes=2), x, predict(x), L2(queries=600))
    assert out.success.all()
    assert np.allclose(out.distance("l2"), 1 / math.sqrt(12), rtol=0.02)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_few_dimensions(size):
    model, x, y = setting(shape=(size,), n=4)
    out = run(SurFree(steps=20), model, x, y, L2(queries=80))
    assert out.strongest.isfinite().all()
