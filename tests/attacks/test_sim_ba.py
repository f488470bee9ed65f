"""SimBA: its bases, its order, a step by hand, the projection that keeps it going."""

import pytest
import torch

from holdfast.attacks.evasion.sim_ba import SimBa
from holdfast.attacks.run import run
from holdfast.threats.space import space_of
from holdfast.threats.threats import L2
from laws.oracles import linear, torch_model, weights


def asked_by(attack, model, x, threat):
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    out = run(attack, torch_model(spy, 2, model.space), x, model.labels(x), threat, perturb=True)
    return seen[1:], out


@pytest.mark.parametrize("size", [1, 2, 8, 28])
def test_the_bases_are_orthonormal(size):
    for basis in ("pixel", "dct"):
        waves = SimBa(basis=basis)._waves(size)
        assert torch.allclose(waves @ waves.T, torch.eye(size, dtype=torch.float64), atol=1e-12)
    low = SimBa(basis="dct", share=0.25)._waves(28)
    assert low.shape == (7, 28)
    assert torch.allclose(low[0], torch.full((28,), 28**-0.5, dtype=torch.float64))
    assert [int((row.sign().diff() != 0).sum()) for row in low] == list(range(7))


def test_every_direction_once_forward_then_back_where_that_helps():
    """margin of class 0 is 10 - <w, x>: forward helps where w > 0, back where w < 0, and no direction comes twice."""
    w = torch.tensor([[1.0, -2.0, 4.0]], dtype=torch.float64)
    x = torch.full((1, 3), 0.5, dtype=torch.float64)
    seen, out = asked_by(SimBa(steps=3, step=0.25), linear(w, -10.0), x, L2(0.4))
    moves = [z[0] - x[0] for z in seen]
    assert len(moves) == 1 + 1 + 2 + 1  # the input, and one more question for the direction of weight -2
    assert torch.allclose(out.strongest[0] - x[0], 0.1 * w[0].sign())
    assert int(out.queries) == 5


def test_where_the_length_is_spent_it_trades_coordinates():
    w, x = weights(1, 24), torch.full((4, 24), 0.5, dtype=torch.float64)
    model = linear(w, -0.5 * w.sum() - 100)
    best = 100 - 0.3 * w.norm()
    _, out = asked_by(SimBa(steps=600), model, x, L2(0.3))
    assert ((out.margin - best) / (100 - best) < 0.06).all()


@pytest.mark.parametrize("basis", ["pixel", "dct"])
def test_images_move_in_one_channel_at_a_time(basis):
    x = torch.full((3, 3, 8, 8), 0.5, dtype=torch.float64)
    w = weights(1, 3, 8, 8)
    model = linear(w, -0.5 * w.sum() - 1000, space=space_of(x))
    seen, _ = asked_by(SimBa(steps=20, basis=basis), model, x, L2(0.5))
    d = (seen[1] - x).flatten(2)
    assert ((d != 0).any(2).sum(1) == 1).all()
    assert torch.allclose(d.flatten(1).norm(dim=1), torch.full((3,), 0.05, dtype=torch.float64))
    assert len({tuple(row.tolist()) for row in (d.flatten(1) != 0)}) > (1 if basis == "pixel" else 0)


def test_low_frequencies_only():
    x = torch.full((2, 1, 8, 8), 0.5, dtype=torch.float64)
    model = linear(weights(1, 1, 8, 8), -1000.0, space=space_of(x))
    attack = SimBa(steps=30, basis="dct", share=0.25)
    _, out = asked_by(attack, model, x, L2(0.5))
    full = SimBa(basis="dct")._waves(8)
    spectrum = full @ (out.strongest - x) @ full.T
    assert spectrum[:, :, :2, :2].abs().sum() > 0.1
    spectrum[:, :, :2, :2] = 0
    assert spectrum.abs().max() < 1e-12
