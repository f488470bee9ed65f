"""HopSkipJump: its estimate of the normal, its starts, its budget."""

import math

import pytest
import torch

from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.attacks.starts import normal
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Target, Wrong
from holdfast.threats.threats import L2, Linf
from laws.oracles import balanced, corners, linear, nearest, torch_model, weights


@pytest.mark.parametrize(("threat", "least"), [(L2(), 0.9), (Linf(), 0.6)], ids=str)
def test_the_estimate_points_along_the_normal(threat, least):
    """At a point of the boundary, far from the box: cosine with the true normal, 1,000 decisions, 50 dimensions."""
    w = weights(1, 50)
    x = torch.full((6, 50), 0.5, dtype=torch.float64)
    model = linear(w, -0.5 * w.sum())
    y = torch.zeros(6, dtype=torch.long)
    probe = Probe(model, x, Wrong(y), threat.around(x), Draw(0, "test", list(range(6)), x), stop=False)
    g = normal(probe, x, torch.full((6,), 0.01, dtype=torch.float64), 1000)
    cosine = (g @ w[0]) / (g.norm(dim=1) * w.norm())
    assert (cosine > least).all()
    assert (probe.queries == 1000).all()


@pytest.mark.parametrize("threat", [L2(), Linf()], ids=str)
def test_near_the_nearest_on_a_plane(threat):
    x, w = corners(8, 24), weights(1, 24)
    model = linear(w, balanced(w, x))
    y, z = model.labels(x), model.scores(x)[:, 1]
    out = run(HopSkipJump(steps=12, samples=50), model, x, y, threat)
    for i in range(8):
        v = w[0].numpy() * (1 if y[i] == 1 else -1)
        assert out.distance(threat.norm)[i].item() <= 1.1 * nearest(v, x[i].numpy(), abs(z[i].item()), threat.p)


def test_rows_already_wrong_make_no_numbers_that_are_none():
    """Distance zero to the boundary: perturb takes such rows along to the end."""
    model, x = linear(weights(3, 12)), corners(6, 12)
    y = model.labels(x)
    y[:3] = (y[:3] + 1) % 3
    for perturb in (False, True):
        out = run(HopSkipJump(steps=4), model, x, y, L2(2.0), perturb=perturb)
        assert out.status[:3] == ("wrong",) * 3
        assert out.strongest.isfinite().all()
        assert out.adversarial.isfinite().all()


def test_a_goal_that_no_noise_reaches_ends_after_the_tries():
    model = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    out = run(HopSkipJump(tries=7), model, corners(4, 5), Target(torch.ones(4).long()), L2())
    assert out.status == ("unbroken",) * 4
    assert (out.queries == 7).all()


def test_more_queries_come_nearer():
    w = torch.randn(2, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def scores(z):
        z = z - 0.5
        return torch.stack([z.new_full((len(z),), 1.5), z.square().sum(1) + (z @ w[0].to(z)).tanh()], 1)

    model, x = torch_model(scores, 2), 0.5 + 0.05 * torch.randn(6, 40, generator=torch.Generator().manual_seed(4))
    x = x.double().clamp(0, 1)
    y = model.labels(x)
    medians = [run(HopSkipJump(), model, x, y, L2(queries=q)).distance("l2").median().item() for q in (200, 1000, 5000)]
    assert medians[0] > medians[1] > medians[2]
    assert not math.isinf(medians[0])
