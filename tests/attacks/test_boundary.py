"""The boundary attack: where its proposals lie, its step lengths, decisions alone."""

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.boundary import Boundary, adapted
from holdfast.attacks.run import run
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box
from holdfast.threats.threats import L2
from laws.oracles import balanced, corners, linear, nearest, torch_model, weights


def test_proposals_lie_on_the_sphere_and_then_nearer():
    """All outside a ball of radius 3 reaches the goal: steps around keep the distance, those toward 0.7 of it."""
    seen = []

    def scores(z):
        seen.append(z.detach().clone())
        return z.norm(dim=1, keepdim=True) - 3.0

    x = torch.zeros(4, 6, dtype=torch.float64)
    attack = Boundary(steps=1, around=0.2, toward=0.3)
    run(attack, torch_model(scores, 2, Box((-9.0, 9.0))), x, torch.zeros(4).long(), L2())
    y, z = seen[-3], seen[-2]  # the last question is the verification's
    before = torch.stack([p.norm(dim=1) for p in seen[:-3] if len(p) == 4])
    assert torch.allclose(y.norm(dim=1), torch.where(before > 3, before, 99.0).amin(0))
    assert torch.allclose(z, 0.7 * y)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_lengths_rest_where_the_share_of_steps_works(share):
    g, length = torch.Generator().manual_seed(0), torch.full((200,), 0.01)
    for _ in range(400):
        length = adapted(length, torch.rand(200, generator=g) < torch.exp(-3 * length), share)
    chance = torch.exp(-3 * length).mean().item()
    assert chance == pytest.approx(share, abs=0.05)


def test_it_comes_near_the_nearest_point_of_a_plane():
    x, w = corners(8, 12), weights(1, 12)
    model = linear(w, balanced(w, x))
    y, z = model.labels(x), model.scores(x)[:, 1]
    out = run(Boundary(steps=600), model, x, y, L2())
    for i in range(8):
        v = w[0].numpy() * (1 if y[i] == 1 else -1)
        assert out.distance("l2")[i].item() <= 1.05 * nearest(v, x[i].numpy(), abs(z[i].item()), 2.0)


def test_a_plain_function_of_labels_is_enough():
    x = np.full((5, 4), 0.25)

    def predict(batch):
        return (batch.sum(1) > 2).astype(np.int64)

    out = run(Boundary(), wrap(predict, bounds=(0, 1), classes=2), x, predict(x), L2(queries=1500))
    assert out.success.all()
    assert np.allclose(out.distance("l2"), 0.5, atol=0.01)
    assert (out.queries == 1500).all()


def test_rows_already_wrong_stay_where_they_are():
    model, x = linear(weights(3, 12)), corners(6, 12)
    y = (model.labels(x) + 1) % 3
    out = run(Boundary(steps=5), model, x, y, L2(2.0), perturb=True)
    assert out.status == ("wrong",) * 6
    assert out.strongest.isfinite().all()
