"""Noise: the control's rate is the share of the region that is wrong."""

import torch

from holdfast.attacks.evasion.noise import Noise
from holdfast.attacks.run import run
from holdfast.threats.threats import Linf
from laws.oracles import torch_model


def test_breaks_as_often_as_the_region_is_wrong():
    """A fifth of the ball is wrong: one try breaks a fifth of the rows, five tries break 1 - 0.8^5 of them."""
    model = torch_model(lambda z: torch.stack([0.53 - z[:, 0], z[:, 0] - 0.53], 1), 2)
    x, y = torch.full((4000, 3), 0.5, dtype=torch.float64), torch.zeros(4000, dtype=torch.long)
    for samples in (1, 5):
        out = run(Noise(samples=samples), model, x, y, Linf(0.05))
        assert abs(out.success.double().mean() - (1 - 0.8**samples)) < 0.03
        assert (out.queries <= samples).all()


def test_needs_labels_only():
    model = torch_model(lambda z: torch.stack([0.53 - z[:, 0], z[:, 0] - 0.53], 1), 2)
    x, y = torch.full((200, 3), 0.5, dtype=torch.float64), torch.zeros(200, dtype=torch.long)
    seen, blind = run(Noise(), model, x, y, Linf(0.05)), run(Noise(), model, x, y, "linf:0.05,knowledge=labels")
    assert seen.status == blind.status
    assert blind.gradients.sum() == 0
