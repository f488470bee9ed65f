"""EAD: two steps of FISTA by hand, sparse moves, the L1 optimum, goals that nothing reaches."""

import math

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.ead import Ead
from holdfast.attacks.run import run
from holdfast.threats.space import Box
from holdfast.threats.threats import L1
from laws.oracles import corners, linear, nearest, torch_model, weights


def test_two_steps_by_hand():
    """In a box of width 4: a gradient step at y, the shrinkage, the box, the momentum."""
    w, b, c = np.array([3.0, -2.0, 0.5]), -6.0, 2.0
    model = linear(torch.from_numpy(np.stack([0 * w, w])), torch.tensor([0.0, b]), space=Box((-2.0, 2.0)))
    seen = []

    def spy(z):
        seen.append(z.detach().numpy().copy())
        return model.module(z)

    start = np.array([0.25, -1.9, 0.5])
    attack = Ead(steps=2, searches=1, step=0.8, beta=0.5, constant=c)
    run(attack, torch_model(spy, 2, model.space), torch.from_numpy(start)[None], torch.tensor([0]), L1())
    short, peak, square = -(w @ start + b), 4 * 3.0, 16 * (w @ w)
    c = c * (0.5 / peak + 2 * short / square)
    reach = short / 3 / 4  # the heaviest value alone
    x = y = start
    asked = []
    for i in range(2):
        asked.append(y)
        rate = 0.8 * reach / (c * peak) * math.sqrt(1 - i / 2)
        u = (y - start) / 4
        u = u - rate * (2 * u - c * 4 * w * (w @ y + b <= 0))
        u = np.sign(u) * np.maximum(np.abs(u) - rate * 0.5, 0)
        before, x = x, np.clip(start + 4 * u, -2, 2)
        y = np.clip(x + i / (i + 3) * (x - before), -2, 2)
        asked.append(x)
    got = np.concatenate(seen)[2:6]
    assert got.shape == (4, 3)
    assert np.allclose(got, asked)
    assert got[1][2] == start[2], "the lightest value is shrunk back to where it was"


@pytest.mark.parametrize("beta", [10.0, 0.0])
def test_beta_decides_how_sparse(beta):
    """With weight on the L1 length only the heaviest values move; without it all do."""
    x, w = corners(8, 24), weights(1, 24)
    model = linear(w, -(x @ w.T).mean() - 3.0)
    y = model.labels(x)
    out = run(Ead(beta=beta), model, x, y, L1())
    assert out.success.all()
    signs = torch.where(y == 1, 1.0, -1.0).double()[:, None] * w
    score = model.scores(x)[:, 1].abs()
    best = torch.tensor([nearest(s.numpy(), a.numpy(), float(z), 1) for s, a, z in zip(signs, x, score, strict=True)])
    ratio, changed = (out.distance("l1") / best).max(), (out.adversarial != x).sum(1).double().mean()
    if beta:
        assert ratio < 1.02
        assert changed < 8
    else:
        assert ratio > 1.05
        assert changed > 12


def test_confidence_is_kept_by_the_strongest_point():
    x, w = corners(6, 12), weights(1, 12)
    model = linear(w, -(x @ w.T).mean())
    y = model.labels(x)
    out = run(Ead(confidence=2.0), model, x, y, L1(), perturb=True)
    assert (out.margin < -2.0).all()


def test_a_flat_model_ends_unbroken():
    flat = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z) + 0 * z.sum(1, keepdim=True), 2)
    out = run(Ead(steps=5, searches=3), flat, corners(3, 5), torch.zeros(3, dtype=torch.long), L1())
    assert set(out.status) == {"unbroken"}
    assert torch.isfinite(out.strongest).all()
